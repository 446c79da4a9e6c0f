"""Files that load jobs name by gs://: they are in the folder of the stand-in for Cloud Storage.

Nothing is written there: its server would not know of it.
"""

import fnmatch
from pathlib import Path

from bqemulator.domain.errors import NotFoundError, ValidationError

_root: Path | None = None


def use(root: Path | None) -> None:
    """Read gs:// addresses from this folder, whose folders are the buckets; None refuses them."""
    global _root
    _root = root


def sources(uris: list[str]) -> list[Path]:
    """The files that addresses name; `*` in an object's name stands for any text, once.

    https://cloud.google.com/bigquery/docs/loading-data-cloud-storage#load-wildcards

    Raises:
        NotFoundError: nothing has the name.
        ValidationError: not gs://, or the emulator was started without `--storage-root`.
    """
    found: list[Path] = []
    for uri in uris:
        bucket, name = _split(uri)
        if "*" in name:
            files = (path for path in bucket.rglob("*") if path.is_file())
            paths = sorted(path for path in files if fnmatch.fnmatchcase(str(path.relative_to(bucket)), name))
        else:
            paths = [path for path in [bucket / name] if path.is_file()]
        if not paths:
            raise NotFoundError(f"Not found: URI {uri}")
        found += paths
    return found


def literal(text: str | Path) -> str:
    """A text in DuckDB's SQL."""
    return "'" + str(text).replace("'", "''") + "'"


def _split(uri: str) -> tuple[Path, str]:
    """Folder of the bucket, and the name of the object."""
    scheme, _, rest = uri.partition("://")
    bucket, _, name = rest.partition("/")
    if scheme != "gs" or not name:
        raise ValidationError(f"{uri!r} is no address of an object: gs://bucket/name")
    if _root is None:
        raise ValidationError("gs:// addresses need the option --storage-root of the emulator")
    if not (_root / bucket).is_dir() or ".." in Path(name).parts:
        raise NotFoundError(f"Not found: URI {uri}")
    return _root / bucket, name
