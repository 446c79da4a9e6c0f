"""A fitted model as bytes and back, with skops: reading one runs no code but that of the types named here."""

from typing import TYPE_CHECKING
from zipfile import ZIP_DEFLATED, BadZipFile

from tagifai import imports
from tagifai.errors import TagifaiError

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

# All that our models are made of.
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
    """A fitted model as the content of a file."""
    return imports.skops_io().dumps(model, compression=ZIP_DEFLATED)


def loads(content: bytes, *, origin: str) -> "Pipeline":
    """The model that `dumps` or MLflow wrote.

    Args:
        content: of the file.
        origin: where it is from, for the message of an error.

    Raises:
        TagifaiError: it is no file of skops, or not a model of ours.
    """
    skops_io = imports.skops_io()
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return skops_io.loads(content, trusted=TRUSTED_TYPES)
    except (BadZipFile, UntrustedTypesFoundException) as error:
        raise TagifaiError(f"{origin} is no model of tagifai: {error}. Train another (make run)") from None
