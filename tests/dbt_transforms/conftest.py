"""dbt against a real warehouse, as the command that Airflow runs."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT, PostgresServer, warehouse_env

TRANSFORM = ROOT / "dbt_transforms" / "transform.py"
AIRBYTE_COLUMNS = "_airbyte_raw_id text, _airbyte_extracted_at timestamptz, _airbyte_meta jsonb"


@dataclass
class Warehouse:
    """A database of its own, and dbt's command on it."""

    server: PostgresServer
    database: dict
    var: Path
    folder: Path

    def sql(self, statements):
        """Rows of the last statement, as text."""
        return self.server.psql(self.database, statements)

    def start(self, verb):
        """Start the command away from the repository; its result goes to a file."""
        environment = {**os.environ, **warehouse_env(self.database), "MLOPS_VAR": str(self.var)}
        command = [sys.executable, TRANSFORM, verb, "--result", self.folder / f"{verb}.json"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=environment, cwd=self.folder, **pipes)

    def run(self, verb):
        """Facts of a run that succeeds."""
        process = self.start(verb)
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, output + errors
        return json.loads((self.folder / f"{verb}.json").read_text())

    def fail(self, verb, *, status):
        """Message of a run that fails as it should: the same in the result and on the last line of stderr."""
        process = self.start(verb)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == status
        assert "Traceback" not in errors
        result = json.loads((self.folder / f"{verb}.json").read_text())
        assert result == {"error": errors.splitlines()[-1]}
        return result["error"]


@pytest.fixture(scope="session")
def var(tmp_path_factory):
    """One folder for what dbt writes, so that it parses the project once."""
    return tmp_path_factory.mktemp("var")


@pytest.fixture
def warehouse(postgres, tmp_path, var):
    """An empty warehouse."""
    return Warehouse(postgres, postgres.database(), var, tmp_path)


@pytest.fixture
def sources(warehouse):
    """A warehouse with raw tables: untidy texts, a project without tag, a tag without project."""
    warehouse.sql(f"""
        create schema raw;
        create table raw.projects (
            id bigint, created_on timestamp, title text, description text, {AIRBYTE_COLUMNS});
        create table raw.tags (id bigint, tag text, {AIRBYTE_COLUMNS});
        insert into raw.projects (id, created_on, title, description) values
            (1, '2020-02-20 06:43:18', '  Graph nets ', E'Two\\n\\nlines\\u00a0'),
            (2, '2020-02-21 00:00:00', 'Überblick', E' \\t\\n'),
            (3, null, null, 'No tag'),
            (4, '2021-01-01 12:00:00', '', 'Title is blank');
        insert into raw.tags (id, tag) values (1, ' MLOps '), (2, 'computer-vision'), (4, ''), (9, 'of-no-project');
    """)
    return warehouse
