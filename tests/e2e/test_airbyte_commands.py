"""`make airbyte-plan`, `airbyte-apply` and `airbyte-sync` against the local service, as a person types them."""

import pytest

from tests.e2e.conftest import SOURCE, Instance


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """An instance in which nothing has run."""
    instance = Instance(tmp_path_factory.mktemp("commands"))
    yield instance
    instance.make("down")


def changes(process):
    """The lines of a plan that would change something, without their reasons."""
    assert process.returncode == 0, process.stdout
    return [
        line.split(":")[0].split() for line in process.stdout.splitlines() if line.strip()[:1] in "+~-" and line.strip()
    ]


CREATED = [
    ["+", "create", "workspace", "mlops"],
    ["+", "create", "source", "files"],
    ["+", "create", "destination", "warehouse"],
    ["+", "create", "connection", "projects"],
    ["+", "create", "connection", "tags"],
]


def test_a_plan_changes_nothing_and_apply_is_needed_once(own):
    assert changes(own.make("airbyte-plan", SOURCE=SOURCE)) == CREATED
    assert changes(own.make("airbyte-apply", SOURCE=SOURCE)) == CREATED
    assert changes(own.make("airbyte-apply", SOURCE=SOURCE)) == []
    assert changes(own.make("airbyte-plan", SOURCE=SOURCE)) == []


def test_a_sync_tells_what_was_moved(own):
    done = own.make("airbyte-sync", NAME="tags", SOURCE=SOURCE)
    assert done.returncode == 0, done.stdout
    assert "✓ tags succeeded: 764 records" in done.stdout or "✓ tags succeeded: 320 records" in done.stdout
    assert "records/s" in done.stdout


def test_a_source_that_cannot_be_read_is_not_applied_and_is_told(own, tmp_path):
    done = own.make("airbyte-apply", SOURCE=tmp_path)
    assert done.returncode == 2
    assert f"the check failed: {tmp_path}/projects.csv" in done.stdout
    assert "Traceback" not in done.stdout
    assert changes(own.make("airbyte-plan", SOURCE=SOURCE)) == []


@pytest.mark.parametrize(
    ("target", "given", "words"),
    [
        ("airbyte-sync", {"NAME": "nothing"}, "there is no connection 'nothing': NAME is one of projects, tags"),
        ("airbyte-sync", {}, "say which connection: make airbyte-sync NAME=projects"),
        ("airbyte-plan", {"PLACE": "mars"}, "connections.mars.yaml is missing: make it, or give one of PLACE=embedded"),
    ],
)
def test_what_there_is_not_is_told_with_what_there_is(own, target, given, words):
    done = own.make(target, SOURCE=SOURCE, **given)
    assert (done.returncode, words in done.stdout, "Traceback" in done.stdout) == (2, True, False), done.stdout


def test_a_declaration_that_is_wrong_is_told_with_its_key(own, tmp_path):
    (tmp_path / "wrong.yaml").write_text("workspace: {name: w}\nsources: []\ndestinations: []\nconections: []\n")
    config = tmp_path / "config.yaml"
    config.write_text(f"{own.config.read_text()}\nairbyte:\n  connections: {tmp_path / 'wrong.yaml'}\n")
    done = own.make("airbyte-plan", CONFIG=config)
    assert done.returncode == 2
    assert "conections: Extra inputs are not permitted" in done.stdout
    assert "connections: Field required" in done.stdout
