"""dbt on a real warehouse, called as by the command that Airflow runs."""

import contextlib
import importlib.util
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, PostgresServer, application_config, warehouse_env

TRANSFORM = ROOT / "dbt_transforms" / "transform.py"
_spec = importlib.util.spec_from_file_location("transform", TRANSFORM)
transform = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(transform)
AIRBYTE_COLUMNS = "_airbyte_raw_id text, _airbyte_extracted_at timestamptz, _airbyte_meta jsonb"


@dataclass
class Warehouse:
    """A database of its own, and dbt's command on it."""

    server: PostgresServer
    database: dict
    var: Path
    folder: Path
    application: str = "tagifai"

    @property
    def home(self):
        """The folder of dbt's files."""
        return self.var / "dbt" / self.application

    def configure(self, name, **sections):
        """Make an application with these sections in place of the example's the current one."""
        self.application = name
        config = application_config() | {"application": name, **sections}
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))

    def sql(self, statements):
        """Rows of the last statement, as text."""
        return self.server.psql(self.database, statements)

    @property
    def environment(self):
        """Environment variables of the command."""
        return {**self.warehouse, **self.config, "MLOPS_VAR": str(self.var)}

    @property
    def warehouse(self):
        """Environment variables that say where the warehouse is."""
        return warehouse_env(self.database)

    @property
    def config(self):
        """Environment variables that say which settings count."""
        own = self.folder / "config.yaml"
        return {"MLOPS_CONFIG": str(own)} if own.exists() else {}

    def start(self, verb):
        """Start the command as a process, outside the repository; its result goes to a file."""
        command = [sys.executable, TRANSFORM, verb, "--result", self.folder / f"{verb}.json"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=os.environ | self.environment, cwd=self.folder, **pipes)

    @contextlib.contextmanager
    def here(self):
        """A block in which this process is like the command's; gives its patch."""
        with pytest.MonkeyPatch.context() as patch, contextlib.chdir(self.folder):
            for name, value in self.environment.items():
                patch.setenv(name, value)
            yield patch

    def dbt(self, *command):
        """Results of a command of dbt, by the name of their node."""
        with self.here():
            ended, _ = transform._dbt(self.home, *command)
        assert ended.exception is None
        return {result.node.name: result for result in ended.result.results}

    def call(self, verb):
        """Run the command in this process, which has dbt imported already; returns its status and its errors."""
        result, errors = self.folder / f"{verb}.json", io.StringIO()
        result.unlink(missing_ok=True)
        with self.here() as patch, contextlib.redirect_stderr(errors):
            patch.setattr(sys, "argv", ["transform.py", verb, "--result", str(result)])
            try:
                transform.main()
            except SystemExit as exit:
                return exit.code, errors.getvalue()
        return 0, errors.getvalue()

    def run(self, verb):
        """Facts of a run that succeeds."""
        status, errors = self.call(verb)
        assert status == 0, errors
        return self.result(verb)

    def fail(self, verb, *, status):
        """Message of a run that fails with a status: the same in the result, its report and the last line of stderr."""
        ended, errors = self.call(verb)
        assert ended == status
        return self.failure(verb, errors)

    def failure(self, verb, errors):
        """Message of a run that failed, given what it wrote to stderr."""
        assert "Traceback" not in errors
        result, log = self.result(verb), str(self.home / "logs" / "dbt.log")
        message = errors.splitlines()[-1]
        assert result == {"error": message, "report": {"note": message, "links": {"dbt log": log}}}
        return message

    def result(self, verb):
        """The JSON object that the command has written."""
        return json.loads((self.folder / f"{verb}.json").read_text())


@pytest.fixture(scope="session")
def var(tmp_path_factory):
    """One folder for what dbt writes, so that it parses the project once."""
    return tmp_path_factory.mktemp("var")


@pytest.fixture
def warehouse(postgres, tmp_path, var):
    """An empty warehouse."""
    return Warehouse(postgres, postgres.database(), var, tmp_path)


@pytest.fixture(scope="module")
def sources(postgres, tmp_path_factory):
    """A warehouse with raw tables: untidy texts, a project without tag, a tag without project."""
    warehouse = Warehouse(postgres, postgres.database(), *(tmp_path_factory.mktemp(name) for name in ("var", "run")))
    warehouse.sql(f"""
        create schema raw;
        create table raw.projects (
            id bigint, created_on timestamp, title text, description text, {AIRBYTE_COLUMNS});
        create table raw.tags (id bigint, tag text, {AIRBYTE_COLUMNS});
        insert into raw.projects (id, created_on, title, description) values
            (1, '2020-02-20 06:43:18', '  Graph nets ', E'Two\\n\\nlines\\u00a0'),
            (2, '2020-02-21 00:00:00', 'Überblick', E' \\tB\\n'),
            (3, null, 'No tag', 'C');
        insert into raw.tags (id, tag) values (1, ' MLOps '), (2, 'computer-vision'), (9, 'of-no-project');
    """)
    return warehouse
