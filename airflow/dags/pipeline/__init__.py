"""What the DAG files share: settings, how a command becomes a task, syncs and checkpoints."""
