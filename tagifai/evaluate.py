"""evaluate: metrics of a model on the held-out rows: overall, by class and by slice."""

import json
import logging
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tagifai import artifacts, dataset, train
from tagifai.labels import normal_form
from tagifai.settings import SHORT_TEXT, Settings, Slices

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike
    from sklearn.pipeline import Pipeline

logger = logging.getLogger(__name__)

METRICS_FILE = "metrics.json"
# Characters of scripts without spaces between words: Thai, Lao, Tibetan, Burmese, Khmer and smaller ones of South-East
# Asia, Chinese and Japanese.
UNSPACED = re.compile(
    "[\u0e00-\u109f\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\ua980-\ua9ff\uaa60-\uaadf"
    "\u3005-\u3007\u3040-\u312f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U0003ffff]"
)


def evaluate(settings: Settings, *, uri: str, folder: str) -> dict[str, Any]:
    """Measure a candidate on a snapshot's held-out rows and write metrics.json beside it.

    Returns:
        What `measure` returns; `data`: the facts of dataset.load; `mlflow`: the name of the registered `model`.

    Raises:
        TagifaiError: the snapshot or the model is missing.
    """
    model, data = train.load(folder), dataset.load(settings, uri)
    logger.info("measuring on %s held-out rows", f"{len(data.test):,}")
    metrics = measure(model, data.test, settings) | {"data": data.facts}
    artifacts.write(f"{folder}/{METRICS_FILE}", json.dumps(metrics, indent=2).encode())
    logger.info("weighted F1 %.4f on %d held-out rows", metrics["f1_weighted"], metrics["test_rows"])
    return metrics | {"mlflow": {"model": settings.model.name}}


def measure(model: "Pipeline", test: "pd.DataFrame", settings: Settings) -> dict[str, Any]:
    """Metrics of a model on rows (columns of the texts and the label) that it was not trained on.

    An answer is right in any spelling of the label: the model may be older than the spelling that is shown today.

    Returns:
        What `scores` returns; `test_rows`; `slices`: `rows` and weighted F1 of each, None for a slice without rows.
    """
    import pandas as pd

    columns = settings.columns
    labels, predicted = test[columns.label], pd.Series(model.predict(test), index=test.index)
    shown = {normal_form(label): label for label in labels.unique()}
    predicted = predicted.map({each: shown.get(normal_form(each), each) for each in predicted.unique()})
    return {
        **scores(labels, predicted),
        "test_rows": len(test),
        "slices": {
            name: {
                "rows": int(mask.sum()),
                "f1_weighted": scores(labels[mask], predicted[mask])["f1_weighted"] if mask.any() else None,
            }
            for name, mask in slices(test, columns.texts, settings.slices).items()
        },
    }


def slices(rows: "pd.DataFrame", columns: Sequence[str], bounds: Slices) -> "dict[str, pd.Series]":
    """For each part of the rows that is evaluated separately a mask over the rows; their texts are in `columns`."""
    import pandas as pd

    from tagifai.model import join_text

    text = pd.Series(join_text(rows, 1, columns), index=rows.index, dtype=object)

    def is_short(text: str) -> bool:
        spaced, characters = UNSPACED.subn(" ", text)
        return len(spaced.split()) / bounds.short_text_words + characters / bounds.short_text_characters < 1

    return {
        SHORT_TEXT: text.map(is_short),
        # Not by pandas, which may hand the pattern to an engine with other rules.
        **{
            name: text.map(lambda each, found=re.compile(pattern).search: bool(found(each)))
            for name, pattern in bounds.patterns.items()
        },
    }


def scores(labels: "ArrayLike", predicted: "ArrayLike") -> dict[str, Any]:
    """Compare labels (n) with predicted labels (n), n > 0.

    Returns:
        `f1_weighted`, `precision`, `recall`: means over the classes of `labels`, weighted by their rows; `f1_macro`:
        unweighted; `per_class`: `precision`, `recall`, `f1`, `rows` of each. A ratio of no rows counts as 0.
    """
    import numpy as np
    from sklearn.metrics import precision_recall_fscore_support

    classes = np.unique(np.asarray(labels, dtype=str))
    # Arrays, since no average is asked for, which the type stubs do not tell.
    by_class: Any = precision_recall_fscore_support(labels, predicted, labels=classes, zero_division=0)
    precision, recall, f1, rows = by_class
    return {
        "f1_weighted": float(np.average(f1, weights=rows)),
        "f1_macro": float(np.mean(f1)),
        "precision": float(np.average(precision, weights=rows)),
        "recall": float(np.average(recall, weights=rows)),
        "per_class": {
            name: {"precision": float(p), "recall": float(r), "f1": float(f), "rows": int(n)}
            for name, p, r, f, n in zip(classes.tolist(), precision, recall, f1, rows, strict=True)
        },
    }
