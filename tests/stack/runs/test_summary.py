"""The summary of a run, on the screen and as JSON."""

import io
import json

import psycopg
import pytest
from rich.console import Console

from stack import databases
from stack.runs import dag_runs, summary
from stack.runs.airflow_api import AirflowApi


@pytest.fixture
def shown():
    """Function that returns what the screen shows for facts."""

    def show(facts):
        screen = io.StringIO()
        summary.show(facts, Console(file=screen, soft_wrap=True), {"logs": "var/logs/"})
        return screen.getvalue()

    return show


def test_without_any_facts_the_screen_still_shows_that_the_run_failed_and_why(shown):
    text = shown(summary.empty("files", "embedded") | {"error": "port [8080] is taken", "seconds": 0.1})
    assert "failed in 0.1 s, source files" in text
    assert "port [8080] is taken" in text
    assert "champion" not in text


def test_a_run_without_a_source_is_shown_without_one(shown):
    text = shown(summary.empty(None, "embedded") | {"error": "mine.yaml: cannot be read", "seconds": 0.1})
    assert "failed in 0.1 s\n" in text


def test_an_error_is_followed_by_the_path_of_the_full_log(shown):
    log = "/var/logs/airflow/dag_id=dataops/run_id=manual__2026[1]/task_id=reconcile/attempt=1.log"
    text = shown(
        summary.empty("files", "embedded") | {"error": "dataops.reconcile: why\nand how", "log": log, "seconds": 1}
    )
    assert f"error         dataops.reconcile: why\nand how\nfull log      {log}\n" in text


@pytest.mark.parametrize(
    ("source", "public"),
    [
        ("/a@b/c?d", "/a@b/c?d"),
        ("https://example.org/data", "https://example.org/data"),
        ("https://user:s3cret@example.org:8080/d@ta?token=s3cret#s3cret", "https://example.org:8080/d@ta"),
    ],
)
def test_a_summary_names_its_source_without_login_and_query(source, public):
    assert summary.empty(source, "embedded")["source"] == public


def test_an_interrupted_run_has_a_state_and_no_seconds(shown):
    run = {"run_id": "r1", "state": "running", "seconds": None, "tasks": {"post": {"state": None, "seconds": None}}}
    assert "dataops       running (r1)\n" in shown(summary.empty("files", "embedded") | {"dataops": run})


def test_headlines_are_lines_of_the_screen(shown):
    facts = summary.empty("files", "embedded") | {
        "headlines": {"trials": "20", "a long name of a line": "a [red]text[/] of others"}
    }
    assert "\ntrials        20\na long name of a line a [red]text[/] of others\n" in shown(facts)


def test_the_file_has_the_facts_without_their_texts_for_the_screen(tmp_path):
    facts = summary.empty("fïles", "embedded")
    summary.write(facts | {"headlines": {"champion": "version 4"}}, tmp_path / "summary.json")
    del facts["headlines"]
    assert json.loads((tmp_path / "summary.json").read_text()) == facts


def test_the_file_is_written_into_a_folder_that_does_not_exist_yet(tmp_path):
    summary.write(summary.empty(None, "embedded"), tmp_path / "var" / "summary.json")
    assert json.loads((tmp_path / "var" / "summary.json").read_text())["state"] == "failed"


def test_the_file_of_any_run_has_the_documented_keys():
    keys = {*summary.empty("files", "embedded")} - {"headlines"}
    assert keys == {
        *("schema_version", "source", "place", "state", "error", "log", "seconds", "dataops", "mlops", "tables"),
        *("expectations", "study", "candidate", "champion", "gate", "bytes_billed", "code"),
    }


@pytest.fixture
def facts(recording, settings, monkeypatch):
    """Function that makes the summary of the recorded run as it is now."""
    monkeypatch.setattr(summary, "rows", lambda _: {"invoices": 1250, "ledger": 1180})

    def make():
        facts = summary.empty("files", "embedded")
        for run_id in recording.run_ids.items():
            summary.add(facts, dag_runs.read(AirflowApi.of(settings), *run_id), settings)
        return facts

    return make


def test_a_run_of_any_graph_has_states_and_seconds_by_task(recording, facts):
    known = facts()
    assert known["dataops"] == {
        "run_id": recording.run_ids["dataops"],
        "state": "success",
        "seconds": 18.0,
        "tasks": {
            "load_invoices": {"state": "success", "seconds": 2.0},
            "check_invoices": {"state": "success", "seconds": 2.0},
            "load_customers": {"state": "success", "seconds": 2.0},
            "reconcile": {"state": "success", "seconds": 3.0},
            "post_ledger": {"state": "success", "seconds": 2.0},
        },
    }
    assert (known["mlops"]["run_id"], known["mlops"]["state"]) == (recording.run_ids["mlops"], "failed")
    assert known["mlops"]["tasks"]["search"] == {"state": "success", "seconds": 3.0}
    assert known["mlops"]["tasks"]["audit"]["state"] == "failed"
    assert known["mlops"]["tasks"]["score_invoices"]["state"] == "upstream_failed"


def test_expectations_are_counted_by_task_that_checked_something(facts):
    assert facts()["expectations"] == {
        "dataops.check_invoices": {"evaluated": 2, "successful": 2},
        "mlops.audit": {"evaluated": 3, "successful": 2},
    }


def test_what_tasks_report_for_the_summary_is_taken_over_as_it_is(facts):
    known = facts()
    # Of a mapped task the last instance counts.
    assert known["study"] == {"name": "ledger-1", "trials": 2, "run": 2, "reused": False}
    assert known["candidate"] == {"version": "4", "error": 0.31}
    assert known["champion"] == {"name": "duns", "version": "4", "alias": "champion"}
    assert known["gate"] == {"decision": "promoted", "reason": "there was no champion"}


def test_no_report_changes_a_value_of_the_launcher(recording, facts):
    assert {"state", "seconds"} < {*recording.report("mlops", "judge")["summary"]}
    recording.report("mlops", "judge")["summary"] |= {"tables": {}, "dataops": None, "own": 1}
    known = facts()
    assert (known["state"], known["seconds"], known["tables"]) == ("failed", None, {"invoices": 1250, "ledger": 1180})
    assert (known["dataops"]["state"], known["own"]) == ("success", 1)


def test_the_screen_shows_any_graph(recording, facts, shown):
    dataops, mlops = recording.run_ids.values()
    text = shown(facts() | {"seconds": 34.2})
    assert (
        "run           failed in 34.2 s, source files\n"
        f"dataops       success in 18.0 s; slowest task reconcile, 3.0 s ({dataops})\n"
        f"mlops         failed in 14.0 s; slowest task search, 3.0 s ({mlops})\n"
        "rows          invoices 1250, ledger 1180\n"
        "expectations  check_invoices 2/2, audit 2/3\n"
        "search        2 of 2 rounds\n"
        "candidate     version 4: error 0.31 on 220 invoices\n"
        "champion      duns version 4, error 0.31; candidate promoted: there was no champion\n"
        "logs          var/logs/\n"
    ) in text


@pytest.mark.parametrize("report", [None, "no object", {"summary": 7, "checks": [], "headlines": {"a": None}}])
def test_a_missing_or_malformed_report_leaves_the_rest_as_it_is(recording, facts, report):
    expected = facts()
    xcom = recording.xcom("mlops", "judge")
    xcom["value"] = report
    known = facts()
    assert (known["champion"], known["candidate"], known["gate"]) == (None, None, None)
    assert (known["dataops"], known["mlops"], known["study"]) == (
        expected["dataops"],
        expected["mlops"],
        expected["study"],
    )


def test_rows_of_the_tables_of_the_application_are_counted_where_the_tables_exist(postgres, settings):
    server = {name: postgres.admin[name] for name in ("host", "port", "user", "password")}
    databases.ensure(server, {"warehouse": settings.secrets["warehouse"]})
    source = {"file": "invoices.csv", "columns": {"id": "integer", "body": "text", "kind": "text"}}
    columns = {"id": "id", "texts": ["body"], "label": "kind"}
    ports = settings.ports.model_copy(update={"postgres": server["port"]})
    invoices = settings.changed(namespace="shop", sources={"invoices": source}, columns=columns)
    known = invoices.model_copy(update={"ports": ports})
    with psycopg.connect(**known.database("warehouse")) as connection:
        connection.execute("create schema shop_raw; create schema shop_marts")
        connection.execute("create table shop_raw.invoices as select 1 as a")
        connection.execute("create view shop_marts.labeled_invoices as select generate_series(1, 3)")
    assert list(summary.rows(known).items()) == [("invoices", 1), ("labeled_invoices", 3)]
