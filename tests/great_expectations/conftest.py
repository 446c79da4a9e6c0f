"""A real warehouse for the checkpoints."""

import atexit
import functools
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, PostgresServer, application_config, warehouse_env

sys.path.insert(0, str(ROOT / "airflow" / "dags"))
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-tests-")
atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)

AIRBYTE_COLUMNS = "_airbyte_raw_id text, _airbyte_extracted_at timestamptz, _airbyte_meta jsonb"
KNOWN_TAGS = ["mlops", "computer-vision"]


@dataclass
class Place:
    """A warehouse, a config and a folder for results; the environment variables of this process point to them."""

    server: PostgresServer
    database: dict
    var: Path
    config: Path

    @property
    def warehouse(self):
        """Environment variables that say where the warehouse is."""
        return warehouse_env(self.database)

    def sql(self, statements):
        """Rows of the last statement, as text."""
        return self.server.psql(self.database, statements)

    def configure(self, *section, **settings):
        """Override settings of a section of the config, given by the names on the way to it."""
        config = yaml.safe_load(self.config.read_text())
        functools.reduce(dict.__getitem__, section, config).update(settings)
        self.config.write_text(yaml.safe_dump(config, sort_keys=False))

    @property
    def results(self):
        """The folder of validation results."""
        return self.var / "great_expectations" / "validations" / "tagifai"

    @property
    def docs(self):
        """The folder of the data docs."""
        return self.var / "great_expectations" / "data_docs" / "tagifai"

    def run(self, checkpoint, file=None):
        """Run a checkpoint in this process."""
        from pipeline.data_context import open_context
        from pipeline.gate import Gate

        return Gate(open_context(), checkpoint, file).run()


@pytest.fixture(scope="session")
def database(postgres):
    """The database of all tests; each fills it anew."""
    return postgres.database()


def write_config(place):
    """The example application with bounds for five rows."""
    place.config.write_text(yaml.safe_dump(application_config(), sort_keys=False))
    place.configure("checks", min_labeled=5)
    place.configure("labels", known=KNOWN_TAGS)
    for source in ("projects", "tags"):
        place.configure("sources", source, min_rows=5)


def environment_of(place):
    """Environment variables of a process in a place."""
    return place.warehouse | {"MLOPS_CONFIG": str(place.config), "MLOPS_VAR": str(place.var)}


@pytest.fixture
def place(postgres, database, tmp_path, monkeypatch):
    """Five good projects with tags in every table."""
    place = Place(postgres, database, tmp_path / "var", tmp_path / "config.yaml")
    write_config(place)
    for name, value in environment_of(place).items():
        monkeypatch.setenv(name, value)
    # Open connections of an earlier test would keep its tables from being dropped.
    place.sql(f"""
        select pg_terminate_backend(pid) from pg_stat_activity where usename = current_user and pid <> pg_backend_pid();
        drop schema if exists raw, candidate, marts cascade;
        create schema raw;
        create schema candidate;
        create table raw.projects (
            id bigint, created_on timestamp, title text, description text, {AIRBYTE_COLUMNS});
        create table raw.tags (id bigint, tag text, {AIRBYTE_COLUMNS});
        insert into raw.projects (id, created_on, title, description)
            select n, '2020-01-01', 'Title ' || n, 'Text ' || n from generate_series(1, 5) as n;
        insert into raw.tags (id, tag)
            select n, case n when 1 then 'computer-vision' else 'mlops' end from generate_series(1, 5) as n;
        create table candidate.labeled_projects as
            select id, created_on, title, description, tag from raw.projects join raw.tags using (id);
        create table candidate.projects_to_predict as
            select id, title, description, id < 5 as is_labeled from raw.projects;
    """)
    return place
