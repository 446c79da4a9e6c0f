"""A snapshot: the labelled projects of one moment as a Parquet file named by their content."""

import hashlib
import io
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from tagifai import artifacts
from tagifai.errors import TagifaiError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

COLUMNS = ("id", "created_on", "title", "description", "tag")


def content_hash(table: "pa.Table") -> str:
    """Hash of a table's column names, types and values.

    The order of the rows, the chunks in memory and the bytes of a Parquet file do not change it.

    Args:
        table: any table whose columns can be sorted.

    Returns:
        32 hexadecimal digits.
    """
    import pyarrow.csv

    table = table.sort_by([(name, "ascending") for name in table.column_names])
    fingerprint = hashlib.blake2b(
        "".join(f"{field.name} {field.type}\n" for field in table.schema).encode(), digest_size=16
    )
    text = io.BytesIO()
    # Every value is quoted, so a null and an empty text differ.
    pyarrow.csv.write_csv(table, text, pyarrow.csv.WriteOptions(quoting_style="all_valid"))
    fingerprint.update(text.getbuffer())
    return fingerprint.hexdigest()


def write(table: "pa.Table", root: str) -> tuple[str, str]:
    """Write a table to `root`/snapshots, unless it is there.

    Returns:
        The content's hash, and the file's URI.
    """
    name = content_hash(table)
    uri = f"{root}/snapshots/{name}.parquet"
    if not artifacts.exists(uri):
        import pyarrow.parquet

        content = io.BytesIO()
        pyarrow.parquet.write_table(table, content)
        artifacts.write(uri, content.getvalue())
    return name, uri


def read(uri: str) -> "pd.DataFrame":
    """Read a snapshot: one row per project in the order of ids, columns `COLUMNS`.

    Raises:
        TagifaiError: there is no such file.
    """
    import pandas as pd

    try:
        with artifacts.open_input(uri) as file:
            return pd.read_parquet(file)
    except FileNotFoundError:
        raise TagifaiError(f"there is no snapshot {uri}: run extract and pass on the uri that it returns") from None


def hash_of(uri: str) -> str:
    """Content hash of a snapshot, from its file's name."""
    return PurePosixPath(uri).stem
