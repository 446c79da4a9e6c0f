"""The sync engine: jobs, their attempts, and the way of records from a connector into a destination."""
