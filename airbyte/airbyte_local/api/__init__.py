"""Airbyte's public API: routes, error responses and the description of the API."""
