"""The container place: the services as containers, started by Docker Compose."""
