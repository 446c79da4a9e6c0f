"""The database below: DuckDB, without downloads, without copies for time travel, with transactions around changes."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb_extension_spatial
from bqemulator.storage.engine import DuckDBEngine
from bqemulator.versioning.snapshots import SnapshotManager

# What the catalogue keeps in memory and a transaction may change.
_CATALOG = ("_datasets", "_tables", "_routines", "_mviews", "_snapshots")


@contextlib.contextmanager
def atomic(ctx: Any) -> Iterator[None]:
    """All changes inside, of rows and of the catalogue, or none of them, also if the process is killed.

    Not to be nested: DuckDB has one transaction at a time.
    """
    cache = getattr(ctx.catalog, "_cache", ctx.catalog)
    before = {name: dict(getattr(cache, name)) for name in _CATALOG}
    ctx.engine.execute("begin transaction")
    try:
        yield
        ctx.engine.execute("commit")
    except BaseException:
        # DuckDB has undone it already when the commit itself fails.
        with contextlib.suppress(Exception):
            ctx.engine.execute("rollback")
        for name, content in before.items():
            setattr(cache, name, content)
        raise


def install() -> None:
    """Correct the engine."""
    (extension,) = Path(duckdb_extension_spatial.__file__).parent.rglob("spatial.duckdb_extension")

    # bqemulator would download it into HOME.
    def load_spatial(self: DuckDBEngine) -> None:
        self.connection.execute(f"load '{extension}'")

    capture = SnapshotManager.capture

    # bqemulator copies the whole table after each change, so that queries can ask for its past; a hundred inserts of
    # one row into a large table would fill the memory.
    def capture_by_hand(
        self: SnapshotManager, project_id: str, dataset_id: str, table_id: str, *, kind: str = "AUTO"
    ) -> Any:
        return capture(self, project_id, dataset_id, table_id, kind=kind) if kind == "USER" else None

    DuckDBEngine._load_spatial = load_spatial
    SnapshotManager.capture = capture_by_hand
