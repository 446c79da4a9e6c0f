import json
from pathlib import Path

import pytest
from pydantic import SecretStr

from tagifai import dataset, findings, reports, train
from tagifai.errors import TagifaiError
from tagifai.evaluate import evaluate
from tagifai.optimize import optimize


@pytest.fixture(scope="module")
def study(settings_in, make_studies, uri, tmp_path_factory):
    """Settings with which a study was completed, and its facts."""
    search = {"trials": 2, "workers": 1, "folds": 3}
    settings = settings_in(tmp_path_factory.mktemp("study"), studies=make_studies()[0], search=search)
    return settings, optimize(settings, uri=uri, worker=0)


@pytest.fixture
def searched(study, tmp_path):
    """Settings with artifacts of the test's own, which hold the findings of the study, and its facts."""
    settings, facts = study
    alone = settings.model_copy(update={"artifacts": str(tmp_path / "artifacts")})
    findings.write(alone, facts["study"], findings.read(settings, facts["study"]))
    return alone, facts


def test_the_candidate_has_the_best_parameters_and_records_how_it_was_made(searched, uri):
    settings, study = searched
    facts = train.train(settings, uri=uri, study=study["study"])
    assert facts["params"] == study["best_params"]
    assert facts["cv_f1"] == study["best_value"]
    assert facts["trials"] == 2
    assert facts["classes"] == {
        "natural-language-processing": 60,
        "computer-vision": 50,
        "mlops": 30,
        "other": 10,
    }
    data = dataset.load(settings, uri)
    assert (facts["train_rows"], facts["test_rows"]) == (len(data.train), len(data.test))
    assert facts["columns"] == {"texts": ["title", "description"], "label": "tag"}
    assert facts["data"] == data.facts
    assert facts["model"] == f"{settings.artifacts}/models/{facts['fingerprint']}"
    assert json.loads(Path(facts["model"], "model.json").read_text()) == {
        name: value for name, value in facts.items() if name not in ("model", "mlflow")
    }


def test_the_same_inputs_train_the_model_only_once(searched, uri):
    settings, study = searched
    first = train.train(settings, uri=uri, study=study["study"])
    file = Path(first["model"], "model.skops")
    file.write_bytes(b"left as it is")
    assert train.train(settings, uri=uri, study=study["study"]) == first
    assert file.read_bytes() == b"left as it is"


def test_an_incomplete_model_is_trained_again(searched, uri):
    settings, study = searched
    folder = train.train(settings, uri=uri, study=study["study"])["model"]
    Path(folder, "model.json").unlink()
    Path(folder, "model.skops").write_bytes(b"half")
    with pytest.raises(TagifaiError, match=r"there is no model in .*: run train"):
        train.load(folder)
    train.train(settings, uri=uri, study=study["study"])
    test = dataset.load(settings, uri).test
    assert len(train.load(folder).predict(test)) == len(test)


def test_another_threshold_is_another_model(searched, uri):
    settings, study = searched
    first = train.train(settings, uri=uri, study=study["study"])
    other = settings.model_copy(update={"threshold": 0.9})
    assert train.train(other, uri=uri, study=study["study"])["model"] != first["model"]


def test_evaluate_writes_the_metrics_of_the_held_out_rows_beside_the_model(searched, uri):
    settings, study = searched
    folder = train.train(settings, uri=uri, study=study["study"])["model"]
    metrics = evaluate(settings, uri=uri, folder=folder)
    assert metrics.pop("mlflow") == {"model": settings.model.name}
    _, test, facts = dataset.load(settings, uri)
    assert metrics["data"] == facts
    accuracy = (train.load(folder).predict(test) == test["tag"]).mean()
    assert metrics["recall"] == pytest.approx(accuracy)
    assert metrics["test_rows"] == len(test)
    assert json.loads(Path(folder, "metrics.json").read_text()) == metrics
    report = reports.REPORTS["evaluate"](settings, metrics, {"uri": uri, "folder": folder})
    assert report["rows_in"] == len(test)
    assert [row[0] for row in report["sections"][0]["rows"]] == [*sorted(set(test["tag"])), "weighted", "macro"]


def test_train_needs_the_findings_of_the_study_and_not_its_database(searched, uri):
    settings, study = searched
    found = findings.read(settings, study["study"])
    assert {name: found[name] for name in ("trials", "best_value", "best_params")} == {
        name: study[name] for name in ("trials", "best_value", "best_params")
    }
    alone = settings.model_copy(update={"studies": SecretStr("postgresql+psycopg2://none:none@127.0.0.1:1/none")})
    facts = train.train(alone, uri=uri, study=study["study"])
    assert facts["params"] == study["best_params"]
    report = reports.REPORTS["train"](alone, facts, {"uri": uri, "study": study["study"]})
    assert report["headlines"]["trials"] == "2, 2 run now"
    assert [row[0] for row in report["sections"][-1]["rows"]] in ([0, 1], [1, 0])


def test_an_unknown_study_or_one_of_another_snapshot_is_an_error(searched, uri):
    settings, study = searched
    with pytest.raises(TagifaiError, match="does not belong to snapshot abc"):
        train.train(settings, uri="/elsewhere/abc.parquet", study=study["study"])
    with pytest.raises(TagifaiError, match=r"there is no study .*-nothing: run optimize"):
        train.train(settings, uri=uri, study=f"{study['study'].split('-')[0]}-nothing")
