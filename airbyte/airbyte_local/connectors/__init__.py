"""Source connectors: which program each one is, how it is installed, and how its process is run."""
