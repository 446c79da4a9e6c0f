"""Parts of the held-out rows that are evaluated separately."""

from typing import TYPE_CHECKING

from tagifai.settings import Slices

if TYPE_CHECKING:
    import pandas as pd

ARCHITECTURES = r"(?i)\bcnns?\b|convolution|convnet|transformer"


def slices(projects: "pd.DataFrame", bounds: Slices) -> "dict[str, pd.Series]":
    """Determine which rows are in which slice.

    Args:
        projects: columns `title`, `description`.
        bounds: `short_text_words`: title and description with fewer words are short.

    Returns:
        For each slice a mask over the rows: `short_text`, and `cnn_or_transformer`, texts that mention one of the two.
    """
    text = projects["title"] + " " + projects["description"]
    return {
        "short_text": text.str.split().str.len() < bounds.short_text_words,
        "cnn_or_transformer": text.str.contains(ARCHITECTURES),
    }
