"""Torture tests: kill processes, fill the disk, set the clock, and check what is left."""
