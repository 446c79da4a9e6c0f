"""Which projects are held out: a hash of their ids decides."""

import hashlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd


class Split(NamedTuple):
    """Rows to train on, and rows held out to test on."""

    train: "pd.DataFrame"
    test: "pd.DataFrame"


def is_held_out(project_id: int, *, test_size: float, seed: int) -> bool:
    """Whether a project is on the test side: the 64-bit BLAKE2b of "seed:id", divided by 2^64, is < `test_size`."""
    hashed = hashlib.blake2b(f"{seed}:{project_id}".encode(), digest_size=8).digest()
    return int.from_bytes(hashed) < test_size * 2**64


def split(labeled: "pd.DataFrame", *, test_size: float, seed: int) -> Split:
    """Split labelled projects into training and test rows.

    The side of a row depends only on its id and `seed`, so rows do not change sides when the data grows.

    Args:
        labeled: one row per project; columns `id` int64, `tag` str.
        test_size: expected share of rows in the test side, 0 < test_size < 1.
        seed: any integer; changes the assignment.

    Returns:
        The two sides; together every row of `labeled` exactly once.

    Raises:
        ValueError: a side lacks a tag altogether; the message names the tag and the side.
    """
    held_out = labeled["id"].map(lambda each: is_held_out(each, test_size=test_size, seed=seed)).astype(bool)
    sides = Split(labeled[~held_out], labeled[held_out])
    for name, side in (("training", sides.train), ("test", sides.test)):
        if missing := sorted(set(labeled["tag"]) - set(side["tag"])):
            raise ValueError(f"no row of tag {', '.join(missing)} is on the {name} side")
    return sides
