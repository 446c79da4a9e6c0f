"""Commands in pods of Kubernetes; importing the modules imports the provider, which takes seconds."""
