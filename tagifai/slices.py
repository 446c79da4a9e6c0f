"""Parts of the held-out rows that are looked at by themselves."""

from typing import TYPE_CHECKING

from tagifai.settings import Slices

if TYPE_CHECKING:
    import pandas as pd

ARCHITECTURES = r"(?i)\bcnns?\b|convolution|convnet|transformer"


def slices(projects: "pd.DataFrame", bounds: Slices) -> "dict[str, pd.Series]":
    """Which rows are in which slice.

    Args:
        projects: columns `title`, `description`.
        bounds: `short_text_words`, the least words of title and description that are not short.

    Returns:
        For each slice a mask over the rows: `short_text`, and `cnn_or_transformer`, which speak of either.
    """
    text = projects["title"] + " " + projects["description"]
    return {
        "short_text": text.str.split().str.len() < bounds.short_text_words,
        "cnn_or_transformer": text.str.contains(ARCHITECTURES),
    }
