"""BigQuery's stand-in: bqemulator, with corrections where it would lose data or accept what BigQuery refuses.

`python -m emulators.bigquery` starts it. Every correction is one function named `install` in a module of its subject,
which replaces functions of bqemulator before the server starts; what it corrects is said there.
"""
