"""Tags machine-learning projects: title and description in, tag out."""
