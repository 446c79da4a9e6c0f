"""What a task's container takes over from Airflow's own."""

import socket
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from docker.errors import NotFound

from pipeline.runners.surroundings import Surroundings, look

OWN = {
    "Config": {"Labels": {"com.docker.compose.project": "mine", "com.docker.compose.service": "airflow-scheduler"}},
    "Mounts": [
        {
            "Type": "volume",
            "Name": "mine_var",
            "Source": "/docker/mine_var",
            "Destination": "/var/lib/mlops",
            "RW": True,
        },
        {"Type": "bind", "Source": "/home/me/clone/tagifai", "Destination": "/opt/mlops/tagifai", "RW": False},
        {"Type": "bind", "Source": "/var/run/docker.sock", "Destination": "/var/run/docker.sock", "RW": False},
    ],
    "NetworkSettings": {"Networks": {"mine_default": {}, "mine_databases": {}}},
}
PATHS = ["/var/lib/mlops", "/opt/mlops/tagifai"]


def engine(**known):
    """An engine with these containers."""

    def get(name):
        if name not in known:
            raise NotFound(name)
        return SimpleNamespace(attrs=known[name])

    return SimpleNamespace(containers=SimpleNamespace(get=get))


@pytest.fixture
def own(monkeypatch):
    """An engine that knows the container of this process."""
    monkeypatch.setattr(socket, "gethostname", lambda: "abc")
    return engine(abc=OWN)


def test_the_named_mounts_all_networks_and_the_project_are_shared_and_nothing_else(own, monkeypatch):
    monkeypatch.setenv("MLOPS_VAR", "/var/lib/mlops")
    monkeypatch.setenv("UV_CACHE_DIR", "/tmp/uv")
    found = look(own, PATHS)
    assert found.volumes == ["mine_var:/var/lib/mlops", "/home/me/clone/tagifai:/opt/mlops/tagifai:ro"]
    assert found.networks == ["mine_databases", "mine_default"]
    assert found.labels["com.docker.compose.project"] == "mine"
    assert found.labels["com.docker.compose.service"] == "task"
    assert found.variables == {"MLOPS_VAR": "/var/lib/mlops"}


def test_an_airflow_that_is_not_in_a_container_shares_nothing_and_may_not_be_told_to():
    assert look(engine(), []) == Surroundings()
    with pytest.raises(AirflowFailException, match=r"runner\.docker\.inherit is for an Airflow in a container"):
        look(engine(), PATHS)


def test_a_path_without_a_mount_is_told(own):
    with pytest.raises(AirflowFailException, match=r"nothing is mounted at /source .* but at /var/lib/mlops, "):
        look(own, [*PATHS, "/source"])
