"""`make airbyte-plan`, `airbyte-apply` and `airbyte-sync` with the local service."""

import pytest

from tests.e2e.conftest import SOURCE, Instance


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """An instance in which nothing has run."""
    instance = Instance(tmp_path_factory.mktemp("commands"))
    yield instance
    instance.make("down")


@pytest.fixture(scope="module")
def served(own):
    """That instance with its service up, so that each command need not start it."""
    with own.services("postgres", "airbyte"):
        yield own


def changes(process):
    """The lines of a plan that change something, without their reasons."""
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


def test_a_plan_starts_and_stops_the_service(own):
    assert changes(own.make("airbyte-plan", SOURCE=SOURCE)) == CREATED
    assert own.processes() == []


def test_a_plan_changes_nothing_and_one_apply_is_enough(served):
    assert changes(served.make("airbyte-apply", SOURCE=SOURCE)) == CREATED
    assert changes(served.make("airbyte-apply", SOURCE=SOURCE)) == []
    assert changes(served.make("airbyte-plan", SOURCE=SOURCE)) == []


def test_a_sync_prints_how_many_records_it_moved(served):
    done = served.make("airbyte-sync", NAME="tags", SOURCE=SOURCE)
    assert done.returncode == 0, done.stdout
    assert "✓ tags succeeded: 764 records" in done.stdout or "✓ tags succeeded: 320 records" in done.stdout
    assert "records/s" in done.stdout


def test_a_source_that_cannot_be_read_is_an_error_and_is_not_applied(served, tmp_path):
    done = served.make("airbyte-apply", SOURCE=tmp_path)
    assert done.returncode == 2
    assert f"the check failed: {tmp_path}/projects.csv" in done.stdout
    assert "Traceback" not in done.stdout
    assert changes(served.make("airbyte-plan", SOURCE=SOURCE)) == []


@pytest.mark.parametrize(
    ("target", "given", "words"),
    [
        ("airbyte-sync", {"NAME": "nothing"}, "there is no connection 'nothing': NAME is one of projects, tags"),
        ("airbyte-sync", {}, "name a connection: make airbyte-sync NAME=…"),
        (
            "airbyte-plan",
            {"PLACE": "mars"},
            "connections.mars.yaml is missing: create it, or use one of PLACE=embedded",
        ),
    ],
)
def test_the_error_for_an_unknown_name_lists_the_known_ones(served, target, given, words):
    done = served.make(target, SOURCE=SOURCE, **given)
    assert (done.returncode, words in done.stdout, "Traceback" in done.stdout) == (2, True, False), done.stdout


def test_the_error_for_a_wrong_declaration_names_its_keys(own, tmp_path):
    (tmp_path / "wrong.yaml").write_text("workspace: {name: w}\nsources: []\ndestinations: []\nconections: []\n")
    config = tmp_path / "config.yaml"
    config.write_text(f"{own.config.read_text()}\nairbyte:\n  connections: {tmp_path / 'wrong.yaml'}\n")
    done = own.make("airbyte-plan", CONFIG=config)
    assert done.returncode == 2
    assert "conections: Extra inputs are not permitted" in done.stdout
    assert "connections: Field required" in done.stdout
