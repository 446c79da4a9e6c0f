import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import mlflow
import pytest
import requests

from tagifai import dataset, findings, registry, reports, train
from tagifai.errors import TagifaiError
from tagifai.evaluate import measure
from tagifai.promote import promote
from tagifai.settings import Split
from tagifai.snapshot import columns_of, hash_of

ROOT = Path(__file__).resolve().parents[2]
UI = Path(mlflow.__file__).parent / "server" / "js" / "build" / "static" / "js"


@pytest.fixture
def connected(make_settings, mlflow_url, request):
    """Settings with MLflow and a model name of this test's own."""
    name = re.sub(r"\W+", "-", request.node.name)
    return make_settings(mlflow=mlflow_url, model={"name": name}, git_revision="0123abc")


@pytest.fixture
def candidate(connected, uri, best_of_one):
    """Function that trains a candidate with some settings changed, as if a study had found the parameters."""

    def candidate(snapshot=uri, **changes):
        name = f"{hash_of(snapshot)}-by-hand"
        findings.write(connected, name, best_of_one)
        return train.train(connected.model_copy(update=changes), uri=snapshot, study=name)["model"]

    return candidate


@pytest.fixture
def good(candidate):
    return candidate()


@pytest.fixture
def bad(candidate):
    """Answers `other` nearly always."""
    return candidate(threshold=0.99)


@pytest.fixture
def client(mlflow_url):
    return mlflow.MlflowClient(mlflow_url)


def versions(client, settings):
    return sorted(int(each.version) for each in client.search_model_versions(f"name = '{settings.model.name}'"))


def champion(client, settings):
    return str(client.get_model_version_by_alias(settings.model.name, "champion").version)


def test_the_first_candidate_becomes_champion_and_its_version_records_how_it_was_made(connected, uri, good, client):
    facts = promote(connected, uri=uri, folder=good)
    assert (facts["decision"], facts["reason"]) == ("promoted", "there was no champion")
    assert facts["previous"] is None
    expected = measure(train.load(good), dataset.load(connected, uri).test, connected)
    assert facts["candidate"] == {
        "name": connected.model.name,
        "version": "1",
        **{name: expected[name] for name in ("f1_weighted", "f1_macro", "precision", "recall", "test_rows")},
        "cv_f1": 0.75,
        "trials": 1,
    }
    assert facts["champion"] == {
        "name": connected.model.name,
        "version": "1",
        "alias": "champion",
        "f1_weighted": expected["f1_weighted"],
    }
    version = client.get_model_version_by_alias(connected.model.name, "champion")
    assert version.tags == {
        "fingerprint": train.facts_of(good)["fingerprint"],
        "snapshot": hash_of(uri),
        "study": f"{hash_of(uri)}-by-hand",
        "git_revision": "0123abc",
        "train_rows": str(train.facts_of(good)["train_rows"]),
        "test_rows": str(expected["test_rows"]),
        "labels_min_freq": "20",
        "labels_rest": "other",
        "labels_several": "stop",
        "decision": "promoted",
        "reason": "there was no champion",
    }
    assert version.description.startswith("Promoted: there was no champion.")
    run = client.get_run(version.run_id)
    assert run.info.run_name == f"{connected.model.name} version 1"
    assert client.get_experiment(run.info.experiment_id).name == connected.model.name
    assert run.data.params["c"] == "1.0"
    assert run.data.metrics["f1_weighted"] == pytest.approx(expected["f1_weighted"])
    assert run.data.metrics["f1_of_mlops"] == pytest.approx(expected["per_class"]["mlops"]["f1"])
    logged_with_it = {name: value for name, value in version.tags.items() if name not in ("decision", "reason")}
    assert logged_with_it.items() <= run.data.tags.items()
    assert facts["mlflow"] == {
        "experiment": run.info.experiment_id,
        "run": run.info.run_id,
        "model": connected.model.name,
        "version": "1",
    }
    assert facts["git_revision"] == "0123abc"
    report = reports.REPORTS["promote"](connected, facts, {"uri": uri, "folder": good})
    experiment = f"mlflow:/#/experiments/{run.info.experiment_id}"
    assert report["links"] == {
        "MLflow run": f"{experiment}/runs/{run.info.run_id}?workflowType=machine_learning",
        "MLflow experiment": f"{experiment}?workflowType=machine_learning",
        "MLflow model": f"mlflow:/#/models/{connected.model.name}/versions/1?workflowType=machine_learning",
    }
    assert "git revision 0123abc" in report["sections"][0]["text"]
    (logged,) = run.outputs.model_outputs
    logged = client.get_logged_model(logged.model_id)
    assert logged.params == run.data.params
    assert {metric.key: metric.value for metric in logged.metrics} == run.data.metrics


def test_both_sides_of_the_split_are_data_sets_of_the_run(connected, uri, good, client):
    run = client.get_run(promote(connected, uri=uri, folder=good)["mlflow"]["run"])
    found = {each.tags[0].value: each for each in run.inputs.dataset_inputs}
    rows = {use: json.loads(each.dataset.profile)["num_rows"] for use, each in found.items()}
    facts = train.facts_of(good)
    assert rows == {"training": facts["train_rows"], "evaluation": facts["test_rows"]}
    for use, side in (("training", "training"), ("evaluation", "held-out")):
        assert found[use].dataset.name == f"labeled_projects {side} rows"
        assert mlflow.data.get_source(found[use]).uri == uri
        columns = json.loads(found[use].dataset.schema)["mlflow_colspec"]
        assert [column["name"] for column in columns] == list(columns_of(connected.columns))


def test_mlflow_serves_the_registered_model(connected, uri, good, projects):
    promote(connected, uri=uri, folder=good)
    mlflow.set_tracking_uri(connected.mlflow)
    served = mlflow.pyfunc.load_model(f"models:/{connected.model.name}@champion")
    assert served.metadata.get_input_schema().input_names() == ["title", "description"]
    assert len(served.input_example) == 3
    expected = train.load(good)
    assert served.predict(projects[["title", "description"]]).tolist() == expected.predict(projects).tolist()
    loaded = registry.load(connected, registry.champion(connected))
    assert (loaded.predict_proba(projects) == expected.predict_proba(projects)).all()


ELSEWHERE = """
import json, sys
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
import tagifai.model
answers = model.predict(model.input_example)
sure = model.get_raw_model().predict_proba(model.input_example)
print(json.dumps([tagifai.model.__file__, list(model.input_example.columns), answers.tolist(), sure.tolist()]))
"""


def used_elsewhere(settings, folder, python, *preamble):
    """What a program of another team gets from the champion; it knows MLflow and nothing of ours."""
    program = [*python, "-c", "\n".join([*preamble, ELSEWHERE])]
    arguments = [settings.mlflow, f"models:/{settings.model.name}@champion"]
    environment = {"MLFLOW_DISABLE_TELEMETRY": "true", "HOME": str(folder), "PATH": os.environ["PATH"]}
    done = subprocess.run([*program, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def check_use_elsewhere(settings, folder, uri, used):
    code, columns, answers, sure = used
    assert Path(code).parts[-3:] == ("code", "tagifai", "model.py")
    assert columns == list(settings.columns.texts)
    model, rows = train.load(folder), dataset.load(settings, uri).test.head(len(answers))
    assert answers == model.predict(rows).tolist()
    assert sure == pytest.approx(model.predict_proba(rows))


def test_the_champion_brings_the_code_that_it_needs(connected, uri, good, tmp_path):
    promote(connected, uri=uri, folder=good)
    # Without the .pth file by which this environment finds the checkout.
    packages = f"import sys; sys.path.append({sysconfig.get_path('purelib')!r})"
    used = used_elsewhere(connected, tmp_path, [sys.executable, "-I", "-S"], packages)
    check_use_elsewhere(connected, good, uri, used)


@pytest.mark.slow
def test_the_champion_works_in_an_environment_of_its_own_requirements(connected, uri, good, tmp_path):
    promote(connected, uri=uri, folder=good)
    mlflow.set_tracking_uri(connected.mlflow)
    requirements = mlflow.pyfunc.get_model_dependencies(f"models:/{connected.model.name}@champion")
    uv, environment = str(ROOT / "var" / "env" / "uv" / "bin" / "uv"), str(tmp_path / "environment")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, environment], check=True)
    install = [uv, "pip", "install", "--quiet", "--python", environment, "--requirements", requirements]
    subprocess.run(install, cwd=tmp_path, check=True)
    used = used_elsewhere(connected, tmp_path, [f"{environment}/bin/python", "-I"])
    check_use_elsewhere(connected, good, uri, used)


def test_promoting_the_same_candidate_again_changes_nothing(connected, uri, good, client):
    first = promote(connected, uri=uri, folder=good)
    again = promote(connected, uri=uri, folder=good)
    assert again["decision"] == "kept"
    assert "version 1 is already the champion" in again["reason"]
    assert (again["candidate"], again["champion"]) == (first["candidate"], first["champion"])
    assert client.get_model_version(connected.model.name, "1").tags["decision"] == "promoted"
    assert versions(client, connected) == [1]


def test_a_worse_candidate_is_registered_but_does_not_become_champion(connected, uri, good, bad, client):
    promote(connected, uri=uri, folder=good)
    facts = promote(connected, uri=uri, folder=bad)
    assert facts["decision"] == "kept"
    told = client.get_model_version(connected.model.name, "2")
    assert (told.tags["decision"], told.tags["reason"]) == ("kept", facts["reason"])
    assert told.description.startswith(f"Kept: {facts['reason']}.")
    assert facts["candidate"]["f1_weighted"] < facts["champion"]["f1_weighted"]
    expected = measure(train.load(good), dataset.load(connected, uri).test, connected)
    shown = ("f1_weighted", "f1_macro", "precision", "recall", "test_rows")
    assert facts["previous"] == {"version": "1", **{name: expected[name] for name in shown}}
    assert (facts["candidate"]["version"], facts["champion"]["version"]) == ("2", "1")
    assert "of version 2 is lower than" in facts["reason"]
    assert champion(client, connected) == "1"
    assert versions(client, connected) == [1, 2]


def test_a_better_candidate_becomes_champion_whatever_its_version(connected, uri, good, bad, client):
    promote(connected, uri=uri, folder=bad)
    facts = promote(connected, uri=uri, folder=good)
    assert (facts["decision"], facts["champion"]["version"]) == ("promoted", "2")
    assert "of version 2 is not lower than" in facts["reason"]
    assert champion(client, connected) == "2"
    assert facts["champion"]["f1_weighted"] == facts["candidate"]["f1_weighted"]


def test_an_equal_candidate_becomes_champion(connected, uri, good, candidate, client):
    promote(connected, uri=uri, folder=good)
    twin = candidate(threshold=0.001)
    facts = promote(connected, uri=uri, folder=twin)
    assert (facts["decision"], facts["champion"]["version"]) == ("promoted", "2")
    assert champion(client, connected) == "2"


def test_the_champion_is_measured_again_on_the_current_rows(connected, uri, good, candidate, projects, save_snapshot):
    """It knew all rows of its time; today its words mean the opposite, and the candidate has learnt that."""
    before = promote(connected, uri=uri, folder=good)["champion"]["f1_weighted"]
    swap = {"computer-vision": "natural-language-processing", "natural-language-processing": "computer-vision"}
    swapped = save_snapshot(projects.assign(tag=projects["tag"].replace(swap)), connected.artifacts)
    facts = promote(connected, uri=swapped, folder=candidate(swapped))
    assert facts["decision"] == "promoted"
    assert facts["candidate"]["f1_weighted"] == pytest.approx(before)
    measured = measure(train.load(good), dataset.load(connected, swapped).test, connected)["f1_weighted"]
    assert f"not lower than {measured:.4f} of version 1" in facts["reason"]
    assert measured < 0.5 < before


def test_a_champion_of_another_split_is_compared_on_the_rows_that_both_hold_out(connected, uri, good, candidate):
    other = {"split": connected.split.model_copy(update={"seed": 3, "test_size": 0.5})}
    rival = candidate(**other)
    promote(connected.model_copy(update=other), uri=uri, folder=rival)
    facts = promote(connected, uri=uri, folder=good)
    today, then = (dataset.load(each, uri).test for each in (connected, connected.model_copy(update=other)))
    rows = today[today["id"].isin(then["id"])]
    assert 0 < len(rows) < len(today)
    scores = [measure(train.load(each), rows, connected)["f1_weighted"] for each in (good, rival)]
    assert facts["previous"]["test_rows"] == len(rows)
    assert facts["previous"]["f1_weighted"] == scores[1]
    assert f"weighted F1 {scores[0]:.4f} of version 2" in facts["reason"]
    assert facts["reason"].endswith(f"on the same {len(rows)} held-out rows of both splits")
    assert facts["candidate"]["test_rows"] == len(today)


def test_a_champion_trained_on_all_held_out_rows_is_replaced(connected, uri, good, bad, monkeypatch):
    promote(connected, uri=uri, folder=good)
    monkeypatch.setattr(registry, "split_of", lambda *_: Split(seed=3, test_size=1e-9))
    facts = promote(connected, uri=uri, folder=bad)
    assert (facts["decision"], facts["previous"]) == ("promoted", None)
    assert facts["reason"] == "version 1 was trained on all of the current held-out rows"


@pytest.mark.parametrize(("read", "told"), [(["title"], "title"), ([], "other columns")])
def test_a_champion_that_reads_other_columns_is_replaced(connected, uri, good, bad, monkeypatch, read, told):
    """One of older code, which held rows out by their ids, does not tell which columns it reads."""
    promote(connected, uri=uri, folder=good)
    monkeypatch.setattr("tagifai.promote.columns_of", lambda _: read)
    facts = promote(connected, uri=uri, folder=bad)
    assert (facts["decision"], facts["previous"]) == ("promoted", None)
    assert facts["reason"] == f"version 1 reads {told}"


def test_a_champion_without_a_run_is_compared_on_all_held_out_rows(connected, uri, good, bad, monkeypatch):
    promote(connected, uri=uri, folder=good)
    version = registry.champion(connected)
    assert registry.split_of(connected, version) == connected.split
    version._run_id = None
    assert registry.split_of(connected, version) is None
    monkeypatch.setattr(registry, "champion", lambda _: version)
    facts = promote(connected, uri=uri, folder=bad)
    assert facts["previous"]["test_rows"] == len(dataset.load(connected, uri).test)


def test_the_next_call_completes_a_promotion_that_crashed_before_the_alias_was_set(connected, uri, good, client):
    rows = dataset.load(connected, uri).test
    metrics = measure(train.load(good), rows, connected)
    registry.register(connected, train.load(good), train.facts_of(good), metrics, rows, uri=uri)
    assert registry.champion(connected) is None
    assert promote(connected, uri=uri, folder=good)["decision"] == "promoted"
    assert champion(client, connected) == "1"
    assert versions(client, connected) == [1]


def test_a_run_that_crashed_before_it_registered_a_version_is_deleted(connected, uri, good, client):
    experiment = client.create_experiment(connected.model.name)
    crashed = client.create_run(experiment, tags={"fingerprint": train.facts_of(good)["fingerprint"]})
    promote(connected, uri=uri, folder=good)
    runs = client.search_runs([experiment])
    assert len(runs) == 1
    assert runs[0].info.run_id != crashed.info.run_id
    assert runs[0].info.status == "FINISHED"


def promote_and_die(step, settings, uri, folder):
    """Promote in a process that kills itself before or after its first request of a kind."""
    when, method, path = step.split()
    send = requests.Session.send

    def send_and_die(self, request, **kwargs):
        meant = request.method == method and request.path_url.endswith(path)
        if meant and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = send(self, request, **kwargs)
        if meant:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    requests.Session.send = send_and_die
    promote(settings, uri=uri, folder=folder)


@pytest.mark.parametrize(
    "step",
    [
        "after POST mlflow/runs/create",
        "after POST mlflow/logged-models",
        "after PUT model.skops",
        "before POST mlflow/model-versions/create",
        "after POST mlflow/model-versions/create",
        "after POST mlflow/model-versions/set-tag",
        "before POST mlflow/registered-models/alias",
        "after POST mlflow/registered-models/alias",
    ],
)
def test_promote_killed_at_any_step_and_run_again_ends_with_one_version_as_champion(connected, uri, good, client, step):
    # A copy of this process has MLflow imported already, which takes a new one seconds.
    killed = multiprocessing.get_context("fork").Process(target=promote_and_die, args=(step, connected, uri, good))
    killed.start()
    killed.join(timeout=240)
    assert killed.exitcode == -signal.SIGKILL
    facts = promote(connected, uri=uri, folder=good)
    assert facts["champion"]["version"] == facts["candidate"]["version"] == champion(client, connected) == "1"
    assert versions(client, connected) == [1]
    experiment = client.get_experiment_by_name(connected.model.name).experiment_id
    (run,) = client.search_runs([experiment])
    assert run.info.status == "FINISHED"
    assert run.info.run_id == client.get_model_version(connected.model.name, "1").run_id
    assert run.data.metrics["f1_weighted"] == facts["candidate"]["f1_weighted"]
    assert promote(connected, uri=uri, folder=good)["decision"] == "kept"


def test_of_two_versions_from_a_repeated_request_the_first_stays(connected, uri, good, client):
    """MLflow's client repeats a request whose answer was lost, as when the server is killed."""
    promote(connected, uri=uri, folder=good)
    first = client.get_model_version(connected.model.name, "1")
    mlflow.register_model(first.source, connected.model.name, tags=first.tags)
    assert versions(client, connected) == [1, 2]
    promote(connected, uri=uri, folder=good)
    assert versions(client, connected) == [1]
    assert champion(client, connected) == "1"


def test_without_a_git_revision_in_the_settings_git_is_asked(connected, uri, good, client):
    asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True)
    promote(connected.model_copy(update={"git_revision": None}), uri=uri, folder=good)
    revision = client.get_model_version_by_alias(connected.model.name, "champion").tags["git_revision"]
    assert revision == (asked.stdout.strip() if asked.returncode == 0 else "unknown")


def test_without_git_the_revision_is_unknown(connected, uri, good, client, monkeypatch):
    monkeypatch.setenv("PATH", "")
    promote(connected.model_copy(update={"git_revision": None}), uri=uri, folder=good)
    assert client.get_model_version_by_alias(connected.model.name, "champion").tags["git_revision"] == "unknown"


def test_a_registry_that_does_not_answer_is_an_error_with_its_address(settings, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TagifaiError, match=r"MLflow at http://127\.0\.0\.1:1 refused: .*Check MLOPS_MLFLOW"):
        registry.champion(settings)


LABELS = [
    "c++",
    "q&a",
    "news (eu)",
    "it's",
    "a//b",
    "a/b",
    "..",
    "日本語",
    "a\tb",
    "c-u2b-",
    "c+",
    "\u200b",
    "ä" * 300,
    "ä" * 299,
]


def test_mlflow_takes_a_metric_of_any_label_and_no_two_have_the_same_name(connected, client):
    names = {label: registry.metric_name(f"f1_of_{label}") for label in LABELS}
    assert len(set(names.values())) == len(LABELS)
    with registry._mlflow(connected) as mlflow:
        mlflow.set_experiment("labels")
        with mlflow.start_run() as run:
            mlflow.log_metrics({name: float(number) for number, name in enumerate(names.values())})
    assert client.get_run(run.info.run_id).data.metrics == {name: float(n) for n, name in enumerate(names.values())}
    assert registry.metric_name("f1_of_natural-language-processing") == "f1_of_natural-language-processing"


def test_mlflow_s_page_starts_with_model_training_and_without_the_note_on_usage_statistics(mlflow_url):
    page = requests.get(mlflow_url, timeout=60).text
    for key, value in (("workflowType", r'"\"machine_learning\""'), ("telemetry.info.alert.dismissed", '"true"')):
        assert page.count(f'"mlflow.{key}_v1": {value}') == 1
        # The names by which the UI knows them.
        assert any(f'"mlflow.{key}"' in script.read_text("utf-8") for script in UI.glob("main.*.js"))
    # Else they would come after the UI has read them.
    assert page.index("localStorage") < page.index("src=")


def test_mlflow_sends_no_usage_statistics():
    script = (
        "from tagifai import registry; mlflow = registry._import_mlflow(); "
        "print(mlflow.telemetry.get_telemetry_client())"
    )
    # MLflow is always silent in tests and in CI, so the process must not know that it is in one.
    done = subprocess.run([sys.executable, "-c", script], env={}, capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"
