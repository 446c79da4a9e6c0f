"""run-module: let a module train the model; a fingerprint, which its hash is part of, names the model's folder."""

import logging
from typing import TYPE_CHECKING, Any

from tagifai import artifacts, fingerprint, persistence, train
from tagifai.errors import TagifaiError
from tagifai.findings import Findings
from tagifai.modules.source import Source, fetched, read
from tagifai.settings import Settings, parts_of_module

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

logger = logging.getLogger(__name__)

# Code that determines what a module gets and what becomes of its model.
CODE = ("run_module", "modules/source", "modules/environment", "modules/process", "modules/main")
# Rows that a module's model must predict before it is stored.
CHECKED_ROWS = 100


def run_module(settings: Settings, *, module: str, uri: str, study: str) -> dict[str, Any]:
    """Run a module on the training rows and write its model to models/FINGERPRINT, unless it exists there.

    The module runs as a process of its own, in an environment that uv makes of the file's requirements. It never sees
    held-out rows. Its model is checked and wrapped, so that evaluate, promote and predict use it like any other.

    Args:
        settings: where artifacts and environments are; what the module gets.
        module: URI#sha256=HASH of a Python file; a relative path is below the artifact root.
        uri: the snapshot.
        study: its study; the module gets what it found.

    Returns:
        What `train` returns; `module`: `uri`, `sha256`, `requirements`, all `packages` of its environment, and the URI
        of a `copy`; `metrics`: numbers by name, from the module.

    Raises:
        TagifaiError: the module is refused or fails, or its model cannot be read or does not predict.
    """
    try:
        _, sha256 = parts_of_module(module)
    except ValueError as error:
        raise TagifaiError(f"module {module}: {error}") from None
    found = train.findings_of(settings, uri, study)
    search = {name: found[name] for name in ("trials", "best_value", "best_params")}
    ingredients = {"module": {"sha256": sha256, "code": fingerprint.code(CODE)}, "search": search}

    def fit(rows: "pd.DataFrame", name: str) -> tuple["Pipeline", dict[str, Any]]:
        return _fit(settings, read(settings, module), rows, found, name=name)

    return train.candidate(settings, uri, study, ingredients, fit)


def _fit(
    settings: Settings, source: Source, rows: "pd.DataFrame", found: Findings, *, name: str
) -> tuple["Pipeline", dict[str, Any]]:
    from tagifai import model
    from tagifai.modules import process

    columns = settings.columns
    texts, label = list(columns.texts), columns.label
    given = rows[[columns.key, *texts, label]].copy()
    given[texts] = model.filled(rows, texts)
    params = {
        "id": columns.key,
        "texts": texts,
        "label": label,
        "classes": sorted(set(rows[label])),
        "seed": settings.search.seed,
        "threshold": settings.threshold,
        "search": {"trials": found["trials"], "best_value": found["best_value"], "best_params": found["best_params"]},
    }
    with process.ran(settings, source, given, params, name=name) as outcome:
        what = f"module {source.uri}: the model {outcome.model}, which Model.run returned,"
        content = fetched(outcome.model, what=what, missing=f"{what} does not exist: write it before")
    fitted = _loaded(source, content)
    _check(source, fitted, given[texts].head(CHECKED_ROWS), params)
    logger.info("module %s: %s", source.uri, outcome.metrics)
    # What MLflow gets, also if the file changes or goes away.
    copy = f"{settings.artifacts}/modules/{source.sha256}.py"
    artifacts.write(copy, source.content)
    facts = {
        "params": {},
        "cv_f1": outcome.metrics.get("cv_f1"),
        "metrics": outcome.metrics,
        "module": {
            "uri": source.uri,
            "sha256": source.sha256,
            "requirements": source.requirements,
            "packages": outcome.packages,
            "copy": copy,
        },
    }
    return model.wrap(fitted, columns=texts, threshold=settings.threshold, rest=settings.labels.rest), facts


def _loaded(source: Source, content: bytes) -> Any:
    import warnings

    from sklearn import __version__

    # The type stubs are older.
    from sklearn.exceptions import InconsistentVersionWarning  # pyrefly: ignore[missing-module-attribute]

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", InconsistentVersionWarning)
            return persistence.read(content)
    except InconsistentVersionWarning as warning:
        raise TagifaiError(
            f"module {source.uri}: its model was fitted with scikit-learn {warning.original_sklearn_version}, and "
            f"tagifai has {__version__}: pin scikit-learn=={__version__} in the file"
        ) from None
    # A broken file may raise anything.
    except Exception as error:
        raise TagifaiError(
            f"module {source.uri}: its model cannot be read: {type(error).__name__}: {error} Write it with "
            "skops.io.dump, and let it consist of public estimators of scikit-learn, sparse matrices, NumPy's arrays "
            "and ufuncs only (docs/model-module.md)"
        ) from None


def _check(source: Source, fitted: Any, texts: "pd.DataFrame", params: dict[str, Any]) -> None:
    """Refuse a model that does not give a probability of each of its classes for each row."""
    import numpy as np

    try:
        probabilities = np.asarray(fitted.predict_proba(texts))
        answers = [str(each) for each in fitted.classes_]
    except Exception as error:
        raise TagifaiError(
            f"module {source.uri}: its model does not predict ({type(error).__name__}: {error}): it must be a fitted "
            f"classifier with predict_proba, whose input is a frame with the columns {', '.join(params['texts'])}"
        ) from None
    if unknown := sorted(set(answers) - set(params["classes"])):
        raise TagifaiError(
            f"module {source.uri}: its model answers {', '.join(unknown)}: fit it on the column {params['label']}"
        )
    if probabilities.shape != (len(texts), len(answers)) or not np.allclose(probabilities.sum(axis=1), 1):
        raise TagifaiError(
            f"module {source.uri}: predict_proba must give one row per row of its input and one probability per "
            f"class, which add up to 1; it gave the shape {probabilities.shape} for {len(texts)} rows and "
            f"{len(answers)} classes"
        )
