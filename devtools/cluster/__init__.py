"""A single-node Kubernetes with an image registry, for tests; standard library only. See docs/cluster.md."""
