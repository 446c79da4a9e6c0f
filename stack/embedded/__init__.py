"""The embedded place: the services as processes of this machine, without Docker."""
