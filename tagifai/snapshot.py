"""A snapshot: the labelled rows at one point in time, as a Parquet file named by its content."""

import hashlib
import io
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from tagifai import artifacts
from tagifai.settings import Columns

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def columns_of(columns: Columns) -> tuple[str, ...]:
    """Columns of a snapshot: the key, the date if there is one, the texts, the label."""
    return (columns.key, *([columns.date] if columns.date else []), *columns.texts, columns.label)


def content_hash(table: "pa.Table") -> str:
    """Hash of a table's column names, types and values, 32 hexadecimal digits.

    It does not depend on the order of the rows, the chunks in memory, or the encoding of the Parquet file.
    """
    import pyarrow.csv

    table = table.sort_by([(name, "ascending") for name in table.column_names])
    columns = "".join(f"{field.name} {field.type}\n" for field in table.schema)
    fingerprint = hashlib.blake2b(columns.encode(), digest_size=16)
    text = io.BytesIO()
    # Every value is quoted, so a null and an empty text differ.
    pyarrow.csv.write_csv(table, text, pyarrow.csv.WriteOptions(quoting_style="all_valid"))
    fingerprint.update(text.getbuffer())
    return fingerprint.hexdigest()


def write(table: "pa.Table", root: str) -> tuple[str, str]:
    """Write a table to `root`/snapshots, unless it exists there; returns its content's hash and the file's URI."""
    name = content_hash(table)
    uri = f"{root}/snapshots/{name}.parquet"
    if not artifacts.exists(uri):
        import pyarrow.parquet

        content = io.BytesIO()
        pyarrow.parquet.write_table(table, content)
        artifacts.write(uri, content.getvalue())
    return name, uri


def read(uri: str) -> "pd.DataFrame":
    """Read a snapshot: one row per key and ordered by it, with the columns that it was written with.

    Raises:
        TagifaiError: the file does not exist.
    """
    import pyarrow.parquet

    missing = f"there is no snapshot {uri}: run extract and pass on the uri that it returns"
    table = pyarrow.parquet.read_table(io.BytesIO(artifacts.read(uri, missing=missing)))
    # Otherwise integers beside a null become floats.
    return table.to_pandas(integer_object_nulls=True)


def hash_of(uri: str) -> str:
    """Content hash of a snapshot, from the name of its file."""
    return PurePosixPath(uri).stem
