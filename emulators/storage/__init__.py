"""Cloud Storage's stand-in: fake-gcs-server, whose data are files in a folder."""
