"""A snapshot: the labelled projects at one point in time, as a Parquet file named by its content."""

import hashlib
import io
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from tagifai import artifacts

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

COLUMNS = ("id", "created_on", "title", "description", "tag")


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
    """Read a snapshot: one row per project, ordered by id, columns `COLUMNS`.

    Raises:
        TagifaiError: the file does not exist.
    """
    import pandas as pd

    missing = f"there is no snapshot {uri}: run extract and pass on the uri that it returns"
    return pd.read_parquet(io.BytesIO(artifacts.read(uri, missing=missing)))


def hash_of(uri: str) -> str:
    """Content hash of a snapshot, from the name of its file."""
    return PurePosixPath(uri).stem
