"""The section `deploy` of a place: what is refused, in one sentence that shows no secret."""

import pytest

from deploy import settings


@pytest.fixture
def told(write_place):
    """Function that gives what is wrong with the place `staging` with changes of its `deploy`."""
    return lambda **changes: list(settings.problems(write_place(deploy=changes)))


def test_a_place_as_the_documents_show_it_is_fine(told):
    assert told() == []
    options = {"core-a": "1.10", "core-b": 8, "core-c": True, "core-d": None}
    assert told(airflow_options=options, variables={"a-b": "given", "c": None}, sync=0, import_timeout=1) == []


@pytest.mark.parametrize("value", [["a"], {"a": 1}, 1.10])
def test_the_value_of_an_option_is_a_text_or_a_whole_number_in_one_sentence(told, value):
    (problem,) = told(airflow_options={"core-a": value})
    assert problem.found == (
        f"deploy.airflow_options.core-a: write a text in quotes, a whole number, true, false or null, not {value!r}"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"connections": {"db": "postgres://u:hunter2@h/d"}},
        {"connections": ["postgres://u:hunter2@h/d"]},
        {"variables": {"a": ["hunter2"]}},
        {"variables": "hunter2"},
        {"environment_variables": {"A": ["hunter2"]}},
    ],
)
def test_what_may_be_a_secret_is_not_shown(told, changes):
    try:
        (problem,) = told(**changes)
    except settings.ConfigError as error:
        problem = str(error)
    assert next(iter(changes)) in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"connections": ["my-db"]}, "connections.0: no shell can export AIRFLOW_CONN_MY-DB: write _ in place of -"),
        ({"variables": {"my-x": None}}, "variables: no shell can export AIRFLOW_VAR_MY-X: give my-x a value, or"),
    ],
)
def test_a_name_that_no_shell_can_export_is_refused(told, changes, reason):
    (problem,) = told(**changes)
    assert problem.startswith(f"deploy.{reason}")


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"sync": float("inf")}, "sync"),
        ({"sync": float("nan")}, "sync"),
        ({"sync": 1e9, "import_timeout": 1e9}, "sync"),
        ({"sync": 60, "import_timeout": 60}, "import_timeout"),
        ({"import_timeout": float("inf")}, "import_timeout"),
        ({"smoke": {"timeout": float("inf")}}, "smoke.timeout"),
    ],
)
def test_seconds_that_cannot_work_are_refused(told, changes, setting):
    problem = told(**changes)[0]
    assert problem.startswith(f"deploy.{setting}: ")
