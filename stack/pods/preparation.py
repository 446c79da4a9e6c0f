"""What is made ready for pods before Airflow starts: their Secret, and the folder that they write to."""

import os
from pathlib import Path

from stack.environments import dbt_docs
from stack.home.folders import FOLDERS
from stack.pods.settings import is_mounted, types
from stack.settings import Settings

# The user of the pods' image, as in docker/Dockerfile.
USER = 10001


def prepare(settings: Settings) -> None:
    """Make ready what pods need of this machine and of their namespace, if any task runs in one.

    Raises:
        StackError: the cluster does not answer, or refuses the Secret.
    """
    kinds = types(settings.config)
    if kinds and is_mounted(settings.config):
        _open_artifacts(settings)
    if "kubernetes" in kinds:
        # The client takes half a second to import.
        from stack.pods.cluster import Cluster

        Cluster(settings).apply_secret()


def _open_artifacts(settings: Settings) -> None:
    """Let the pods write to the folder of the artifacts, and let dbt's documentation be found where it usually is."""
    artifacts = Path(settings.artifacts)
    artifacts.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.geteuid() == 0:
        # Other users are the pods' own, by runner.kubernetes.user.
        for path in (artifacts, *artifacts.rglob("*")):
            os.chown(path, USER, USER, follow_symlinks=False)
    usual = settings.var / FOLDERS["dbt-docs"]
    if (docs := dbt_docs(settings)) and not usual.exists() and not usual.is_symlink():
        usual.parent.mkdir(parents=True, exist_ok=True)
        usual.symlink_to(docs)
