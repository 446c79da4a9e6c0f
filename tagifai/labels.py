"""Which tags are classes of the model, and which are `other`."""

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

OTHER = "other"


def relabel(tags: "pd.Series", *, classes: Collection[str] | None, min_freq: int) -> "pd.Series":
    """Replace tags that are not classes by `other`.

    Args:
        tags: one tag per project.
        classes: tags that are kept; None keeps all.
        min_freq: minimum number of rows of a class; tags with fewer rows become `other` too.

    Returns:
        The tags in the same order.
    """
    if classes is not None:
        tags = tags.where(tags.isin(classes), OTHER)
    return tags.where(tags.map(tags.value_counts()) >= min_freq, OTHER)
