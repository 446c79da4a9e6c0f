"""Stand-ins for Google's services on this machine: BigQuery and Cloud Storage (docs/emulators.md)."""
