"""Airbyte source connector for CSV, JSON Lines and Parquet files on this machine and at http(s) URLs."""
