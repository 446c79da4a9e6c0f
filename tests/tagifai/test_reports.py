"""What each command reports to the launcher, from facts as the commands return them."""

import json

import pytest

from tagifai import cli, findings, reports

SNAPSHOT = "0123456789abcdef0123456789abcdef"
METRICS = {"f1_weighted": 0.927, "f1_macro": 0.8, "precision": 0.91, "recall": 0.92}


def trial(number, value, *, new=True, **params):
    return {"number": number, "value": value, "seconds": 0.71, "params": params or {"c": 1.0}, "new": new}


@pytest.fixture
def report(settings):
    """Function that gives the report of a command, which is JSON."""

    def report(command, facts, **options):
        made = reports.REPORTS[command](settings, facts, options)
        assert json.loads(json.dumps(made)) == made
        return made

    return report


@pytest.fixture
def train_report(settings, report):
    """Function that gives the report of train for a study with some trials."""

    def train_report(*trials, notes=(), searched=()):
        found = {"trials": len(trials), "best_value": max(each["value"] for each in trials), "best_params": {}}
        findings.write(settings, "s-1", {**found, "train_rows": 596, "history": list(trials), "notes": list(searched)})
        facts = {"train_rows": 596, "snapshot": SNAPSHOT, "data": {"notes": list(notes)}}
        return report("train", facts, study="s-1", uri="…")

    return train_report


@pytest.fixture
def folder(tmp_path):
    """Folder of a candidate with what train knows of it."""
    facts = {"fingerprint": "f1f1", "snapshot": SNAPSHOT, "study": "s-1", "trials": 20, "cv_f1": 0.894}
    (tmp_path / "model.json").write_text(json.dumps(facts | {"train_rows": 596}))
    return str(tmp_path)


def test_every_command_has_a_report():
    assert reports.REPORTS.keys() == cli.main.commands.keys()


def test_extract_names_the_snapshot(report):
    facts = {"snapshot": SNAPSHOT, "uri": "…", "rows": 760}
    assert report("extract", facts) == {"rows_in": 760, "rows_out": 760, "note": "snapshot 0123456789ab"}


def test_train_tells_what_to_know_about_the_data_and_the_search(train_report):
    made = train_report(trial(0, 0.9), notes=["classes that no row has: x"], searched=["the budget is over"])
    assert made["headlines"]["to know"] == "classes that no row has: x; the budget is over"
    assert made["sections"][0]["rows"] == [["Classes that no row has: x."], ["The budget is over."]]


@pytest.mark.parametrize(("run", "note"), [(10, "10 trials run"), (1, "1 trial run"), (0, "no trial was left to run")])
def test_optimize_says_how_many_trials_its_worker_ran(report, train_report, run, note):
    train_report(trial(0, 0.9))
    assert report("optimize", {"study": "s-1", "run": run, "reused": not run}) == {"rows_in": 596, "note": note}


def test_train_shows_the_trials_best_first_with_bars_from_the_worst_to_the_best(train_report):
    params = [{"c": 0.123456, "max_df": 0.4}, {"c": 2.0, "max_df": 0.4}, {"c": 3.0, "max_df": 0.4}]
    made = train_report(*(trial(number, 0.8 + number / 20, **each) for number, each in enumerate(params)))
    assert made["rows_in"] == 596
    assert made["note"] == "the best of 3 trials, cross-validated F1 0.900"
    assert made["headlines"] == {"trials": "3, 3 run now"}
    assert made["summary"] == {"study": {"name": "s-1", "trials": 3, "run": 3, "reused": False}}
    (section,) = made["sections"]
    assert section["title"] == "Trials"
    assert section["columns"] == ["Trial", "F1, worst to best", "c", "Seconds"]
    assert section["text"] == (
        f"3 trials, 3 run now. F1 is weighted and cross-validated. Study s-1 of snapshot {SNAPSHOT}. "
        "The same in all: max_df 0.4."
    )
    assert section["rows"] == [
        [2, {"text": "0.900 ★ best", "share": 1.0}, 3.0, 0.7],
        [1, {"text": "0.850", "share": pytest.approx(0.5)}, 2.0, 0.7],
        [0, {"text": "0.800", "share": 0.0}, 0.1235, 0.7],
    ]


def test_train_marks_reused_trials_unless_all_are(train_report):
    made = train_report(trial(0, 0.9, new=False), trial(1, 0.8), trial(2, 0.8, new=False))
    assert made["headlines"] == {"trials": "3, 1 run now"}
    assert [row[1]["text"] for row in made["sections"][0]["rows"]] == ["0.900 ★ best reused", "0.800", "0.800 reused"]
    made = train_report(trial(0, 0.9, new=False))
    assert made["headlines"] == {"trials": "1, all reused from an earlier run"}
    assert made["summary"]["study"] == {"name": "s-1", "trials": 1, "run": 0, "reused": True}
    (section,) = made["sections"]
    assert section["rows"] == [[0, {"text": "0.900 ★ best", "share": 1.0}, 1.0, 0.7]]
    assert section["text"].startswith("1 trial, all reused: an earlier run had the same snapshot, code and search. ")


def test_train_shows_fifty_trials_at_most(train_report):
    (section,) = train_report(*(trial(number, number / 100, c=float(number)) for number in range(60)))["sections"]
    assert [row[0] for row in section["rows"]] == list(range(59, 9, -1))
    # The scale of the bars reaches down to the worst trial of all.
    assert section["rows"][-1][1]["share"] == pytest.approx(10 / 59)
    assert section["text"].endswith(". 10 more have lower scores.")


def test_evaluate_shows_each_class_the_means_and_the_slices(report, folder):
    classes = {"mlops": {"precision": 0.5, "recall": 0.6, "f1": 0.545, "rows": 10}}
    slices = {"short_text": {"rows": 3, "f1_weighted": 0.777}, "empty": {"rows": 0, "f1_weighted": None}}
    facts = {**METRICS, "test_rows": 164, "per_class": classes, "slices": slices, "mlflow": {"model": "tagifai"}}
    made = report("evaluate", facts, uri="…", folder=folder)
    assert (made["rows_in"], made["note"]) == (164, "weighted F1 0.927")
    candidate = {"version": None, **METRICS, "test_rows": 164, "trials": 20, "cv_f1": 0.894}
    assert made["summary"] == {"candidate": candidate}
    assert made["headlines"]["candidate"].startswith("not registered: f1_weighted 0.927, ")
    metrics, by_slice = made["sections"]
    assert metrics["title"] == "Metrics"
    assert metrics["text"] == (
        "On 164 held-out rows that neither the search nor the training saw. Model f1f1, trained on 596 rows."
    )
    assert metrics["columns"] == ["Class", "Rows", "Precision", "Recall", "F1"]
    assert metrics["rows"] == [
        ["mlops", 10, "0.500", "0.600", {"text": "0.545", "share": 0.545}],
        ["weighted", 164, "0.910", "0.920", {"text": "0.927", "share": 0.927}],
        ["macro", None, None, None, {"text": "0.800", "share": 0.8}],
    ]
    assert by_slice["columns"] == ["Slice", "Rows", "Weighted F1"]
    assert by_slice["rows"] == [["short_text", 3, {"text": "0.777", "share": 0.777}], ["empty", 0, None]]


def promoted(**changes):
    return {
        "candidate": {"name": "a b", "version": "3", **METRICS, "test_rows": 164, "cv_f1": 0.894, "trials": 20},
        "champion": {"name": "a b", "version": "3", "alias": "champion", "f1_weighted": 0.927},
        "previous": {"version": "2", **METRICS, "f1_weighted": 0.9, "test_rows": 164},
        "decision": "promoted",
        "reason": "no lower",
        "git_revision": "0123456789abcdef",
        "mlflow": {"experiment": "7", "run": "r3", "model": "a b", "version": "3"},
    } | changes


def test_promote_compares_candidate_and_champion(report, folder):
    made = report("promote", promoted(), uri="…", folder=folder)
    assert (made["rows_in"], made["note"]) == (164, "version 3 promoted")
    scores = "f1_weighted 0.927, f1_macro 0.800, precision 0.910, recall 0.920"
    assert made["headlines"] == {
        "candidate": f"version 3: {scores} on 164 held-out rows; cross-validated 0.894",
        "champion": "a b version 3, f1_weighted 0.927; candidate promoted: no lower",
    }
    assert made["links"] == {
        "MLflow run": "mlflow:/#/experiments/7/runs/r3?workflowType=machine_learning",
        "MLflow experiment": "mlflow:/#/experiments/7?workflowType=machine_learning",
        "MLflow model": "mlflow:/#/models/a%20b/versions/3?workflowType=machine_learning",
    }
    assert made["summary"] == {
        "candidate": {"version": "3", **METRICS, "test_rows": 164, "trials": 20, "cv_f1": 0.894},
        "champion": {"name": "a b", "version": "3", "alias": "champion", "f1_weighted": 0.927},
        "gate": {"decision": "promoted", "reason": "no lower"},
    }
    (section,) = made["sections"]
    assert section["text"] == (
        "Promoted: no lower. Champion now: a b version 3. The candidate: fingerprint f1f1, "
        f"snapshot {SNAPSHOT}, study s-1, git revision 0123456789ab."
    )
    assert section["rows"] == [
        ["Candidate, version 3", "0.927", "0.800", "0.910", "0.920", 164],
        ["Champion before, version 2", "0.900", "0.800", "0.910", "0.920", 164],
    ]


def test_a_candidate_that_is_not_promoted_is_called_so_and_the_champion_has_a_link(report, folder):
    champion = {"name": "a b", "version": "2", "alias": "champion", "f1_weighted": 0.95}
    made = report("promote", promoted(decision="kept", champion=champion, previous=None), uri="…", folder=folder)
    assert made["note"] == "version 3 not promoted"
    assert made["headlines"]["champion"] == "a b version 2, f1_weighted 0.950; candidate kept: no lower"
    assert made["links"]["MLflow champion"] == "mlflow:/#/models/a%20b/versions/2?workflowType=machine_learning"
    assert made["sections"][0]["text"].startswith("Not promoted: no lower. Champion now: a b version 2. ")
    assert len(made["sections"][0]["rows"]) == 1


def test_predict_links_to_the_version_that_tagged(report):
    assert report("predict", {"rows": 760, "model_version": "4", "mlflow": {}}) == {
        "rows_in": 760,
        "rows_out": 760,
        "note": "predicted by version 4",
        "links": {"MLflow champion": "mlflow:/#/models/tagifai/versions/4?workflowType=machine_learning"},
    }


def test_predict_says_how_many_rows_of_the_warehouse_have_no_label(report):
    facts = {"rows": 760, "unlabeled": 1, "model_version": "4", "mlflow": {}}
    assert report("predict", facts)["note"] == "predicted by version 4; 1 row without a label"


def test_publish_puts_the_predictions_into_the_summary(report):
    facts = {"rows": 1760, "unlabeled": 12, "model_version": "4", "published": True}
    assert report("publish", facts) == {
        "rows_in": 1760,
        "rows_out": 1760,
        "note": "published in one transaction",
        "headlines": {
            "predictions": "1,760 by version 4, published in one transaction; 12 rows without a label",
        },
        "summary": {"predictions": facts},
    }


def test_publish_says_that_newer_predictions_are_kept(report):
    made = report("publish", {"rows": 9, "unlabeled": 0, "model_version": "4", "published": False})
    assert (made["rows_out"], made["note"]) == (0, "not published: newer ones are published already")
