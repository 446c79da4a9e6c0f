"""Development tools: benchmarks and torture tests. They are in no image."""
