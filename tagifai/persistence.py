"""Save and load a fitted model with skops: loading runs only the code of the types listed here."""

from typing import TYPE_CHECKING
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


def dumps(model: "Pipeline") -> bytes:
    """Convert a fitted model to the content of a file."""
    return imports.skops_io().dumps(model, compression=ZIP_DEFLATED)


def loads(content: bytes, *, origin: str) -> "Pipeline":
    """Load a model that `dumps` or MLflow wrote.

    Args:
        content: of the file.
        origin: where it comes from, for error messages.

    Raises:
        TagifaiError: it is not a skops file, or not a model of tagifai.
    """
    skops_io = imports.skops_io()
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return skops_io.loads(content, trusted=TRUSTED_TYPES)
    except (BadZipFile, UntrustedTypesFoundException) as error:
        raise TagifaiError(f"{origin} is not a model of tagifai: {error}. Train a new one (make run)") from None
