"""The environment's bucket: its objects with their hashes, and what a deploy keeps there of itself."""

import base64
import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from deploy.gcloud import Gcloud, GcloudError
from deploy.manifest import Manifest
from stack.errors import StackError

# Where manifests are, the files of each, the pointer and the lock.
STORE = "data/mlops-manifests"
POINTER = f"{STORE}/current.json"
LOCK = f"{STORE}/lock/lock.json"
APPLIED = f"{STORE}/airbyte-applied.json"
# Objects that one command deletes.
_AT_ONCE = 200
# What is raised where JSON is none, or has other content; also by pydantic.
_DAMAGES = (ValueError, LookupError, TypeError, AttributeError)


@dataclass(frozen=True)
class Object:
    """An object: MD5 hash in base64, generation, and when it was written."""

    md5: str
    generation: int
    updated: datetime


@dataclass(frozen=True)
class Pointer:
    """What is deployed: the ids of manifests, each with its time and who deployed it.

    Attributes:
        history: the current one first, then those that it replaced.
        undone: those that a rollback has replaced, newest first.
    """

    history: list[dict[str, str]]
    undone: list[dict[str, str]] = field(default_factory=list)

    @property
    def current(self) -> str | None:
        """Id of what is deployed; None: nothing is."""
        return self.history[0]["id"] if self.history else None

    @property
    def ids(self) -> list[str]:
        """Ids of all these manifests, the current one first."""
        return [each["id"] for each in (*self.history, *self.undone)]

    @property
    def content(self) -> dict[str, Any]:
        """As it is in the bucket."""
        return {"kind": "current", "history": self.history, "undone": self.undone}

    def ahead(self, entry: dict[str, str]) -> "Pointer":
        """After a deploy."""
        others = [[each for each in one if each["id"] != entry["id"]] for one in (self.history, self.undone)]
        return Pointer([entry, *others[0]], others[1])

    def back(self, name: str) -> "Pointer":
        """After a rollback to a manifest of the history, whose successors are undone."""
        at = [each["id"] for each in self.history].index(name)
        return Pointer(self.history[at:], [*self.history[:at], *self.undone])

    def newest(self, number: int) -> "Pointer":
        """With that many manifests at most; of undone ones, those for which there is room."""
        history = self.history[:number]
        return Pointer(history, self.undone[: number - len(history)])


@dataclass(frozen=True)
class Kept:
    """What the bucket holds of former deploys: pointer, manifests by id, and the digests of Airbyte's configuration."""

    pointer: Pointer
    manifests: dict[str, Manifest]
    applied: dict[str, str]

    def manifest(self, name: str) -> Manifest:
        """A manifest by its id.

        Raises:
            StackError: it is not in the bucket.
        """
        if name not in self.manifests:
            known = [each for each in self.pointer.ids if each in self.manifests]
            raise StackError(f"there is no manifest {name} in the bucket: TO is one of {', '.join(known)}")
        return self.manifests[name]


class Bucket:
    """The bucket of an environment."""

    def __init__(self, gcloud: Gcloud, name: str):
        """`name`: without gs://."""
        self._gcloud = gcloud
        self.name = name
        self.is_dry = gcloud.is_dry

    def url(self, path: str) -> str:
        """Address of an object or folder."""
        return f"gs://{self.name}/{path}"

    def objects(self, folders: Iterable[str]) -> dict[str, Object]:
        """The objects below folders, by name."""
        found = self._gcloud.read_json(
            *("storage", "objects", "list", *(self.url(f"{folder}/**") for folder in sorted(set(folders)))),
        )
        return {
            each["name"]: Object(
                each.get("md5_hash", ""), int(each["generation"]), datetime.fromisoformat(each["update_time"])
            )
            for each in found
            # Versions that were replaced or deleted, where the bucket keeps such.
            if not each.get("noncurrent_time")
        }

    def kept(self) -> Kept:
        """What former deploys have left.

        Raises:
            StackError: an object is not as a deploy writes it; the message names it.
        """
        try:
            kept = _kept(self.text(f"{STORE}/*.json"))
        except _MissingError:
            return _kept("")
        except _DAMAGES:
            for name in sorted(self.objects([STORE])):
                if name.count("/") == STORE.count("/") + 1 and name.endswith(".json"):
                    self._check(name)
            # One was written while it was read.
            kept = _kept(self.text(f"{STORE}/*.json"))
        if (current := kept.pointer.current) and current not in kept.manifests:
            path = f"{STORE}/{current}.json"
            copy = f"gcloud storage cp {self.url(f'{STORE}/{current}/manifest.json')} {self.url(path)}"
            raise StackError(f"{self.url(path)}, the manifest of what is deployed, is missing: put it back by `{copy}`")
        return kept

    def _check(self, name: str) -> None:
        try:
            _kept(self.text(name))
        except _DAMAGES as error:
            reason = str(error).splitlines()[0]
            remedy = "put back what was there, or delete it"
            raise StackError(f"{self.url(name)} is damaged, or not of a deploy ({reason}): {remedy}") from None

    def text(self, path: str) -> str:
        """Content of objects; `*` stands for any part of a name.

        Raises:
            FileNotFoundError: there is none.
        """
        try:
            return self._gcloud.read("storage", "cat", self.url(path))
        except GcloudError as error:
            if error.is_missing:
                raise _MissingError(path) from None
            raise

    def put(self, path: str, content: dict[str, Any] | str, *, generation: int | None = None, told: bool = True) -> int:
        """Write an object; returns its generation.

        Args:
            path: its name.
            content: a text, or what becomes JSON.
            generation: the one that is replaced, 0 for none; None: any.
            told: whether a dry run prints the command.

        Raises:
            GcloudError: it failed; `is_precondition` if the object is of another generation.
        """
        text = content if isinstance(content, str) else json.dumps(content, sort_keys=True) + "\n"
        precondition = [] if generation is None else [f"--if-generation-match={generation}"]
        with NamedTemporaryFile("w", encoding="utf-8", suffix=".json") as file:
            file.write(text)
            file.flush()
            _, messages = self._gcloud.change(
                *("storage", "cp", file.name, self.url(path), "--print-created-message", *precondition), told=told
            )
        _, _, number = messages.partition(f"{self.url(path)}#")
        return int(number.split()[0]) if number else 0

    def upload(self, folder: Path, path: str) -> None:
        """Put a folder below a path; what is there already, by its hash, is left alone."""
        self._gcloud.change(
            "storage", "rsync", str(folder), self.url(path), "--recursive", "--checksums-only", "--no-ignore-symlinks"
        )

    def copy(self, source: str, target: str) -> None:
        """Copy a folder inside the bucket; other objects of the target stay."""
        self._gcloud.change("storage", "rsync", self.url(source), self.url(target), "--recursive", "--checksums-only")

    def delete(self, names: Collection[str], *, generation: int | None = None, told: bool = True) -> None:
        """Delete objects."""
        ordered = sorted(names)
        precondition = [] if generation is None else [f"--if-generation-match={generation}"]
        for first in range(0, len(ordered), _AT_ONCE):
            urls = [self.url(name) for name in ordered[first : first + _AT_ONCE]]
            self._gcloud.change("storage", "rm", *urls, *precondition, told=told)


class _MissingError(FileNotFoundError):
    """No object has this name."""


def md5(content: bytes) -> str:
    """The hash of an object with this content, as Cloud Storage has it."""
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def _kept(text: str) -> Kept:
    """What JSON documents in a row say; raises one of _DAMAGES."""
    pointer, manifests, applied = Pointer([]), {}, {}
    for document in _documents(text):
        content = json.loads(document)
        match content.get("kind"):
            case "current":
                lists = (content["history"], content.get("undone", []))
                pointer = Pointer(*([{key: each[key] for key in ("id", "at", "by")} for each in one] for one in lists))
            case "airbyte":
                applied = dict(content["applied"])
            case None:
                read = Manifest.model_validate(content)
                manifests[read.id] = read
    return Kept(pointer, manifests, applied)


def _documents(text: str) -> Iterable[str]:
    """The JSON documents that follow each other in a text, each with the newline at its end."""
    decoder, start = json.JSONDecoder(), 0
    while start < len(text):
        _, end = decoder.raw_decode(text, start)
        yield text[start:end] + "\n"
        start = end
        while text[start : start + 1].isspace():
            start += 1
