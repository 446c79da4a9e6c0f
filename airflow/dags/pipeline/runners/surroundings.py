"""What Airflow's own container shares with the containers of tasks: mounts, networks, and its project of Compose."""

import os
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException
from docker.errors import NotFound

import docker

PROJECT = "com.docker.compose.project"
# By these Compose shows a task's container in `ps`, and removes it in `down --remove-orphans`; docker/common.bash too.
SERVICE = {
    "com.docker.compose.service": "task",
    "com.docker.compose.oneoff": "False",
    "com.docker.compose.config-hash": "none",
}
# Variables that name a folder; where it is mounted in both containers, it is the same one.
FOLDERS = ("MLOPS_VAR", "UV_CACHE_DIR")


@dataclass(frozen=True)
class Surroundings:
    """What a container of a task gets because Airflow runs in a container too.

    Attributes:
        volumes: mounts, `SOURCE:TARGET[:ro]`.
        networks: names of networks.
        labels: by which the container belongs to Airflow's project of Compose.
        variables: environment variables.
    """

    volumes: list[str] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)


def look(engine: docker.DockerClient, paths: list[str]) -> Surroundings:
    """What is mounted at `paths` of Airflow's container, and its networks; nothing if there are no paths.

    Raises:
        AirflowFailException: Airflow is in no container of this engine, or has no mount there.
    """
    if not paths:
        return Surroundings()
    name = socket.gethostname()
    try:
        own = engine.containers.get(name).attrs
    except NotFound:
        raise AirflowFailException(
            f"runner.docker.inherit is for an Airflow in a container, and the engine knows no container {name}:"
            " set it to []"
        ) from None
    mounts = {each["Destination"]: each for each in own["Mounts"]}
    if lacking := [path for path in paths if path not in mounts]:
        raise AirflowFailException(
            f"runner.docker.inherit: nothing is mounted at {lacking[0]} of Airflow's container,"
            f" but at {', '.join(mounts)}"
        )
    project = (own["Config"]["Labels"] or {}).get(PROJECT)
    return Surroundings(
        volumes=[_volume(mounts[path]) for path in paths],
        networks=sorted(own["NetworkSettings"]["Networks"]),
        labels={PROJECT: project} | SERVICE if project else {},
        variables={
            name: folder
            for name in FOLDERS
            if (folder := os.environ.get(name)) and any(Path(folder).is_relative_to(path) for path in paths)
        },
    )


def _volume(mount: dict[str, Any]) -> str:
    source = mount["Name"] if mount["Type"] == "volume" else mount["Source"]
    return f"{source}:{mount['Destination']}{'' if mount['RW'] else ':ro'}"
