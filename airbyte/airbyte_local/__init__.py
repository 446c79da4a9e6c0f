"""A local Airbyte: real connectors behind Airbyte's public API, as one process and a PostgreSQL schema."""
