"""What the DAG files share: settings, and task factories for commands, syncs and checkpoints."""
