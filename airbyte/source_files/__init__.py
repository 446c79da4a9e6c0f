"""Airbyte source connector for CSV files on this machine and behind http(s) URLs."""
