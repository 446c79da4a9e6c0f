"""Files of load and extract jobs: uploads, and gs:// addresses in the folder of the stand-in for Cloud Storage."""

import asyncio
import fnmatch
from pathlib import Path
from typing import Any

from bqemulator.domain.errors import InvalidQueryError, NotFoundError, ValidationError
from bqemulator.jobs import executor


def sources(ctx: Any, uris: list[str]) -> list[Path]:
    """The files that addresses name; `*` in an object's name stands for any text, once.

    https://cloud.google.com/bigquery/docs/loading-data-cloud-storage#load-wildcards

    Raises:
        NotFoundError: nothing has the name.
        ValidationError: not gs://, or the emulator was started without `--storage-root`.
    """
    found: list[Path] = []
    for uri in uris:
        bucket, name = _split(ctx, uri)
        if "*" in name:
            root = bucket.joinpath(*Path(name.partition("*")[0]).parts[:-1])
            files = (path for path in root.rglob("*") if path.is_file())
            paths = sorted(path for path in files if fnmatch.fnmatchcase(str(path.relative_to(bucket)), name))
        else:
            paths = [path for path in [bucket / name] if path.is_file()]
        if not paths:
            raise NotFoundError(f"Not found: URI {uri}")
        found += paths
    return found


def extract(ctx: Any, project: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Write a table to a file and return the job's statistics; raises DomainError.

    `*` in the address becomes the number of the file, of which there is one.
    """
    uris = settings.get("destinationUris") or [settings.get("destinationUri") or ""]
    if len(uris) > 1:
        raise InvalidQueryError("This stand-in for BigQuery extracts to one destination")
    bucket, name = _split(ctx, uris[0])
    path = bucket / name.replace("*", "000000000000")
    if bucket.resolve() not in path.resolve().parents:
        raise ValidationError(f"{uris[0]} is outside of its bucket")
    path.parent.mkdir(parents=True, exist_ok=True)
    configuration = {"extract": {**settings, "destinationUris": [path.as_uri()]}}
    asyncio.run(executor.execute_extract_job(project, "", configuration, ctx))
    return {"extract": {"destinationUriFileCounts": ["1"]}}


def literal(text: str | Path) -> str:
    """A text in DuckDB's SQL."""
    return "'" + str(text).replace("'", "''") + "'"


def _split(ctx: Any, uri: str) -> tuple[Path, str]:
    """Folder of the bucket, and the name of the object."""
    scheme, _, rest = uri.partition("://")
    bucket, _, name = rest.partition("/")
    root = ctx.settings.gcs_local_root
    if scheme != "gs" or not name:
        raise ValidationError(f"{uri!r} is no address of an object: gs://bucket/name")
    if root is None:
        raise ValidationError("gs:// addresses need the option --storage-root of the emulator")
    if not (root / bucket).is_dir() or ".." in Path(name).parts:
        raise NotFoundError(f"Not found: URI {uri}")
    return root / bucket, name
