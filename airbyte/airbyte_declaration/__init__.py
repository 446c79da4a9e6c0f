"""One declaration of sources, destinations and connections, and its way into any Airbyte."""
