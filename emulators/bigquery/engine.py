"""The database below: DuckDB, without downloads."""

from pathlib import Path

import duckdb_extension_spatial
from bqemulator.storage.engine import DuckDBEngine


def install() -> None:
    """Load the extension for geography from its wheel: bqemulator would download it into HOME."""
    (extension,) = Path(duckdb_extension_spatial.__file__).parent.rglob("spatial.duckdb_extension")

    def load_spatial(self: DuckDBEngine) -> None:
        self.connection.execute(f"load '{extension}'")

    DuckDBEngine._load_spatial = load_spatial
