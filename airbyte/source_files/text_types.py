"""Which types texts fit: conservatively, so that a column of the type loses nothing but a way of writing."""

import pyarrow as pa
import pyarrow.compute as pc

_DATE = r"\d{4}-\d{2}-\d{2}"
_TIME = r"[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?"
_ZONE = r"(Z|[+-](0\d|1[0-5]):?[0-5]\d)"
# How the texts of a type look, and the Arrow type that must hold them, where the looks are not enough.
_LOOKS: dict[str, tuple[str, pa.DataType | None]] = {
    "integer": (r"0|-?[1-9]\d{0,18}", pa.int64()),
    "number": (r"-?(0|[1-9]\d*)\.\d+|0|-?[1-9]\d{0,14}", None),
    "boolean": (r"(?i)true|false", None),
    "date": (_DATE, pa.date32()),
    "timestamp": (_DATE + _TIME, pa.timestamp("us")),
    "timestamp_tz": (_DATE + _TIME + _ZONE, pa.timestamp("us", "UTC")),
}
MOMENTS = {"date", "timestamp", "timestamp_tz"}


def fitting(texts: pa.StringArray, types: set[str]) -> set[str]:
    """Those of `types` that every text fits; nulls fit all. Types without a form in text fit none."""
    texts = texts.drop_null()
    return {name for name in types & _LOOKS.keys() if _fit(texts, *_LOOKS[name])}


def _fit(texts: pa.StringArray, looks: str, kind: pa.DataType | None) -> bool:
    if not pc.all(pc.match_substring_regex(texts, rf"\A({looks})\z"), min_count=0).as_py():
        return False
    if kind:
        try:
            texts.cast(kind)
        except pa.ArrowInvalid:
            return False
    return True
