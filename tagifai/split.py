"""Which rows are held out: a hash of their texts decides."""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# What does not tell texts apart: all but letters and digits. Bytes are deleted ten times as fast as characters.
_IGNORED_ASCII = bytes(each for each in range(128) if not chr(each).isalnum())
_IGNORED_OTHERS = re.compile(r"[^\w\x00-\x7f]+")


class Split(NamedTuple):
    """Rows to train on, and rows held out to test on.

    Attributes:
        train: rows to train on.
        test: rows held out whose class is trained.
        not_trained: other rows held out.
        exact: whether `test_size` alone chose them; otherwise it would have held out no row of a class that is trained.
    """

    train: "pd.DataFrame"
    test: "pd.DataFrame"
    not_trained: "pd.DataFrame"
    exact: bool


def hashes(rows: "pd.DataFrame", *, texts: Sequence[str], seed: int) -> "np.ndarray":
    """A 64-bit number per row, uniform and the same for texts that differ only in case, punctuation and white space.

    It is the BLAKE2b of "seed:text": the letters and digits of all texts in NFKC, case folded; where there are none,
    the texts themselves.
    """
    import numpy as np

    columns = [rows[name].fillna("").astype(object) for name in texts]
    joined = (" ".join(row) for row in zip(*columns, strict=True))
    return np.fromiter((_hash(text, seed) for text in joined), dtype=np.uint64, count=len(rows))


def _hash(text: str, seed: int) -> int:
    folded = unicodedata.normalize("NFKC", text).casefold()
    letters = folded if folded.isascii() else _IGNORED_OTHERS.sub("", folded)
    content = letters.encode().translate(None, _IGNORED_ASCII) or text.encode()
    return int.from_bytes(hashlib.blake2b(f"{seed}:".encode() + content, digest_size=8).digest())


def held_out(rows: "pd.DataFrame", *, texts: Sequence[str], test_size: float, seed: int) -> "np.ndarray":
    """For each row whether it is held out: whether its hash, divided by 2^64, is below `test_size`."""
    import numpy as np

    return hashes(rows, texts=texts, seed=seed) < np.uint64(test_size * 2**64)


def split(rows: "pd.DataFrame", *, texts: Sequence[str], label: str, test_size: float, seed: int) -> Split:
    """Split labelled rows into training and test rows.

    A row's side depends only on its texts and `seed`: it does not change as the data grows, and no copy of a text is on
    both sides. Only if that would hold out no row of a class that is trained, the text with the smallest hash is held
    out among those whose class has another text.

    Args:
        rows: one per text; columns `texts` and `label`.
        texts: columns of the texts.
        label: column of the class.
        test_size: expected share of rows in the test side, 0 < test_size < 1.
        seed: any integer; changes the assignment.

    Returns:
        The sides; together every row exactly once.

    Raises:
        ValueError: no row can be held out.
    """
    import pandas as pd

    classes = rows[label]
    outside = held_out(rows, test_size=test_size, seed=seed, texts=texts)
    exact = bool((outside & _trained(classes, outside)).any())
    if not exact:
        hashed = pd.Series(hashes(rows, texts=texts, seed=seed), index=rows.index)
        movable = ~outside & (hashed.groupby(classes).transform("nunique") > 1).to_numpy()
        if not movable.any():
            raise ValueError("no class has two different texts, one to train and one to test on: load more rows")
        outside |= (hashed == hashed[movable].min()).to_numpy()
    trained = _trained(classes, outside)
    return Split(rows[~outside], rows[outside & trained], rows[outside & ~trained], exact)


def _trained(classes: "pd.Series", outside: "np.ndarray") -> "np.ndarray":
    return classes.isin(classes[~outside].unique()).to_numpy()
