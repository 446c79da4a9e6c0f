"""Benchmarks: a group is a module whose `measure` yields rows as it measures them."""
