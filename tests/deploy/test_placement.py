"""Settings that cannot work on Composer."""

import pytest

from deploy import placement
from stack import places
from stack.settings import ConfigError


def problems(config):
    return list(placement.problems(config, places.path("staging")))


def test_a_place_as_the_documents_show_it_is_fine(write_place):
    assert problems(write_place()) == []


def test_the_preset_is_fine_with_its_examples():
    assert problems(placement.configs("composer")[0]) == []


@pytest.mark.parametrize("place", ["embedded", "kubernetes"])
def test_a_place_that_is_not_on_composer_is_refused(place):
    with pytest.raises(ConfigError, match="preset: composer"):
        placement.configs(place)


def test_a_place_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="is not a place"):
        placement.configs("nowhere")


def test_a_missing_project_is_refused(write_place):
    with pytest.raises(ConfigError, match=r"staging\.yaml: warehouse\.project: "):
        write_place(warehouse={"project": None})


def test_a_misspelt_setting_is_refused(write_place):
    with pytest.raises(ConfigError, match=r"deploy\.pakages"):
        write_place(deploy={"pakages": "x"})


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"runner": {"type": "venv"}}, "runner.type"),
        ({"runner": {"tasks": {"train": {"type": "docker"}}}}, "runner.tasks.train.type"),
        ({"runner": {"kubernetes": {"namespace": "mine"}}}, "runner.kubernetes.namespace"),
        ({"runner": {"kubernetes": {"kubeconfig": "/root/.kube/config"}}}, "runner.kubernetes.kubeconfig"),
        ({"runner": {"kubernetes": {"host_network": True}}}, "runner.kubernetes.host_network"),
        ({"runner": {"kubernetes": {"claim": "files"}}}, "runner.kubernetes.claim"),
        ({"runner": {"kubernetes": {"secret": None}}}, "runner.kubernetes.secret"),
        ({"warehouse": {"keyfile": "/root/key.json"}}, "warehouse.keyfile"),
        ({"artifacts": "/srv/artifacts"}, "artifacts"),
        ({"artifacts": ""}, "artifacts"),
        ({"mlflow": ""}, "mlflow"),
        ({"mlflow": "http://localhost:5000"}, "mlflow"),
        ({"watch": {"seconds": 60}}, "source"),
        (
            {"deploy": {"environment_variables": {"MLOPS_VAR": "/home/airflow/gcs/data/var"}}},
            "deploy.environment_variables",
        ),
        ({"deploy": {"environment_variables": {"MLOPS_VAR": "var"}}}, "deploy.environment_variables"),
    ],
)
def test_what_another_machine_has_is_refused_and_the_setting_is_named(write_place, changes, setting):
    (problem,) = problems(write_place(**changes))
    assert problem.found.startswith(f"{places.path('staging')}: {setting}: ")


def test_a_warehouse_without_a_driver_there_is_refused(write_place):
    warehouse = {"type": "postgres", "host": "db.example", "port": 5432, "database": "w", "user": "u", "project": None}
    config = write_place()
    (problem,) = problems({**config, "warehouse": {**warehouse, "keyfile": None}})
    assert "warehouse.type: postgres" in problem.found


def test_a_watched_source_in_a_bucket_is_fine(write_place):
    assert problems(write_place(source="gs://our-bucket/source", watch={"seconds": 60})) == []
