"""Recognises files of another kind than their stream's by their first bytes."""

import re

from source_files.errors import SourceError
from source_files.open_file import Content, public

_UNPACK = "unpack it, or compress it with gzip or zstd"
# The first bytes of a kind, its name and what to do.
_KINDS = [
    (rb"PK\x03\x04|PK\x05\x06", "a ZIP archive or an Excel workbook", "unpack it, or save it as CSV"),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook", "save it as CSV"),
    (rb"BZh[1-9]1AY&SY", "compressed with bzip2", _UNPACK),
    (rb"\xfd7zXZ\x00", "compressed with xz", _UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (rb"Obj\x01", "an Avro file", "write it as Parquet"),
    (rb"SQLite format 3\x00", "an SQLite database", "write its table as CSV or Parquet"),
    (rb"%PDF-\d", "a PDF document", "save its table as CSV"),
]
_PARQUET = (rb"PAR1[\x00-\x08\x0e-\x1f]", "a Parquet file", "set the stream's format to parquet")
_UTF_16 = (rb"\x00{0,3}[\s{\[]\x00", "UTF-16 or UTF-32", "save the file as UTF-8")
_NAMES = {"csv": "CSV", "jsonl": "JSON Lines", "parquet": "Parquet"}


def refuse_others(content: Content, format: str) -> None:
    """Raise SourceError if a file is clearly not of its stream's format."""
    others = [*_KINDS, *[_PARQUET] * (format != "parquet"), *[_UTF_16] * (format == "jsonl")]
    for start, kind, remedy in others:
        if re.match(start, content.head):
            raise SourceError(f"{public(content.url)}: {kind}, not a {_NAMES[format]} file; {remedy}")
