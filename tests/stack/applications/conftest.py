"""Source files of a test's own, and what `make init` makes of them."""

from dataclasses import dataclass, field

import pytest
from click.testing import CliRunner

from stack.applications import files, write
from stack.applications.profile import profile
from stack.applications.proposal import propose
from stack.cli.main import main
from stack.embedded.settings import load
from stack.settings import read


@dataclass(frozen=True)
class InMemory(files.File):
    """A file whose rows a test gives."""

    given: list = field(default_factory=list)

    def rows(self):
        """All rows."""
        return iter(self.given)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder for the data; the applications are in another one."""
    (tmp_path / "applications").mkdir()
    monkeypatch.setattr(write, "APPLICATIONS", tmp_path / "applications")
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def read_back(tmp_path):
    """Function that gives what an application's file says, once all that read it have accepted it."""

    def read_back(path):
        load(tmp_path / "var", config=path)
        return read(path)

    return read_back


def written(types, rows, **given):
    """What is proposed for rows of columns of these types, and the text of the application's file."""
    file = InMemory("/data", "a.csv", {}, types, rows)
    looks = profile(file.types, file.rows())
    proposal = propose([file], [looks], given)
    return proposal, write.text("tickets", proposal, {file.name: looks})


@pytest.fixture
def propose_for():
    """The function `written`."""
    return written


@pytest.fixture
def proposed(tmp_path, read_back):
    """Function that gives the settings that are proposed, once all that read them have accepted them."""

    def proposed(types, rows, **given):
        proposal, text = written(types, rows, **given)
        path = tmp_path / "tickets.yaml"
        path.write_text(text, encoding="utf-8")
        return read_back(path), proposal

    return proposed


@pytest.fixture
def init(folder, read_back):
    """Function that runs `make init NAME=tickets`; returns the application's settings, or what was said."""

    def init(data, *options, name="tickets"):
        done = CliRunner().invoke(main, ["init-application", "--name", name, "--data", str(data), "--yes", *options])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        path = write.APPLICATIONS / f"{name}.yaml"
        assert path.exists() == (done.exit_code == 0)
        return " ".join(done.output.split()) if done.exit_code else read_back(path)

    return init
