"""The page of a run, from recorded facts."""

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from stack.embedded.settings import load
from stack.errors import StackError
from stack.runs import page as explain
from stack.runs.dag_runs import DagRun, Task
from stack.runs.page import Facts

BEGAN = datetime(2026, 11, 1, 8, tzinfo=UTC)
DATAOPS_ID, MLOPS_ID = "manual__2026-11-01T08:00:00+00:00", "asset_triggered__2026-11-01T08:00:20+00:00_x1"
METRICS = {"f1_weighted": 0.9, "f1_macro": 0.8, "precision": 0.91, "recall": 0.92, "test_rows": 164}
VOID = ("meta", "link")


def job(number, **more):
    return {"jobId": number, "status": "succeeded", "rowsSynced": 764, "bytesSynced": 9999, "valuesNulled": 0, **more}


def expectation(kind, *, success=True, result, **kwargs):
    kwargs = {"batch_id": "b", **kwargs}
    return {"expectation_type": kind, "success": success, "kwargs": kwargs, "result": result}


def checked(*more, page="file:///gone/page.html"):
    """What a checkpoint returned: two expectations met, and `more`."""
    met = [
        expectation("expect_table_row_count_to_be_between", min_value=100, result={"observed_value": 764}),
        expectation(
            "expect_column_values_to_be_unique", column="id", result={"element_count": 764, "unexpected_count": 0}
        ),
    ]
    each = [*met, *more]
    validation = {"result_url": page, "expectations": each}
    return {"success": all(one["success"] for one in each), "validation_results": [validation]}


def unknown_tags(*tags):
    """An expectation that rows with these tags fail."""
    result = {"element_count": 764, "unexpected_count": len(tags)}
    result["partial_unexpected_index_list"] = [{"tag": tag, "id": number} for number, tag in enumerate(tags)]
    return expectation(
        "expect_column_values_to_be_in_set", success=False, column="tag", value_set=["mlops"], result=result
    )


def dataops_results(**changes):
    return {
        "extract_and_load_projects": job(1),
        "extract_and_load_tags": job(2),
        "validate_projects": checked(),
        "validate_tags": checked(),
        "transform": {"models": 3, "tests": 13, "rows": 760, "warnings": []},
        "validate_transforms": checked(),
        "publish": {"rows": 760},
    } | changes


def promoted(**changes):
    return {
        "candidate": {"name": "tagifai", "version": "4", "cv_f1": 0.89, "trials": 2, **METRICS},
        "champion": {"name": "tagifai", "version": "4", "alias": "champion", "f1_weighted": 0.9},
        "previous": None,
        "decision": "promoted",
        "reason": "there was no champion",
    } | changes


def mlops_results(**changes):
    search = {"study": "5af0-77", "trials": 2, "run": 1, "reused": False, "best_value": 0.89}
    return {
        "extract_data": {"snapshot": "5af0c0ffee", "uri": "…", "rows": 760},
        "validate": checked(),
        "optimize": [search, search],
        "train": {
            **{"snapshot": "5af0c0ffee", "study": "5af0-77", "fingerprint": "f1f1", "trials": 2, "cv_f1": 0.89},
            **{"train_rows": 596, "test_rows": 164},
        },
        "evaluate": {
            **METRICS,
            "per_class": {"mlops": {"precision": 0.5, "recall": 0.6, "f1": 0.545, "rows": 10}},
            "slices": {"short_text": {"rows": 3, "f1_weighted": 0.777}, "empty": {"rows": 0, "f1_weighted": None}},
        },
        "promote": promoted(),
        "predict": {"rows": 760, "model_version": "4"},
    } | changes


def dag_run(dag_id, run_id, results, *, failed=None, began=BEGAN, **facts):
    """A run with two seconds a task; those behind the one that failed have not run."""
    tasks, at, state = {}, began, "success"
    for task_id, result in results.items():
        state = "failed" if task_id == failed else "upstream_failed" if state != "success" else "success"
        group = result if isinstance(result, list) else [result]
        ran = state != "upstream_failed"
        instances = [
            {
                **{"dag_id": dag_id, "dag_run_id": run_id, "task_id": task_id, "try_number": 1 if ran else 0},
                **{"map_index": index if isinstance(result, list) else -1, "state": state},
                # Airflow gives those that have not run a start and an end too.
                "start_date": at.isoformat(),
                "end_date": (at + timedelta(seconds=2 * ran)).isoformat(),
                "duration": 2.0 * ran,
            }
            for index in range(len(group))
        ]
        tasks[task_id] = Task(instances, group if ran else [None for _ in group])
        at += timedelta(seconds=2 if ran else 0)
    told = {"state": "failed" if failed else "success", "run_type": "manual", "note": None}
    times = {"start_date": began.isoformat(), "end_date": at.isoformat()}
    return DagRun(dag_id, run_id, told | times | facts, tasks)


def trial(number, value, *, reused=False, **params):
    params = {"c": 1.5 + number, "max_df": 0.4, **params}
    return {"number": number, "value": value, "seconds": 0.7, "params": params, "reused": reused}


def failure(run, task_id, error):
    return run.tasks[task_id].instances[0] | {"error": error}


def facts_of(dataops=None, mlops=None, **more):
    """Facts of a run that was a success where nothing else is said."""
    known = {"failures": [], "retries": [], "trials": [trial(1, 0.891), trial(0, 0.875)] if mlops else []}
    known["registered"] = {"run_id": "r4", "experiment_id": "7", "git_revision": "0123456789abcdef"} if mlops else None
    return Facts(dataops=dataops, mlops=mlops, **known | more)


def success(**changes):
    """Facts of both runs."""
    results = mlops_results(**changes)
    mlops = dag_run("mlops", MLOPS_ID, results, began=BEGAN + timedelta(seconds=20), run_type="asset_triggered")
    return facts_of(dag_run("dataops", DATAOPS_ID, dataops_results(), note="make run, source /files"), mlops)


def stopped(*tags, error="checkpoint tags: 1 of 3 expectations failed"):
    """Facts of a dataops run that the tags' gate stopped."""
    results = dataops_results(validate_tags=checked(unknown_tags(*tags)))
    results["publish"] = results["validate_transforms"] = results["transform"] = None
    dataops = dag_run("dataops", DATAOPS_ID, results, failed="validate_tags")
    return facts_of(dataops, failures=[failure(dataops, "validate_tags", error)])


class Page(HTMLParser):
    """What a person sees of a page, and what its browser does."""

    def __init__(self, html):
        super().__init__()
        self.html, self.words, self.links, self.tags, self._open = html, [], {}, set(), []
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
            self.links[data] = attributes["href"]


@pytest.fixture
def settings(tmp_path):
    return load(tmp_path / "var")


@pytest.fixture
def page(settings):
    """Function that makes a page of facts."""
    return lambda facts: Page(explain.render(settings, facts))


def test_a_success_is_told_from_source_to_champion(page):
    shown = page(success())
    assert "Run of 2026-11-01 08:00:00 UTC ✓ Success" in shown.text
    assert "manual · make run, source /files" in shown.text
    for step in (
        "extract_and_load_projects Airbyte job 1 read 9,999 bytes 764 764 2.0",
        "validate_tags 2 of 2 expectations met 764 764 2.0",
        "transform 3 dbt models; 13 dbt tests passed 764 + 764 760 2.0",
        "publish labeled_projects replaced in one transaction 764 760 2.0",
        "optimize[1] trials run: 1 596 2.0",
        "evaluate weighted F1 0.900 164 2.0",
        "predict tagged by version 4 760 760 2.0",
    ):
        assert step in shown.text
    assert "not reached" not in shown.text.lower()
    assert "✗" not in shown.text


def test_each_expectation_has_its_observed_value(page):
    shown = page(success())
    assert shown.text.count("expect_table_row_count_to_be_between() min_value=100 764") == 4
    assert shown.text.count("expect_column_values_to_be_unique(id) 0 of 764 rows failing") == 4


def test_trials_have_parameters_and_scores_and_one_is_the_best(page):
    text = page(success()).text
    assert "2 trials, 2 run now" in text
    assert "Trial F1, worst to best c Seconds 1 0.891 ★ Best 2.5 0.7 0 0.875 1.5 0.7" in text
    assert "The same in all: max_df 0.4" in text
    assert text.count("★") == 1


def test_a_trial_of_an_earlier_run_is_marked(page):
    known = success()
    known.trials[1]["reused"] = True
    assert "0 0.875 reused 1.5" in page(known).text


def test_only_the_best_of_many_trials_are_listed(page):
    known = success()
    known.trials[:] = [trial(number, 0.9 - number / 1000) for number in range(60)]
    text = page(known).text
    assert "10 more have lower scores" in text
    assert "0.851" in text
    assert "0.850" not in text


def test_metrics_are_told_overall_by_class_and_by_slice(page):
    text = page(success()).text
    assert "mlops 10 0.500 0.600 0.545" in text
    assert "weighted 164 0.910 0.920 0.900 macro 0.800" in text
    assert "short_text 3 0.777 empty 0 -" in text


def test_links_lead_to_every_ui(page, settings):
    airflow, mlflow = (f"http://localhost:{port}" for port in (settings.ports.airflow, settings.ports.mlflow))
    links = page(success()).links
    assert links[DATAOPS_ID] == f"{airflow}/dags/dataops/runs/{DATAOPS_ID}"
    assert links["publish"] == f"{airflow}/dags/dataops/runs/{DATAOPS_ID}/tasks/publish?try_number=1"
    assert links["optimize[1]"] == f"{airflow}/dags/mlops/runs/{MLOPS_ID}/tasks/optimize/mapped/1?try_number=1"
    assert links["version 4"] == f"{mlflow}/#/models/tagifai/versions/4"
    assert links["MLflow's run of the candidate"] == f"{mlflow}/#/experiments/7/runs/r4"
    assert links["MLflow's experiment"] == f"{mlflow}/#/experiments/7"


def test_files_are_linked_by_paths_from_the_page_and_only_where_they_are(page, settings):
    log = f"logs/airflow/dag_id=dataops/run_id={DATAOPS_ID}/task_id=publish/attempt=1.log"
    docs = "great_expectations/data_docs/validations/tags/__none__/t/w.html"
    for name in (log, docs, "logs/airbyte/job-2.log"):
        (settings.var / name).parent.mkdir(parents=True, exist_ok=True)
        (settings.var / name).touch()
    known = success()
    known.dataops.tasks["validate_tags"].results[0] |= checked(page=f"file://{settings.var / docs}")
    known.dataops.tasks["extract_and_load_tags"].results[0]["logFile"] = str(settings.var / "logs/airbyte/job-2.log")
    shown = page(known)
    assert shown.links["log"] == "../" + log.replace("=", "%3D").replace(":", "%3A").replace("+", "%2B")
    assert shown.links["data docs"] == f"../{docs}"
    assert shown.links["Airbyte's log of tags"] == "../logs/airbyte/job-2.log"
    assert shown.text.count("no longer in the data docs") == 3


def test_a_run_that_a_gate_stopped_shows_the_error_and_how_far_it_got(page):
    shown = page(stopped("sourdough", "rye", error="tags failed:\nsee the tag of row 1"))
    assert "✗ Failed dataops.validate_tags tags failed: see the tag of row 1" in shown.text
    assert "✗ Failed expect_column_values_to_be_in_set(tag) Expected value_set=['mlops']" in shown.text
    assert "Observed 2 of 764 rows failing Such as id tag 0 sourdough 1 rye" in shown.text
    assert "validate_tags ✗ Failed 2 of 3 expectations met 764 0" in shown.text
    assert "transform - Not run validate_transforms - Not run publish - Not run dataops in all 8.0" in shown.text
    assert "mlops not started: nothing was published" in shown.text
    assert "Published - not reached" in shown.text
    assert "the run ended at dataops.validate_tags; the champion is the one of before" in shown.text


def test_a_sync_that_failed_hands_on_no_row(page):
    results = dataops_results(extract_and_load_tags=job(2, status="failed", rowsSynced=17, failureReason="row 18"))
    dataops = dag_run("dataops", DATAOPS_ID, results, failed="extract_and_load_tags")
    known = facts_of(dataops, failures=[failure(dataops, "extract_and_load_tags", "tags.csv, row 18: no id")])
    text = page(known).text
    assert "tags.csv, row 18: no id" in text
    assert "Loaded 764 + 0 projects + tags" in text
    assert re.search(r"extract_and_load_tags ✗ Failed Airbyte job 2 read 9,999 bytes 17 0 2\.0", text)


def test_a_study_that_was_reused_is_told(page):
    search = {"study": "5af0-77", "trials": 2, "run": 0, "reused": True, "best_value": 0.89}
    text = page(success(optimize=[search, search])).text
    assert "2 trials, all reused: an earlier run had the same snapshot, code and search" in text
    assert "optimize[0] no trial was left to run" in text


def test_a_candidate_that_lost_stands_beside_the_champion(page):
    lost = promoted(
        champion={"name": "tagifai", "version": "3", "alias": "champion", "f1_weighted": 0.95},
        previous={"version": "3", **METRICS, "f1_weighted": 0.95},
        decision="kept",
        reason="weighted F1 0.9000 of version 4 is lower than 0.9500 of version 3",
    )
    shown = page(success(promote=lost))
    assert "Not promoted weighted F1 0.9000 of version 4 is lower than 0.9500 of version 3." in shown.text
    assert "Candidate, version 4 0.900 0.800 0.910 0.920 164" in shown.text
    assert "Champion before, version 3 0.950 0.800 0.910 0.920 164" in shown.text
    assert "Champion now: tagifai version 3" in shown.text
    assert "promote version 4 not promoted" in shown.text


def test_tries_that_failed_are_told(page):
    known = success()
    instance = known.mlops.tasks["train"].instances[0]
    known.retries.append(instance | {"state": "failed", "error": "MLflow does not answer"})
    instance["try_number"] = 2
    text = page(known).text
    assert "train ↻ 2 tries" in text
    assert "Tried again mlops.train, try 1 MLflow does not answer" in text


def test_an_mlops_run_of_its_own_has_a_page_without_dataops(page):
    text = page(facts_of(mlops=success().mlops)).text
    assert "none: mlops was started by itself" in text
    assert "Loaded" not in text
    assert "Champion now: tagifai version 4" in text


def test_a_run_that_goes_on_is_told_so_far(page):
    dataops = dag_run("dataops", DATAOPS_ID, dataops_results(publish=None), state="running", end_date=None)
    dataops.tasks["publish"].instances[0].update(state="running", end_date=None, duration=None)
    text = page(facts_of(dataops)).text
    assert "… Running" in text
    assert "Published - not reached" in text


def test_text_of_others_is_never_markup(page):
    evil = "<script>alert('x')</script><img src=//evil.example/x.png>"
    known = stopped(evil, error=f"tag {evil}")
    known.dataops.facts["note"] = evil
    shown = page(known)
    assert shown.text.count(evil) == 3
    evil_run = success(promote=promoted(reason=evil))
    evil_run.mlops.tasks["evaluate"].results[0]["per_class"][evil] = {"precision": 0, "recall": 0, "f1": 0, "rows": 1}
    evil_run.trials[0]["params"]["c"] = evil
    again = page(evil_run)
    assert again.text.count(evil) == 3
    assert not {"script", "img"} & (shown.tags | again.tags)


def test_the_page_fetches_nothing_and_names_no_other_host(page, settings):
    for known in (success(), stopped("sourdough")):
        shown = page(known)
        hosts = set(re.findall(r"https?://([^/\"' <]+)", shown.html))
        assert hosts <= {f"localhost:{settings.ports.airflow}", f"localhost:{settings.ports.mlflow}"}
        assert not {"script", "img", "iframe", "object"} & shown.tags
        assert not re.search(r"\ssrc=|@import|url\(", shown.html)


def test_the_page_is_one_file_named_by_the_run_whatever_its_id(settings, monkeypatch):
    known = success()
    strange = facts_of(DagRun("dataops", "../a b/ü:1", known.dataops.facts, known.dataops.tasks), known.mlops)
    monkeypatch.setattr(explain, "gather", lambda settings, run_id: strange)
    path = explain.write(settings, "../a b/ü:1")
    assert path == settings.var / "explain" / "..-a-b-ü-1.html"
    assert explain.write(settings) == path
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert "../a b/ü:1" in Page(path.read_text(encoding="utf-8")).text


def test_only_the_last_try_of_a_task_is_a_failure(settings, monkeypatch):
    """One that failed before, one that failed for good at its second try, one that waits for its second."""
    dataops = dag_run("dataops", "d3", dataops_results(validate_transforms=None, publish=None), failed="transform")
    projects, tags = (dataops.tasks[f"extract_and_load_{name}"].instances[0] for name in ("projects", "tags"))
    transform = dataops.tasks["transform"].instances[0]
    projects["try_number"] = transform["try_number"] = 2
    tags["state"] = "up_for_retry"
    first = {"try_number": 1, "state": "failed"}
    tried = {projects["task_id"]: [projects | first, projects], "transform": [transform | first, transform]}
    monkeypatch.setattr(Airflow, "tries", lambda self, instance: tried[instance["task_id"]], raising=False)
    errors = lambda self, dag_id, run_id, task_id, number, index: [f"{task_id} {number}"]  # noqa: E731
    monkeypatch.setattr(Airflow, "errors", errors, raising=False)
    monkeypatch.setattr(Airflow, "runs_started_by", lambda *_: [])
    monkeypatch.setattr(explain, "AirflowApi", lambda settings: Airflow())
    monkeypatch.setattr(explain.dag_runs, "read", lambda *_: dataops)
    known = explain.gather(settings, "d3")
    assert [each["error"] for each in known.failures] == ["transform 2"]
    assert [each["error"] for each in known.retries] == [
        "extract_and_load_projects 1",
        "extract_and_load_tags 1",
        "transform 1",
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
def test_a_run_is_found_by_its_id_or_by_that_of_the_run_it_started(run_id, dataops, mlops):
    expected = dataops and ("dataops", dataops), mlops and ("mlops", mlops)
    assert explain._find(Airflow(), run_id) == expected


def test_a_run_that_is_not_there_is_answered_with_those_that_are():
    with pytest.raises(
        StackError, match=r"there is no run nonsense; the last runs of dataops are\s+d3 \(success\)\s+d2"
    ):
        explain._find(Airflow(), "nonsense")


def test_without_any_run_the_way_to_one_is_told(monkeypatch):
    monkeypatch.setattr(Airflow, "last_runs", lambda *_: [])
    with pytest.raises(StackError, match=r"^there is no run yet: make run$"):
        explain._find(Airflow(), None)
