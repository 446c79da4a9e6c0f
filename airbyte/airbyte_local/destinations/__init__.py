"""Destinations: the contract that the sync engine relies on, and PostgreSQL and BigQuery behind it."""
