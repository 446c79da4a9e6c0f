"""The page of a run, on a run of another application."""

import json
import re
from html.parser import HTMLParser

import pytest

from stack.errors import StackError
from stack.runs import page as explain

VOID = ("meta", "link")


class Page(HTMLParser):
    """The visible text, the links and the elements of a page."""

    def __init__(self, html):
        super().__init__()
        self.html, self.words, self.links, self.tags, self._open = html, [], [], set(), []
        self.feed(html)
        self.close()
        assert self._open == [], "these elements are not closed"
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in VOID:
            self._open.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, data):
        tag, attributes = self._open[-1] if self._open else ("", {})
        if tag != "style":
            self.words.append(data)
        if tag == "a":
            self.links.append((data, attributes["href"]))


@pytest.fixture
def page(recording, place):
    """Function that makes the page of the recorded run as it is now."""
    return lambda run_id=None: Page(explain.render(place, explain.gather(place.settings, run_id)))


def test_the_steps_of_any_graph_have_notes_rows_and_seconds(page):
    shown = page()
    assert "Run of 2026-11-01 08:00:00 UTC ✗ Failed 34.0 s in all" in shown.text
    assert "manual · make run, source /files" in shown.text
    for step in (
        "load_customers 40 customers from the register 40 40 2.0",
        "check_invoices 2 of 2 expectations met 1,250 1,250 2.0",
        "reconcile 4 models; 9 tests passed 1,250 + 40 1,180 3.0",
        "post_ledger ledger replaced 1,180 1,180 2.0 dataops in all 18.0",
        "search[0] round 1 of 2 960 500 2.0 search[1] round 2 of 2 960 460 3.0",
        "fit the best of 2 rounds · MLflow run 960 1.0",
        "audit ✗ Failed audit: 1 of 3 expectations failed 0 2.0",
        "score_invoices - Not run mlops in all 14.0",
    ):
        assert step in shown.text


def test_a_success_has_nothing_that_failed(page, recording):
    recording.run("mlops")["state"] = recording.instance("mlops", "audit")["state"] = "success"
    del recording.answers[recording.path("mlops", "/taskInstances/audit/xcomEntries/report")]
    shown = page()
    assert "✓ Success 34.0 s in all" in shown.text
    assert "✗" not in shown.text


def test_headlines_stand_at_the_top_in_the_order_of_the_graph(page):
    head, _, _ = page().text.partition("Steps")
    assert (
        "search 2 of 2 rounds candidate version 4: error 0.31 on 220 invoices "
        "champion duns version 4, error 0.31; candidate promoted: there was no champion" in head
    )


def test_sections_are_tables_with_bars_and_numbers_on_the_right(page):
    shown = page()
    for section in (
        "Rounds The error is cross-validated. Round Error, lowest first Depth Seconds 1 0.31 4 0.25 2 0.32 5 1,250",
        "Role Error Invoices Candidate, version 4 0.310 220 Champion before Method Dunning by boosted trees.",
    ):
        assert section in shown.text
    assert re.findall(r'class="share"><span style="width: (.+?)%"></span></span>([\d.]+)', shown.html) == [
        ("100.0", "0.31"),
        ("25.0", "0.32"),
    ]
    for cell in (">Candidate, version 4", ' class="number">0.310', ' class="number">1,250', ">"):
        assert f"<td{cell}</td>" in shown.html
    heads = '<th class="number">Round</th><th>Error, lowest first</th><th class="number">Depth</th>'
    assert heads in shown.html


def test_each_expectation_has_its_observed_value(page):
    shown = page()
    assert "✓ Passed check_invoices 2 of 2 expectations met" in shown.text
    assert "expect_table_row_count_to_be_between() min_value=100 1250" in shown.text
    assert "expect_column_values_to_be_unique(number) 0 of 1250 rows failing" in shown.text


def test_a_failed_expectation_has_examples(page):
    assert (
        "✗ Failed audit 2 of 3 expectations met · no longer in the data docs "
        "✗ Failed expect_column_values_to_be_in_set(currency) Expected value_set=['EUR', 'CHF'] "
        "Observed 2 of 220 rows failing Such as number currency R-17 XXX R-18 null 2 met" in page().text
    )


def test_an_expectation_that_could_not_be_checked_has_the_reason(page, recording):
    failed = recording.report("mlops", "audit")["checks"]["failed"][0]
    failed |= {"exception": "column currency does not exist", "examples": []}
    text = page().text
    assert "Not checked column currency does not exist" in text
    assert "Such as" not in text


def test_links_lead_to_every_ui(page, settings, recording):
    airflow, mlflow, airbyte = map(settings.link, ("airflow", "mlflow", "airbyte"))
    dataops, mlops = recording.run_ids.values()
    links = dict(page().links)
    assert links[dataops] == f"{airflow}/dags/dataops/runs/{dataops}"
    assert links["post_ledger"] == f"{airflow}/dags/dataops/runs/{dataops}/tasks/post_ledger?try_number=1"
    assert links["search[1]"] == f"{airflow}/dags/mlops/runs/{mlops}/tasks/search/mapped/1?try_number=1"
    assert links["Airflow: this run of mlops"] == f"{airflow}/dags/mlops/runs/{mlops}"
    assert links["MLflow: experiments and models"] == f"{mlflow}/#/experiments?workflowType=machine_learning"
    assert links["MLflow run"] == f"{mlflow}/#/experiments/7/runs/r4"
    assert links["Model"] == f"{mlflow}/#/models/duns/versions/4"
    assert links["Sync log"] == f"{airbyte}/jobs/7/log"
    assert links["data docs"] == "https://docs.example/invoices.html"


def test_links_of_a_report_stand_at_its_step_at_its_failure_and_at_the_end(page, recording):
    recording.report("mlops", "audit")["links"] = {"Rules": "https://rules.example", "Script": "javascript:alert(1)"}
    shown = page()
    assert shown.links.count(("Rules", "https://rules.example")) == 3
    assert "Where to look" in shown.text.partition("mlops.audit: Rules")[0]
    assert "Script" not in shown.text


def test_files_are_linked_by_paths_from_the_page_and_only_if_they_exist(page, settings, recording):
    run_id = recording.run_ids["dataops"]
    log = f"logs/airflow/dag_id=dataops/run_id={run_id}/task_id=post_ledger/attempt=1.log"
    docs = "great_expectations/data_docs/tagifai/index.html"
    for name in (log, docs, "logs/sync-2.log"):
        (settings.var / name).parent.mkdir(parents=True, exist_ok=True)
        (settings.var / name).touch()
    recording.report("mlops", "audit")["checks"]["page"] = f"file://{settings.var / docs}"
    recording.report("dataops", "load_customers")["links"] = {
        "Sync's log": str(settings.var / "logs/sync-2.log"),
        "Lost log": str(settings.var / "logs/sync-3.log"),
    }
    shown = page()
    links = dict(shown.links)
    assert links["log"] == "../" + log.replace("=", "%3D").replace(":", "%3A").replace("+", "%2B")
    assert links["data docs"] == links["Data docs"] == f"../{docs}"
    assert links["Sync's log"] == "../logs/sync-2.log"
    assert links["Logs of services and tasks"] == "../logs"
    assert "Lost log" not in shown.text
    assert "no longer in the data docs" not in shown.text


def test_a_run_that_a_check_stopped_shows_the_error_and_how_far_it_got(page, recording):
    recording.stop_dataops("check_invoices", "invoices failed:\nsee the number of row 1")
    recording.report("dataops", "check_invoices")["rows_out"] = 0
    shown = page()
    assert "✗ Failed dataops.check_invoices invoices failed: see the number of row 1" in shown.text
    assert "check_invoices ✗ Failed 2 of 2 expectations met 1,250 0" in shown.text
    assert "reconcile - Not run post_ledger - Not run dataops in all 18.0" in shown.text
    assert "mlops not started: dataops has not succeeded" in shown.text
    assert "The run ended at dataops.check_invoices; the tasks after it did not run." in shown.text


def test_a_failure_after_the_promotion_does_not_claim_that_the_champion_is_the_same(page):
    assert "✗ Failed mlops.audit audit: 1 of 3 expectations failed: see the currency of invoice R-17" in page().text
    assert "the champion is the same" not in page().text


def test_a_task_that_hands_on_no_row_shows_a_zero(page, recording):
    recording.report("dataops", "load_customers").update(rows_in=17, rows_out=0, note="row 18 has no name")
    text = page().text
    assert "load_customers row 18 has no name 17 0 2.0" in text
    assert "reconcile 4 models; 9 tests passed 1,250 + 0 1,180 3.0" in text


def test_failed_tries_are_shown_with_their_errors(page):
    text = page().text
    assert "load_invoices ↻ 2 tries" in text
    assert "Retries dataops.load_invoices, try 1 the register does not answer" in text


def test_an_mlops_run_of_its_own_has_a_page_without_dataops(page, recording):
    recording.answers[recording.path("mlops", "/upstreamAssetEvents")] = {"asset_events": []}
    text = page(recording.run_ids["mlops"]).text
    assert "none: mlops was started by hand" in text
    assert "load_invoices" not in text
    assert "champion duns version 4" in text


def test_a_run_that_goes_on_has_a_page_of_what_is_known(page, recording):
    recording.stop_dataops("post_ledger", "")
    recording.run("dataops").update(state="running", end_date=None)
    recording.instance("dataops", "post_ledger").update(state="running", end_date=None, duration=None)
    del recording.answers[recording.path("dataops", "/taskInstances/post_ledger/xcomEntries/report")]
    text = page().text
    assert "… Running" in text
    assert re.search(
        r"post_ledger … Running 1,180 dataops in all Checks|post_ledger … Running 1,180 dataops in all", text
    )


def test_a_run_whose_asset_event_nobody_has_taken_up_says_so(page, recording):
    recording.answers["/assets/events"] = {"asset_events": []}
    assert "mlops not started: the asset event has started no run yet" in page().text


@pytest.mark.parametrize("report", [None, "no object", {"note": 7, "rows_in": "x", "sections": {}, "checks": [1]}])
def test_a_missing_or_malformed_report_leaves_the_rest_of_the_page(page, recording, report):
    for task_id in ("judge", "audit"):
        recording.xcom("mlops", task_id)["value"] = report
    text = page().text
    assert "✓ Passed check_invoices" in text
    assert "Rounds The error is cross-validated." in text
    assert "audit ✗ Failed" in text


def test_text_of_others_is_never_markup(page, recording):
    evil = "<script>alert('x')</script><img src=//evil.example/x.png>"
    recording.run("dataops")["note"] = evil
    recording.error("mlops", "audit", evil)
    bar = {"text": evil, "share": 1}
    section = {"title": evil, "text": evil, "columns": [evil], "rows": [[evil], [bar]]}
    links = {evil: f'https://evil.example/"{evil}'}
    check = {"subject": evil, "expected": evil, "observed": evil, "examples": [{evil: evil}]}
    unchecked = {"subject": evil, "exception": evil}
    recording.xcom("mlops", "audit")["value"] = {
        **{"note": evil, "links": links, "headlines": {evil: evil}, "sections": [section]},
        "checks": {"page": f"https://{evil}", "failed": [check, unchecked], "passed": [check]},
    }
    shown = page()
    # Run note, error, step note, 3 links, headline 2, section 5, checks 5 + 2 + 3.
    assert shown.text.count(evil) == 23
    assert not {"script", "img"} & shown.tags


def test_the_page_loads_nothing_and_names_no_other_host(page, settings, recording):
    recording.report("dataops", "check_invoices")["checks"]["page"] = ""
    shown = page()
    hosts = set(re.findall(r"https?://([^/\"' <]+)", shown.html))
    assert hosts == {
        f"localhost:{port}" for port in (settings.ports.airflow, settings.ports.mlflow, settings.ports.airbyte)
    }
    assert not {"script", "img", "iframe", "object"} & shown.tags
    assert not re.search(r"\ssrc=|@import|url\(", shown.html)


def test_the_page_is_one_file_named_by_the_run_whatever_its_id(place, recording):
    strange = "../a b/ü:1"
    answers = json.dumps(recording.answers, ensure_ascii=False)
    recording.answers = json.loads(answers.replace(recording.run_ids["dataops"], strange))
    path = explain.write(place, strange)
    assert path == place.settings.var / "explain" / "..-a-b-ü-1.html"
    assert explain.write(place) == path
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert strange in Page(path.read_text(encoding="utf-8")).text


def test_only_the_last_try_of_a_task_is_a_failure(settings, recording):
    """One that failed before, one that failed for good at its second try, one that waits for its second."""
    recording.stop_dataops("reconcile", "reconcile 1")
    reconcile = recording.instance("dataops", "reconcile")
    reconcile["try_number"] = 2
    first = reconcile | {"try_number": 1, "state": "failed"}
    path = recording.path("dataops", "/taskInstances/reconcile")
    recording.answers[f"{path}/tries"] = {"task_instances": [first, reconcile]}
    recording.answers[f"{path}/logs/2"] = {"content": [{"level": "error", "event": "reconcile 2"}]}
    recording.instance("dataops", "load_customers")["state"] = "up_for_retry"
    recording.error("dataops", "load_customers", "load_customers 1")
    known = explain.gather(settings, None)
    assert [each["error"] for each in known.failures] == ["reconcile 2"]
    assert sorted(each["error"] for each in known.retries) == [
        "load_customers 1",
        "reconcile 1",
        "the register does not answer",
    ]


class Airflow:
    """An Airflow with three runs of dataops, the last of which started one of mlops, and one of mlops by hand."""

    def last_runs(self, dag_id, limit):
        return [{"dag_run_id": f"d{number}", "state": "success"} for number in (3, 2, 1)][:limit]

    def has_run(self, dag_id, run_id):
        return run_id in {"dataops": ("d1", "d2", "d3"), "mlops": ("m3", "by-hand")}[dag_id]

    def runs_started_by(self, dag_id, run_id):
        return [("mlops", "m3")] if run_id == "d3" else []

    def runs_that_started(self, dag_id, run_id):
        return [("dataops", "d2"), ("dataops", "d3")] if run_id == "m3" else []


@pytest.mark.parametrize(
    ("run_id", "dataops", "mlops"),
    [(None, "d3", "m3"), ("d3", "d3", "m3"), ("m3", "d3", "m3"), ("d1", "d1", None), ("by-hand", None, "by-hand")],
)
def test_a_run_is_found_by_its_id_or_by_that_of_the_run_it_started(settings, run_id, dataops, mlops):
    expected = dataops and ("dataops", dataops), mlops and ("mlops", mlops)
    assert explain._find(Airflow(), settings, run_id) == expected


def test_the_error_for_an_unknown_run_lists_the_last_runs(settings):
    with pytest.raises(
        StackError, match=r"there is no run nonsense; the last runs of dataops are\s+d3 \(success\)\s+d2"
    ):
        explain._find(Airflow(), settings, "nonsense")


def test_without_any_run_the_error_names_the_command_that_makes_one(settings, monkeypatch):
    monkeypatch.setattr(Airflow, "last_runs", lambda *_: [])
    with pytest.raises(StackError, match=r"^there is no run yet: make run$"):
        explain._find(Airflow(), settings, None)
