"""The embedded place: the whole stack as processes of this machine, and the `make run` that drives it."""
