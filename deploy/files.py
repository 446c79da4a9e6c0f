"""The files of manifests in the bucket: a verified copy of each manifest's, from which those that run are made."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from deploy import rules
from deploy.bucket import STORE, Bucket, Object, md5
from deploy.manifest import File, Manifest
from stack.errors import StackError


def verified(folder: Path, manifest: Manifest) -> dict[str, str]:
    """MD5 hashes of the files of a bundle by path, after each was compared with the manifest.

    Raises:
        StackError: one is missing or another one, or cannot be in the bucket.
    """
    if problems := list(rules.files(manifest.files)):
        raise StackError("\n".join(problem.at(folder) for problem in problems))
    hashes = {}
    for path, file in manifest.files.items():
        try:
            content = (folder / path).read_bytes()
        except OSError:
            content = b""
        if File.of(content) != file:
            raise StackError(f"{folder / path} is not what the manifest says: make the bundle again")
        hashes[path] = md5(content)
    return hashes


def folders(manifests: Iterable[Manifest]) -> set[str]:
    """The folders of the bucket that hold files of manifests: dags, plugins, and the folders of data."""
    return {_top(path) for manifest in manifests for path in manifest.files}


def place(manifest: str) -> str:
    """Where a manifest's own copy of its files is."""
    return f"{STORE}/{manifest}"


def stored(objects: Mapping[str, Object], manifest: Manifest) -> dict[str, str]:
    """MD5 hashes of a manifest's own copy, by path.

    Raises:
        StackError: it is not complete.
    """
    root = place(manifest.id)
    if lacking := [path for path in manifest.files if f"{root}/{path}" not in objects]:
        raise StackError(f"the bucket no longer has {root}/{lacking[0]}: deploy that version again")
    return {path: objects[f"{root}/{path}"].md5 for path in manifest.files}


def lacking(objects: Mapping[str, Object], hashes: Mapping[str, str], root: str = "") -> list[str]:
    """Paths whose object below `root` is missing or has another hash."""
    found = ((path, objects.get(f"{root}/{path}".lstrip("/"))) for path in hashes)
    return [path for path, there in found if there is None or there.md5 != hashes[path]]


def switch(bucket: Bucket, manifest: Manifest, paths: Iterable[str]) -> None:
    """Copy a manifest's files to where they run; DAGs last, after what they import and read."""
    for folder in sorted({_top(path) for path in paths}, key=lambda name: (name == "dags", name)):
        bucket.copy(f"{place(manifest.id)}/{folder}", folder)


def _depth(path: str) -> int:
    return 3 if path.startswith("data/") else 2


def _top(path: str) -> str:
    return "/".join(path.split("/")[: _depth(path) - 1])
