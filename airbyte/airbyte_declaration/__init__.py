"""Declares sources, destinations and connections in a file, and applies them to any Airbyte."""
