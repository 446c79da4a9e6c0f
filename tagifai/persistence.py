"""Save and load a fitted model with skops: loading runs only the code of types that are trusted."""

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED, BadZipFile

from tagifai import imports
from tagifai.errors import TagifaiError

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

# All types that our models consist of.
TRUSTED_TYPES = (
    "builtins.str",
    "numpy.float64",
    "sklearn.calibration.CalibratedClassifierCV",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.feature_extraction.text.TfidfTransformer",
    "sklearn.pipeline.FeatureUnion",
    "sklearn.pipeline.Pipeline",
    "sklearn.preprocessing._function_transformer.FunctionTransformer",
    "sklearn.svm._classes.LinearSVC",
    "tagifai.model.NgramVectorizer",
    "tagifai.model.ThresholdClassifier",
    "tagifai.model.join_text",
)


# Further types of the models that modules make, beside those that `_is_harmless` finds.
MODULE_TYPES = (
    "builtins.bool",
    "builtins.float",
    "builtins.int",
    "tagifai.model.filled",
)
# Modules that may be imported to look a type up; not those of tests and command lines.
_MODULES = re.compile(r"numpy|scipy\.(special|sparse)\._\w+|sklearn(\.(?!__|tests\b|externals\b|conftest\b)\w+)+")


def dumps(model: "Pipeline") -> bytes:
    """Convert a fitted model to the content of a file."""
    return imports.skops_io().dumps(model, compression=ZIP_DEFLATED)


def loads(content: bytes, *, origin: str) -> "Pipeline":
    """Load a model that `dumps` or MLflow wrote.

    Args:
        content: of the file.
        origin: where it comes from, for error messages.

    Raises:
        TagifaiError: it is not a skops file, has types that are not trusted, or is not a model of tagifai.
    """
    try:
        found = read(content)
    except (BadZipFile, TypeError) as error:
        raise TagifaiError(f"{origin} is not a model of tagifai: {error}. Train a new one (make run)") from None
    if not hasattr(getattr(found, "named_steps", {}).get("classifier"), "decide"):
        raise TagifaiError(
            f"{origin} is not a model of tagifai: it is a {type(found).__name__} without our step `classifier`. "
            "Train a new one (make run)"
        )
    return found


def read(content: bytes) -> Any:
    """Load any object of trusted types from a skops file.

    Raises:
        BadZipFile: it is not a skops file.
        TypeError: it has other types; the message names them.
    """
    skops_io = imports.skops_io()
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return skops_io.loads(content, trusted=TRUSTED_TYPES)
    except UntrustedTypesFoundException:
        return skops_io.loads(content, trusted=trusted_types(content))


def trusted_types(content: bytes) -> list[str]:
    """Those types of a model file that are trusted and that it needs."""
    found = imports.skops_io().get_untrusted_types(data=content)
    return [name for name in found if name in TRUSTED_TYPES or name in MODULE_TYPES or _is_harmless(name)]


def _is_harmless(name: str) -> bool:
    """Whether an object of a type can be made from any file without running code that the file chooses.

    True for public estimators of scikit-learn, whose constructors only store their arguments, for sparse matrices,
    for NumPy's scalar types and for ufuncs. skops trusts the same by default, but to list them it imports all of
    scikit-learn. Not for decision trees: they follow indices of the file without checking them
    (https://github.com/scikit-learn/scikit-learn/pull/34558).
    """
    path, _, attribute = name.rpartition(".")
    if not _MODULES.fullmatch(path):
        return False
    try:
        found = getattr(import_module(path), attribute)
    except (ImportError, AttributeError):
        return False
    import numpy as np
    from scipy import sparse
    from sklearn.base import BaseEstimator

    if isinstance(found, np.ufunc):
        return True
    # Only where it is defined, not where it is imported.
    if not isinstance(found, type) or found.__module__ != path or attribute.startswith("_"):
        return False
    return issubclass(found, (BaseEstimator, np.generic, sparse.spmatrix, sparse.sparray))
