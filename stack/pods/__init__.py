"""What the launcher does where commands of tasks run in pods: settings, the Secret, and the checks of `make doctor`."""
