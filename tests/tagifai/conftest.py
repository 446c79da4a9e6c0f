"""What tagifai's tests share: synthetic projects, settings, an MLflow server, the command line."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
import requests
from click.testing import CliRunner
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from tagifai import cli, imports, snapshot
from tagifai.settings import Settings, prepare_libraries

prepare_libraries()
# Before MLflow imports it with all the types that it trusts by itself.
imports.skops_io()
ROOT = Path(__file__).resolve().parents[2]
TOPICS = {
    "natural-language-processing": (60, "language text bert tokens sentence translation chatbot corpus words grammar"),
    "computer-vision": (50, "image detection segmentation pixels camera faces video resnet convolution objects"),
    "mlops": (30, "deployment pipeline monitoring registry kubernetes serving versioning tracking airflow containers"),
    "time-series": (10, "forecast seasonality stock demand trend temporal arima anomaly signal hourly"),
}
FILLER = "a simple library for learning with examples and tools that everybody can use"
PARAMS = {
    "title_repeats": 1,
    "word_ngram_max": 1,
    "char_ngram_max": 3,
    "max_df": 1.0,
    "word_max_features": 1000,
    "char_max_features": 1000,
    "c": 1.0,
}


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    for name in [name for name in os.environ if name.startswith("MLOPS_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def params():
    """A value for each name of the search space."""
    return PARAMS


@pytest.fixture(scope="session")
def fit():
    """Function that fits a model with parameters to projects."""
    from tagifai import model

    return partial(model.fit, columns=["title", "description"], label="tag", rest="other")


@pytest.fixture(scope="session")
def best_of_one(params):
    """The findings of a study with one trial of these parameters."""
    trial = {"number": 0, "value": 0.75, "seconds": 1.0, "params": params, "new": True}
    return {"trials": 1, "best_value": 0.75, "best_params": params, "train_rows": 120, "notes": [], "history": [trial]}


@pytest.fixture(scope="session")
def projects():
    """150 labelled projects of four tags; the words of their texts tell the tags apart."""
    chance, rows = random.Random(7), []
    for tag, (count, words) in TOPICS.items():
        for _ in range(count):
            title = " ".join(chance.sample(words.split(), 2))
            description = " ".join(chance.sample(words.split(), 2) + chance.sample(FILLER.split(), 6))
            rows.append({"title": title, "description": description, "tag": tag})
    chance.shuffle(rows)
    ids = range(1, len(rows) + 1)
    columns = ["id", "created_on", "title", "description", "tag"]
    return pd.DataFrame(rows).assign(id=ids, created_on=pd.Timestamp("2020-02-20"))[columns]


@pytest.fixture(scope="session")
def uri(projects, tmp_path_factory):
    """A snapshot of the projects."""
    return write_snapshot(projects, tmp_path_factory.mktemp("snapshots"))


@pytest.fixture(scope="session")
def save_snapshot():
    """Function that makes a snapshot of any frame under a folder."""
    return write_snapshot


def write_snapshot(frame, root):
    return snapshot.write(pa.Table.from_pandas(frame, preserve_index=False), str(root))[1]


@pytest.fixture(scope="session")
def settings_in():
    """Function that makes settings for the synthetic projects, with artifacts in a folder, and some changed."""

    def make(folder, **changes):
        nowhere = {"host": "127.0.0.1", "port": 1, "database": "none", "user": "none", "password": "none"}
        search = {"trials": 4, "workers": 2, "folds": 3, "space": {name: [each] for name, each in PARAMS.items()}}
        search["space"] |= {"word_ngram_max": [1, 2], "c": [0.1, 10.0]}
        defaults = {
            "warehouse": {"type": "postgres", **nowhere},
            "artifacts": str(folder / "artifacts"),
            "var": folder,
            "mlflow": "http://127.0.0.1:1",
            "studies": "postgresql+psycopg2://none:none@127.0.0.1:1/none",
            "labels": {"min_freq": 20},
            "search": search,
        }
        return Settings(**defaults | changes)

    return make


@pytest.fixture
def make_settings(settings_in, tmp_path):
    """Function that makes such settings with artifacts in a folder of the test."""
    return partial(settings_in, tmp_path)


@pytest.fixture
def settings(make_settings):
    """Settings without any service."""
    return make_settings()


@pytest.fixture(scope="session")
def make_studies(postgres):
    """Function that makes an empty database for studies; returns its SQLAlchemy URL, and the database."""

    def make():
        database = postgres.database()
        return "postgresql+psycopg2://{user}:{password}@{host}:{port}/{database}".format(**database), database

    return make


@pytest.fixture
def warehouse(postgres, projects):
    """A database with marts.labeled_projects, and marts.projects_to_predict with one project more."""
    database = postgres.database()
    columns = "id bigint, created_on timestamp, title text, description text, tag text"
    rows = projects.sample(frac=1, random_state=1).to_csv(index=False, header=False)
    copy = f"copy marts.labeled_projects from stdin csv;\n{rows}\\.\n"
    postgres.psql(database, f"create schema marts; create table marts.labeled_projects ({columns});\n{copy}")
    postgres.psql(
        database,
        """
        create table marts.projects_to_predict as
            select id, title, description, true as is_labeled from marts.labeled_projects;
        insert into marts.projects_to_predict values (1000, 'Image segmentation', 'Objects in a video.', false);
        """,
    )
    return database


@pytest.fixture(scope="session")
def mlflow_url(postgres, tmp_path_factory):
    """A real MLflow server on PostgreSQL that hands artifacts through, as the embedded stack starts it."""
    folder, database = tmp_path_factory.mktemp("mlflow"), postgres.database()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "MLFLOW_BACKEND_STORE_URI": "postgresql+psycopg2://{user}:{password}@{host}:{port}/{database}".format(
            **database
        ),
        "MLFLOW_ARTIFACTS_DESTINATION": str(folder / "artifacts"),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=Retry(total=300, backoff_factor=0.1, backoff_max=0.2)))
        assert session.get(f"{url}/health", timeout=60).ok, (folder / "log").read_text()
    yield url
    os.killpg(server.pid, signal.SIGTERM)
    server.wait(timeout=30)


@pytest.fixture
def environment(tmp_path):
    """Function that gives the environment variables of a process with some settings."""

    def environment(settings):
        config = tmp_path / "config.yaml"
        # The others are environment variables.
        config.write_text(settings.model_dump_json(exclude={"warehouse", "artifacts", "var", "mlflow", "studies"}))
        warehouse = settings.warehouse.model_dump() | {"password": settings.warehouse.password.get_secret_value()}
        return {
            "PATH": os.environ["PATH"],
            "MLOPS_CONFIG": str(config),
            "MLOPS_WAREHOUSE": json.dumps(warehouse),
            "MLOPS_ARTIFACTS": settings.artifacts,
            "MLOPS_VAR": str(settings.var),
            "MLOPS_MLFLOW": settings.mlflow,
            "MLOPS_STUDIES": settings.studies.get_secret_value(),
        }

    return environment


@pytest.fixture
def start(environment):
    """Function that starts a command of tagifai as a process of its own."""

    def start(settings, *arguments):
        command = [sys.executable, "-m", "tagifai", *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=ROOT, env=environment(settings), **pipes)

    return start


@pytest.fixture
def run(environment):
    """Function that runs a command of tagifai in this process; returns its exit status and the lines of its errors."""

    def run(settings, *arguments):
        outcome = CliRunner().invoke(cli.main, list(map(str, arguments)), env=environment(settings))
        assert outcome.exception is None or isinstance(outcome.exception, SystemExit), outcome.exc_info
        return outcome.exit_code, outcome.stderr.splitlines()

    return run


@pytest.fixture
def bucket(bucket, google_key, monkeypatch):
    """The bucket, with credentials, as commands have them."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(google_key))
    return bucket
