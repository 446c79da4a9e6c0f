import fcntl
import hashlib
import json
import os
import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import mlflow
import numpy as np
import pandas as pd
import pytest

from tagifai import dataset, findings, reports, train
from tagifai.errors import ServiceError, TagifaiError
from tagifai.evaluate import evaluate
from tagifai.modules import environment, source
from tagifai.predict import predict
from tagifai.promote import promote
from tagifai.run_module import run_module
from tagifai.snapshot import hash_of

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "bayes.py"
# The block of the example, so that the modules of these tests share its environment.
REQUIREMENTS = EXAMPLE.read_text().partition('"""')[0]
NOTHING = "# /// script\n# dependencies = []\n# ///\n"
# Waits for the end of a process, in seconds.
PATIENCE = 60


# Fits a model of a kind and returns it.
FITTED = """
        import pandas, skops.io
        from sklearn.compose import ColumnTransformer
        from sklearn.feature_extraction.text import HashingVectorizer
        from sklearn.naive_bayes import MultinomialNB
        from sklearn.pipeline import make_pipeline
        from sklearn.tree import DecisionTreeClassifier
        rows = pandas.read_parquet(params["rows"])
        words = HashingVectorizer(n_features=64, alternate_sign=False)
        features = ColumnTransformer([("words", words, "title")])
        {change}
        fitted = make_pipeline(features, {classifier}).fit(rows{columns}, {tags})
        {after}
        skops.io.dump(fitted, "model.skops")
        return {{"model": "model.skops", "metrics": {{}}}}"""


def fitted(classifier="MultinomialNB()", change="", columns="", tags='rows["tag"]', after=""):
    return FITTED.format(classifier=classifier, change=change, columns=columns, tags=tags, after=after)


def hashed(path):
    return f"{path}#sha256={hashlib.sha256(Path(path).read_bytes()).hexdigest()}"


@pytest.fixture(scope="session")
def var(tmp_path_factory):
    """Folder of the environments of all tests, so that each is made once."""
    return tmp_path_factory.mktemp("var")


@pytest.fixture
def make_searched(make_settings, best_of_one, uri, var):
    """Function that makes settings with some changed, and the options of a snapshot whose study is complete."""

    def make(**changes):
        settings, study = make_settings(**{"var": var} | changes), f"{hash_of(uri)}-by-hand"
        findings.write(settings, study, best_of_one)
        return settings, {"uri": uri, "study": study}

    return make


@pytest.fixture
def searched(make_searched):
    return make_searched()


@pytest.fixture
def write(tmp_path):
    """Function that writes a module; returns its URI with its hash."""

    def write(code, name="own.py"):
        (tmp_path / name).write_text(code)
        return hashed(tmp_path / name)

    return write


@pytest.fixture
def quick(write):
    """A module that fits a small model."""
    return write(f"{REQUIREMENTS}class Model:\n    def run(self, params):\n        {fitted()}\n")


@pytest.fixture
def failure(searched, write):
    """Function that runs a module, of which `body` is the code of `Model.run`; returns the message of its error."""

    def failure(body, block=NOTHING):
        settings, options = searched
        code = f"{block}class Model:\n    def run(self, params):\n        {body}\n"
        with pytest.raises(TagifaiError) as caught:
            run_module(settings, module=write(code), **options)
        assert "/own.py" in str(caught.value)
        assert not Path(settings.artifacts, "models").exists()
        return str(caught.value)

    return failure


def test_the_model_of_a_module_is_measured_promoted_and_predicts_like_our_own(
    make_searched, mlflow_url, warehouse, projects
):
    names = {"mlflow": mlflow_url, "model": {"name": "of-a-module"}, "warehouse": {"type": "postgres", **warehouse}}
    ours, options = make_searched(**names)
    uri, first = options["uri"], train.train(ours, **options)["model"]
    promote(ours, uri=uri, folder=first)

    settings, _ = make_searched(**names, train={"module": hashed(EXAMPLE)})
    facts = train.train(settings, **options)
    folder = facts["model"]
    assert folder != first
    assert (facts["params"], facts["search"]["best_params"]) == ({}, train.facts_of(first)["params"])
    assert facts["metrics"] == {"cv_f1": facts["cv_f1"], "alpha": facts["metrics"]["alpha"]}
    test = dataset.load(settings, uri).test
    measured = evaluate(settings, uri=uri, folder=folder)
    assert measured["recall"] == pytest.approx((train.load(folder).predict(test) == test["tag"]).mean())
    assert measured["f1_weighted"] > 0.8

    decided = promote(settings, uri=uri, folder=folder)
    assert decided["candidate"]["version"] == "2"
    assert "on the same" in decided["reason"]
    client = mlflow.MlflowClient(mlflow_url)
    run = client.get_run(decided["mlflow"]["run"])
    assert run.data.params["module_sha256"] == facts["module"]["sha256"]
    assert run.data.metrics["module_alpha"] == facts["metrics"]["alpha"]
    mlflow.set_tracking_uri(mlflow_url)
    assert mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/module.py") == EXAMPLE.read_text()
    requirements = Path(mlflow.artifacts.download_artifacts("models:/of-a-module/2/requirements.txt")).read_text()
    assert set(facts["module"]["requirements"]) <= set(requirements.split())

    client.set_registered_model_alias("of-a-module", "champion", "2")
    tagged = pd.read_parquet(predict(settings)["predictions"]).set_index("id")
    assert set(tagged["model_version"]) == {"2"}
    assert (tagged.loc[projects["id"], "tag"].to_numpy() == train.load(folder).predict(projects)).all()
    assert tagged.attrs == {"answers": sorted(facts["classes"])}


def test_the_command_gives_the_facts_and_the_report_of_the_module(searched, quick, run, tmp_path):
    settings, options = searched
    arguments = [quick, "--snapshot", options["uri"], "--study", options["study"]]
    status, log = run(settings, "run-module", *arguments, "--result", tmp_path / "result.json")
    assert status == 0, log
    facts = json.loads((tmp_path / "result.json").read_text())
    report = facts.pop("report")
    assert facts["model"] == f"{settings.artifacts}/models/{facts['fingerprint']}"
    assert set(facts["module"]) == {"uri", "sha256", "requirements", "packages", "copy"}
    assert set(facts["module"]["requirements"]) < set(facts["module"]["packages"])
    assert Path(facts["module"]["copy"]).read_bytes() == Path(quick.partition("#")[0]).read_bytes()
    assert report["note"] == f"fitted by the module own.py, sha256 {facts['module']['sha256'][:12]}"
    assert [section["title"] for section in report["sections"]][::2] == ["Model module", "Trials"]
    assert reports.REPORTS["train"](settings, facts, options) == report


def test_a_finished_model_is_reused_and_another_file_is_another_model(searched, quick, write):
    settings, options = searched
    first = run_module(settings, module=quick, **options)
    file = Path(quick.partition("#")[0])
    code = file.read_text()
    file.unlink()
    assert run_module(settings, module=quick, **options) == first
    other = write(code + "\n")
    assert run_module(settings, module=other, **options)["model"] != first["model"]


def test_a_module_gets_the_training_rows_and_the_search_but_no_held_out_row_and_no_secret(
    searched, failure, monkeypatch
):
    settings, options = searched
    secrets = {"MLOPS_WAREHOUSE__PASSWORD", "MLOPS_STUDIES", "MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY"}
    for name in secrets:
        monkeypatch.setenv(name, "secret-of-the-stack")
    monkeypatch.setenv("LANG", "C.UTF-8")
    body = """
        import json, os, pandas
        rows = pandas.read_parquet(params["rows"])
        seen = {"rows": rows.to_dict("list"), "params": params, "environment": dict(os.environ), "at": os.getcwd()}
        raise ValueError(json.dumps(seen))"""
    seen = json.loads(re.search(r"ValueError: (.*)\. The task's log", failure(body, REQUIREMENTS))[1])
    rows = dataset.load(settings, options["uri"]).train
    assert seen["rows"] == rows[["id", "title", "description", "tag"]].to_dict("list")
    params = seen["params"]
    assert set(params) == {"rows", "folder", "id", "texts", "label", "classes", "seed", "threshold", "search"}
    assert (params["id"], params["texts"], params["label"]) == ("id", ["title", "description"], "tag")
    assert params["classes"] == sorted(set(rows["tag"]))
    assert params["search"]["best_value"] == 0.75
    assert seen["at"] == params["folder"]
    allowed = {"PATH", "LANG", "TZ", "HOME", "TMPDIR", "PYTHONHASHSEED", "PYTHONUNBUFFERED", "LC_CTYPE", "LC_ALL"}
    assert set(seen["environment"]) <= allowed
    assert "secret-of-the-stack" not in json.dumps(seen)
    assert not Path(params["folder"]).exists()


def test_without_its_hash_a_module_is_refused(searched, make_settings):
    settings, options = searched
    with pytest.raises(TagifaiError, match=r"bayes\.py: its hash is missing: append #sha256="):
        run_module(settings, module=str(EXAMPLE), **options)
    with pytest.raises(ValueError, match=r"its hash is missing: append #sha256="):
        make_settings(train={"module": str(EXAMPLE)})


def test_a_hash_of_another_form_is_named(settings):
    with pytest.raises(TagifaiError, match=r"its hash has another form, 'ABC': write the 64 digits that `sha256sum"):
        source.read(settings, f"{EXAMPLE}#sha256=ABC")


def test_with_another_hash_a_module_is_refused_and_both_hashes_are_named(searched):
    settings, options = searched
    right = hashed(EXAMPLE).rpartition("=")[2]
    with pytest.raises(
        TagifaiError, match=rf"bayes\.py has the sha256 {right}, not {'0' * 64} as its address says: review"
    ):
        run_module(settings, module=f"{EXAMPLE}#sha256={'0' * 64}", **options)


def test_a_module_is_found_by_a_path_below_the_artifact_root_or_by_a_url(searched, write):
    settings, _ = searched
    given = write(NOTHING)
    content = Path(given.partition("#")[0]).read_bytes()
    digest = given.partition("#")[2]
    Path(settings.artifacts, "own").mkdir(parents=True)
    Path(settings.artifacts, "own", "a.py").write_bytes(content)
    fsspec.filesystem("memory").pipe("/bucket/b.py", content)
    for uri, name in ((f"own/a.py#{digest}", "a.py"), (f"memory://bucket/b.py#{digest}", "b.py"), (given, "own.py")):
        found = source.read(settings, uri)
        assert (found.content, found.name) == (content, name)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("memory://bucket/none.py", "there is no module memory://bucket/none.py: upload it there or correct"),
        ("nothing://bucket/a.py", "nothing://bucket/a.py cannot be read: .*nothing"),
        ("/", "module / cannot be read: .*directory"),
    ],
)
def test_a_module_that_cannot_be_read_is_named(settings, uri, message):
    with pytest.raises(TagifaiError, match=message):
        source.read(settings, f"{uri}#sha256={'0' * 64}")


def block(*lines):
    return "".join(f"# {line}\n" for line in ("/// script", *lines, "///"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class Model: pass\n", "has no blocks of requirements: begin it with one"),
        (2 * (block("dependencies = []") + "\n"), "has 2 blocks of requirements"),
        (block("dependencies = ["), "its block of requirements is not TOML"),
        (block('dependencies = "six==1"'), "dependencies must be a list"),
        (block('dependencies = ["six"]'), "'six' is not pinned: write NAME==VERSION"),
        (block('dependencies = ["six>=1", "click==8.1"]'), "'six>=1' is not pinned"),
        (block('dependencies = ["six==1.*"]'), r"'six==1\.\*' is not pinned"),
        (block('dependencies = ["six==1,!=2"]'), "'six==1,!=2' is not pinned"),
        (block('dependencies = ["six @ https://example.com/six.whl"]'), "'six @ https.*' is not pinned"),
        (block('dependencies = ["six ==1 nonsense"]'), "'six ==1 nonsense' is not pinned"),
        (
            block('requires-python = ">=3.99"', "dependencies = []"),
            r"needs Python >=3\.99, and this is 3\.\d+\.\d+: ch",
        ),
        (block('requires-python = "new"', "dependencies = []"), "requires-python: .*new.*: write, for example"),
        (block("dependencies = []", "[tool.uv]", 'index-url = "https://example.com"'), r"\[tool\] has no effect"),
    ],
)
def test_requirements_that_are_missing_wrong_or_not_pinned_are_refused(settings, write, text, message):
    with pytest.raises(TagifaiError, match=rf"module \S+/own\.py:? {message}"):
        source.read(settings, write(text))


def test_the_requirements_are_read_with_their_markers_and_in_order(settings, write):
    text = block(
        'requires-python = ">=3.11"', "dependencies = [", "  \"six == 1.17 ; python_version<'4'\",", '"click==8"]'
    )
    assert source.read(settings, write(text.replace("\n", "\r\n"))).requirements == (
        "click==8",
        'six==1.17; python_version < "4"',
    )


def test_the_versions_of_the_example_are_those_of_our_environment():
    from importlib.metadata import version

    requirements = source._requirements("bayes.py", EXAMPLE.read_bytes())
    assert set(requirements) == {f"{name}=={version(name)}" for name in (each.split("==")[0] for each in requirements)}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError('too few rows')", "Model.run failed at line 7: ValueError: too few rows. The task's log"),
        ("import sklearn", "Model.run failed at line 7: ModuleNotFoundError: No module named 'sklearn'"),
        ("return None", "the result of Model.run lacks model and metrics, it is None: return"),
        ("return {'model': 'a'}", "the result of Model.run lacks metrics: return"),
        ("return {'model': 7, 'metrics': {}}", "model must be the URI of a file, not 7"),
        ("return {'model': 'a', 'metrics': {'f1': 'high'}}", "metrics must be numbers by name, not {'f1': 'high'}"),
        ("return {'model': 'a', 'metrics': {'f1': float('nan')}}", "is not JSON (Out of range float values"),
        ("return {'model': open, 'metrics': {}}", "is not JSON (Object of type"),
        ("return {'model': 'a', 'metrics': {}}", "/files/a, which Model.run returned, does not exist: write it before"),
        ("return {'model': 's3x://a', 'metrics': {}}", "the model s3x://a, which Model.run returned, cannot be read"),
        ("return {'model': params['rows'], 'metrics': {}}", "its model cannot be read: BadZipFile: File is not a zip"),
        ("__import__('os')._exit(3)", "ended with status 3 before it returned a result"),
    ],
)
def test_a_module_that_fails_or_returns_something_else_is_an_error_that_says_what(failure, body, message):
    assert message in failure("\n        " + body)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("class Other: pass", "it has no class Model with a method run(params): define one"),
        ("class Model: pass", "it has no class Model with a method run(params): define one"),
        ("import nothing_like_this", "it cannot be imported at line 4: ModuleNotFoundError"),
        ("class Model", "it cannot be imported: SyntaxError"),
    ],
)
def test_a_file_without_a_model_is_refused(searched, write, code, message):
    settings, options = searched
    with pytest.raises(TagifaiError, match=re.escape(message)):
        run_module(settings, module=write(f"{NOTHING}{code}\n"), **options)


def test_a_module_that_is_killed_may_be_tried_again(searched, write):
    settings, options = searched
    code = "import os, signal\nclass Model:\n    def run(self, params):\n        os.kill(os.getpid(), signal.SIGKILL)\n"
    with pytest.raises(ServiceError, match=r"own\.py was ended by SIGKILL: if it needs too much memory"):
        run_module(settings, module=write(NOTHING + code), **options)


REFUSED = [
    (fitted("DecisionTreeClassifier()"), r"(?s)Untrusted types.*sklearn\.tree\._tree\.Tree.*public estimators"),
    (
        fitted("type('Mine', (MultinomialNB,), {'__module__': 'model_module'})()"),
        r"\['model_module\.Mine'\]\. Write it with",
    ),
    (
        fitted(change="import html; words.set_params(preprocessor=html.unescape)"),
        r"\['html\.unescape'\]\. Write it with",
    ),
    (fitted(after="fitted = fitted[:-1]"), "its model does not predict .*: it must be a fitted classifier"),
    (fitted(change="features = 'passthrough'"), "Model.run failed at line"),
    (
        fitted(tags='["odd"] * 60 + ["even"] * (len(rows) - 60)'),
        "its model answers even, odd: fit it on the column",
    ),
    (
        fitted(after="import sklearn.base; sklearn.base.__version__ = '1.0'"),
        r"fitted with scikit-learn 1\.0, and tagifai has .*: pin scikit-learn==",
    ),
]
NAMES = ["tree", "own class", "function", "no classifier", "cannot fit", "other classes", "other version"]
# Each takes seconds, and the first two are the dangerous ones.
CASES = [
    pytest.param(*each, id=name, marks=[pytest.mark.slow] if number > 1 else [])
    for number, (name, each) in enumerate(zip(NAMES, REFUSED, strict=True))
]


@pytest.mark.parametrize(("body", "message"), CASES)
def test_a_model_that_is_not_safe_to_read_or_does_not_predict_is_refused(failure, body, message):
    assert re.search(message, failure(body, REQUIREMENTS))


def test_the_threshold_applies_to_the_model_of_a_module_and_nulls_are_empty_texts(searched, quick, projects):
    settings, options = searched
    strict = settings.model_copy(update={"threshold": 0.99})
    fitted = train.load(run_module(strict, module=quick, **options)["model"])
    rows = pd.concat([projects, projects.head(1).assign(title=None, description=None)])
    probabilities = fitted.predict_proba(rows)
    assert (
        fitted.predict(rows)
        == np.where(probabilities.max(axis=1) < 0.99, "other", fitted.classes_[probabilities.argmax(axis=1)])
    ).all()
    assert fitted.predict(rows)[-1] == "other"
    assert (probabilities[-1] == fitted.predict_proba(rows.tail(1).assign(title="", description=""))).all()


@pytest.fixture
def tool(monkeypatch):
    """Commands that uv was called with."""
    calls, run = [], environment._run_uv

    def called(arguments, **options):
        calls.append(arguments[0])
        return run(arguments, **options)

    monkeypatch.setattr(environment, "_run_uv", called)
    return calls


def test_modules_with_the_same_requirements_share_an_environment_that_is_made_once(make_settings, write, tool):
    settings, module = make_settings(), source.read(make_settings(), write(NOTHING))

    def python(_):
        with environment.held(settings, module) as python:
            return python

    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(python, range(4)))
    assert len(found) == 1
    assert tool == ["venv", "pip"]
    assert subprocess.run([*found, "-c", ""], check=False).returncode == 0


def test_an_environment_that_is_half_made_is_not_used(make_settings, write, monkeypatch):
    settings, module = make_settings(), source.read(make_settings(), write(NOTHING))
    run = environment._run_uv

    def broken(arguments, **options):
        if arguments[0] == "pip":
            raise KeyboardInterrupt
        return run(arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(environment, "_run_uv", broken)
        with pytest.raises(KeyboardInterrupt), environment.held(settings, module):
            pass
    (left,) = [each for each in (settings.var / "modules").iterdir() if each.is_dir()]
    assert left.suffix == ".new"
    with environment.held(settings, module) as python:
        assert python.parents[1] == left.with_suffix("")
    assert not left.exists()


def test_only_the_latest_used_environments_are_kept_and_those_in_use(make_settings, write):
    settings = make_settings(train={"keep_environments": 1})
    modules = [
        source.read(settings, write(block(f"dependencies = [\"six==1.17.0; python_version < '{each}'\"]")))
        for each in (1, 2, 3)
    ]

    def kept():
        return {each.name for each in (settings.var / "modules").iterdir() if each.is_dir()}

    with environment.held(settings, modules[0]) as first:
        with environment.held(settings, modules[1]) as second:
            assert kept() == {first.parents[1].name, second.parents[1].name}
        with environment.held(settings, modules[2]) as third:
            assert kept() == {first.parents[1].name, third.parents[1].name}
    with environment.held(settings, modules[2]):
        assert kept() == {third.parents[1].name}


def test_an_environment_that_another_process_is_making_is_not_deleted(make_settings, write):
    settings = make_settings(train={"keep_environments": 1})
    making = settings.var / "modules" / "0123.new" / "bin" / "python"
    making.parent.mkdir(parents=True)
    making.touch()
    os.utime(making.parents[1], (0, 0))
    with environment.held(settings, source.read(settings, write(NOTHING))):
        assert making.exists()


@pytest.mark.parametrize("name", ["bayes", "params.json", "files"])
def test_the_name_of_a_module_is_free(make_searched, write, quick, name):
    settings, options = make_searched()
    code = Path(quick.partition("#")[0]).read_text()
    assert run_module(settings, module=write(code, name), **options)["module"]["uri"].endswith(f"/{name}")


@pytest.mark.parametrize(
    ("offline", "kind", "message"),
    [
        ({"UV_OFFLINE": "1"}, TagifaiError, "UV_OFFLINE forbids the network: unset it. uv: .*no-such-package"),
        ({"UV_NO_INDEX": "1"}, TagifaiError, "correct the .*. uv: .*no-such-package"),
        ({"UV_DEFAULT_INDEX": "http://127.0.0.1:1/simple"}, ServiceError, "the package index does not answer"),
    ],
)
def test_requirements_that_cannot_be_installed_are_an_error_that_quotes_uv(
    make_settings, write, monkeypatch, offline, kind, message
):
    settings = make_settings()
    module = source.read(settings, write(block('dependencies = ["no-such-package-anywhere==1.0"]')))
    for name, value in {"UV_HTTP_RETRIES": "0", **offline}.items():
        monkeypatch.setenv(name, value)
    with (
        pytest.raises(TagifaiError, match=rf"own\.py: its requirements cannot be installed: .*{message}") as caught,
        environment.held(settings, module),
    ):
        pass
    assert caught.type is kind


def test_training_rows_that_a_killed_run_has_left_are_deleted_by_the_next_run_of_any_module(searched, quick):
    settings, options = searched
    runs = settings.var / "modules" / "runs"
    (runs / "killed").mkdir(parents=True, exist_ok=True)
    (runs / "at-work").mkdir(exist_ok=True)
    with (runs / "at-work.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run_module(settings, module=quick, **options)
        assert [each.name for each in runs.iterdir() if each.is_dir()] == ["at-work"]
    (runs / "at-work").rmdir()


def test_a_run_that_is_killed_takes_its_module_along_and_leaves_nothing_that_stops_the_next(
    searched, write, start, tmp_path
):
    settings, options = searched
    mark = tmp_path / "pid"
    code = (
        f"import os, pathlib, signal\nmark = pathlib.Path({str(mark)!r})\n"
        "class Model:\n    def run(self, params):\n"
        "        if mark.exists():\n            raise ValueError('second')\n"
        "        mark.with_suffix('.new').write_text(str(os.getpid()))\n"
        "        mark.with_suffix('.new').rename(mark)\n        signal.pause()\n"
    )
    module = write(NOTHING + code)
    process = start(settings, "run-module", module, "--snapshot", options["uri"], "--study", options["study"])
    until(mark.exists)
    pid = int(mark.read_text())
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    until(lambda: not Path(f"/proc/{pid}").exists())
    with pytest.raises(TagifaiError, match="ValueError: second"):
        run_module(settings, module=module, **options)
    assert not [each for each in (settings.var / "modules" / "runs").iterdir() if each.is_dir()]


def until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
