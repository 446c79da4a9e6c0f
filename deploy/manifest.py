"""The manifest of a bundle: what an environment of Composer has once the bundle is deployed."""

import hashlib
import json
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from stack.errors import StackError

NAME = "manifest.json"


class File(BaseModel):
    """A file of the bundle; `size` in bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    size: int

    @classmethod
    def of(cls, content: bytes) -> Self:
        """The entry of a file with this content."""
        return cls(sha256=hashlib.sha256(content).hexdigest(), size=len(content))


class Manifest(BaseModel):
    """Everything that a deploy sets; it has no times, so that equal bundles have equal manifests.

    Attributes:
        place: name of a file of config/places.
        files: by path in the environment's bucket: dags/…, plugins/… and data/….
        packages: extras and version by canonical name, as Composer takes them: "[extras]==version", or "" for any.
        airflow_options: by "section-key".
        environment_variables: by name.
        images: references by digest, by name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    place: str
    files: dict[str, File]
    packages: dict[str, str]
    airflow_options: dict[str, str]
    environment_variables: dict[str, str]
    images: dict[str, str]

    @property
    def text(self) -> str:
        """As JSON with sorted keys; equal manifests have equal texts."""
        return json.dumps(self.model_dump(), indent=1, sort_keys=True) + "\n"

    @property
    def id(self) -> str:
        """The first 12 hexadecimal digits of the hash of its text."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]


def read(path: Path) -> Manifest:
    """The manifest in a file.

    Raises:
        StackError: it is missing or is not a manifest.
    """
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise StackError(f"{path}: cannot be read ({error.strerror}): `make composer-bundle` makes it") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise StackError(f"{path}: is not a manifest: {where}: {first['msg']}: make the bundle again") from None
