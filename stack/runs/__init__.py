"""Runs of the graphs: start and follow them, and report on them."""
