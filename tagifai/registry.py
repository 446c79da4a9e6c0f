"""The model registry in MLflow: versions with their fingerprint, and the champion among them.

Every function raises a ServiceError if MLflow does not answer.
"""

import hashlib
import json
import logging
import re
import shutil
import subprocess
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version as version_of
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement

from tagifai import artifacts, fingerprint, persistence
from tagifai.errors import ServiceError
from tagifai.settings import Settings, Split, prepare_libraries

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities import DatasetInput, Run
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models.model import ModelInfo
    from sklearn.pipeline import Pipeline

CHAMPION = "champion"
FINGERPRINT = "fingerprint"
# Name that MLflow gives to a model that skops writes.
MODEL_FILE = "model.skops"
# Characters of a metric's name that MLflow takes.
MAX_NAME = 250
# Characters of a tag, and of a model's name in that of its run, that a person still reads and MLflow takes.
MAX_TAG, MAX_TITLE = 5000, 200
EXAMPLE_ROWS = 3
# Modules of this package that a model's own code is in, which travels with the model.
MODEL_CODE = ("__init__", "labels", "model")
# Rows of both sides of the split as data sets: the fact with their number, and what MLflow calls their use.
SIDES = (("training", "train_rows", "training"), ("held-out", "test_rows", "evaluation"))


def champion(settings: Settings) -> "ModelVersion | None":
    """The version with the alias; None if there is none yet."""
    with _mlflow(settings) as mlflow:
        try:
            return mlflow.MlflowClient().get_model_version_by_alias(settings.model.name, CHAMPION)
        except mlflow.MlflowException as error:
            # The first if there is no such model, the second if the model has no such alias.
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise


def load(settings: Settings, version: "ModelVersion") -> "Pipeline":
    """Download a version's model.

    Raises:
        ServiceError: MLflow does not answer or does not have the model's file.
        TagifaiError: the file is not a model of tagifai.
    """
    with _mlflow(settings) as mlflow, TemporaryDirectory() as folder:
        # The loader of MLflow would trust all types that the version lists.
        uri = f"models:/{version.name}/{version.version}/{MODEL_FILE}"
        file = mlflow.artifacts.download_artifacts(uri, dst_path=folder)
        return persistence.loads(Path(file).read_bytes(), origin=uri)


def split_of(settings: Settings, version: "ModelVersion") -> Split | None:
    """How rows were held out when a version was trained; None if no run of tagifai made it."""
    run = _run_of(settings, version)
    params = run.data.params if run else {}
    known = {name: params[f"split_{name}"] for name in Split.model_fields if f"split_{name}" in params}
    return Split(**known) if len(known) == len(Split.model_fields) else None


def register(
    settings: Settings,
    model: "Pipeline",
    facts: dict[str, Any],
    metrics: dict[str, Any],
    rows: "pd.DataFrame",
    *,
    uri: str,
) -> "ModelVersion":
    """Log the model in a new run and register it as a version, unless there is one with its fingerprint.

    Args:
        settings: `model.name` is the name of the registered model and of the experiment.
        model: the fitted candidate.
        facts: what `train.facts_of` returns.
        metrics: what `evaluate.measure` returns.
        rows: of the snapshot; the texts of the first ones are logged as the example of an input.
        uri: the snapshot.

    Returns:
        The version with that fingerprint.
    """
    name, own = settings.model.name, facts[FINGERPRINT]
    with _mlflow(settings) as mlflow:
        client = mlflow.MlflowClient()
        if version := _find(mlflow, name, own):
            return version
        experiment = mlflow.set_experiment(name).experiment_id
        for left_behind in client.search_runs([experiment], f"tags.{FINGERPRINT} = '{own}'"):
            # A run that crashed before it registered a version, and its model.
            for logged in left_behind.outputs.model_outputs if left_behind.outputs else ():
                client.delete_logged_model(logged.model_id)
            client.delete_run(left_behind.info.run_id)
        tags = _tags(settings, facts)
        with mlflow.start_run(run_name=f"{name[:MAX_TITLE]} candidate {own[:6]}", tags=tags) as run:
            client.log_inputs(run.info.run_id, _datasets(mlflow, settings, facts, rows, uri))
            split = {f"split_{name}": setting for name, setting in facts["split"].items()}
            mlflow.log_params(facts["params"] | split | {name: facts[name] for name in ("threshold", "trials")})
            module = facts.get("module")
            if module:
                mlflow.log_params({"module": module["uri"], "module_sha256": module["sha256"]})
                source = artifacts.read(module["copy"], missing=f"{module['copy']} is missing: run train again")
                mlflow.log_text(source.decode(), "module.py")
                mlflow.log_text("\n".join(module["packages"]), "module-packages.txt")
            example = rows[list(settings.columns.texts)].head(EXAMPLE_ROWS).reset_index(drop=True)
            logged = _log_model(mlflow, model, example, requirements=_requirements(module), tags=tags)
            # After the model, which would otherwise request the history of each metric.
            mlflow.log_metrics(_metrics(facts, metrics), model_id=logged.model_id)
            mlflow.log_dict(metrics, "metrics.json")
        # The version comes last: if it exists, its run is complete.
        version = mlflow.register_model(logged.model_uri, name, tags=tags)
        return _find(mlflow, name, own) or version


def record(settings: Settings, version: "ModelVersion", *, decision: str, reason: str) -> None:
    """Tell what the gate decided about a version: in its tags, in its description and in the name of its run."""
    name, number, texts = version.name, str(version.version), ", ".join(settings.columns.texts)
    description = (
        f"{decision.capitalize()}: {reason}.\n\n"
        f'`model = mlflow.pyfunc.load_model("models:/{name}/{number}")`; `model.predict(frame)` gives the '
        f"{settings.columns.label} of each row of a frame with {texts}, and "
        "`model.get_raw_model().predict_proba(frame)` the probabilities of its `classes_`."
    )
    with _mlflow(settings) as mlflow:
        client = mlflow.MlflowClient()
        client.update_run(version.run_id, name=f"{name[:MAX_TITLE]} version {number}")
        client.update_model_version(name, number, description)
        for key, value in {"decision": decision, "reason": reason}.items():
            client.set_model_version_tag(name, number, key, value)


def make_champion(settings: Settings, version: "ModelVersion") -> None:
    """Move the alias to a version, in one step."""
    with _mlflow(settings) as mlflow:
        mlflow.MlflowClient().set_registered_model_alias(version.name, CHAMPION, version.version)


def place(settings: Settings, version: "ModelVersion") -> dict[str, str]:
    """Where a version is in MLflow: `model`, `version` and, if it has a run, the ids of `experiment` and `run`."""
    run, known = _run_of(settings, version), {"model": version.name, "version": str(version.version)}
    return known | {"experiment": run.info.experiment_id, "run": run.info.run_id} if run else known


def _run_of(settings: Settings, version: "ModelVersion") -> "Run | None":
    """The run that made a version; others may register a model without a run."""
    with _mlflow(settings) as mlflow:
        return mlflow.MlflowClient().get_run(version.run_id) if version.run_id else None


@contextmanager
def _mlflow(settings: Settings) -> Generator[ModuleType]:
    """The MLflow module, connected; its errors become a ServiceError that says what to do."""
    mlflow = _import_mlflow()
    mlflow.set_tracking_uri(settings.mlflow)
    try:
        yield mlflow
    except mlflow.MlflowException as error:
        reason = " ".join(str(error).split())
        raise ServiceError(
            f"MLflow at {settings.mlflow} refused: {reason}. Check MLOPS_MLFLOW, and that MLflow runs (make up)"
        ) from error


@cache
def _import_mlflow() -> ModuleType:
    prepare_libraries()
    import mlflow
    import mlflow.sklearn
    import mlflow.utils.requirements_utils

    # Otherwise it would read the file lists of all packages to check requirements that we give.
    # pyrefly: ignore[bad-assignment]: None until it is read, then a dictionary.
    mlflow.utils.requirements_utils._MODULES_TO_PACKAGES = {}
    # Silences a warning that an environment made by uv has no pip.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)
    return mlflow


def _find(mlflow: ModuleType, name: str, fingerprint: str) -> "ModelVersion | None":
    client, query = mlflow.MlflowClient(), f"name = '{name}' and tags.{FINGERPRINT} = '{fingerprint}'"
    version, *twins = client.search_model_versions(query, order_by=["version_number ASC"]) or [None]
    # The client of MLflow repeats a request if its answer was lost, although the server has executed it.
    for twin in twins:
        client.delete_model_version(name, twin.version)
    return version


def _requirements(module: dict[str, Any] | None) -> list[str]:
    """What a model needs: the packages that read it here, and those that its module asks for, in their versions."""
    ours = {package: f"{package}=={version_of(package)}" for package in ("scikit-learn", "skops", "pandas")}
    pinned = {Requirement(each).name: each for each in module["requirements"]} if module else {}
    return list((ours | pinned).values())


def _tags(settings: Settings, facts: dict[str, Any]) -> dict[str, str]:
    """What a run, its model and its version record beside parameters and metrics."""
    labels = {f"labels_{name}": setting for name, setting in facts["labels"].items() if setting is not None}
    tags = {
        **{name: facts[name] for name in (FINGERPRINT, "snapshot", "study", "train_rows", "test_rows")},
        **labels,
        "git_revision": settings.git_revision or _git_revision(),
    }
    return {
        name: (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))[:MAX_TAG]
        for name, value in tags.items()
    }


def _datasets(
    mlflow: ModuleType, settings: Settings, facts: dict[str, Any], rows: "pd.DataFrame", uri: str
) -> "list[DatasetInput]":
    """Both sides of the split as MLflow shows data sets; made from what is known, without reading the rows again."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    table, scheme = settings.labeled.rpartition(".")[2], uri.partition("://")[0] if "://" in uri else "local"
    # MLflow keeps the first of two data sets with the same name and digest.
    digest = fingerprint.digest({name: facts[name] for name in ("snapshot", "labels", "split")})
    with warnings.catch_warnings(action="ignore"):
        # That integer columns could have nulls one day.
        columns = mlflow.models.infer_signature(rows.head(EXAMPLE_ROWS)).inputs.to_dict()
    return [
        DatasetInput(
            Dataset(
                name=f"{table} {side} rows",
                digest=digest,
                source_type=scheme,
                source=json.dumps({"uri": uri}),
                schema=json.dumps({"mlflow_colspec": columns}),
                profile=json.dumps({"num_rows": facts[counted]}),
            ),
            [InputTag("mlflow.data.context", use)],
        )
        for side, counted, use in SIDES
    ]


def _log_model(
    mlflow: ModuleType, model: "Pipeline", example: "pd.DataFrame", *, requirements: list[str], tags: dict[str, str]
) -> "ModelInfo":
    with TemporaryDirectory() as folder:
        package = Path(folder) / "tagifai"
        package.mkdir()
        for module in MODEL_CODE:
            shutil.copy(Path(__file__).with_name(f"{module}.py"), package)
        return mlflow.sklearn.log_model(
            model,
            name="model",
            tags=tags,
            signature=mlflow.models.infer_signature(example, model.predict(example)),
            input_example=example,
            # Otherwise MLflow would load the model in another process to find them.
            pip_requirements=requirements,
            code_paths=[str(package)],
            skops_trusted_types=persistence.trusted_types(persistence.dumps(model)),
        )


def _metrics(facts: dict[str, Any], metrics: dict[str, Any]) -> dict[str, float]:
    overall = {name: metrics[name] for name in ("f1_weighted", "f1_macro", "precision", "recall", "test_rows")}
    classes = {f"f1_of_{name}": scores["f1"] for name, scores in metrics["per_class"].items()}
    slices = {f"f1_weighted_of_{name}": each["f1_weighted"] for name, each in metrics["slices"].items() if each["rows"]}
    own = {f"module_{name}": metric for name, metric in facts.get("metrics", {}).items()}
    searched = {} if facts["cv_f1"] is None else {"cv_f1": facts["cv_f1"]}
    found = {**searched, **overall, **classes, **slices, **own}
    return {metric_name(name): metric for name, metric in found.items()}


def metric_name(name: str) -> str:
    """A name as MLflow takes it for a metric; different names stay different.

    Letters of any script, digits, `_`, `-`, `.` and blanks stay, another character becomes `-u`, its code point and
    `-`: `c++` is `c-u2b--u2b-`. A name that is too long ends with its hash.
    """
    encoded = re.sub(r"[^\w. -]|-(?=u[0-9a-f]+-)", lambda found: f"-u{ord(found[0]):x}-", name)
    if len(encoded) <= MAX_NAME:
        return encoded
    digest = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
    return f"{encoded[: MAX_NAME - len(digest) - 1]}-{digest}"


def _git_revision() -> str:
    """Commit of the checkout that this code is in, or `unknown`."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
