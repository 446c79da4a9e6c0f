"""airbyte/connectors.yaml: the program of each sourceType."""

import importlib.util
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import StringConstraints, TypeAdapter, ValidationError

from airbyte_declaration.streams import Name, Section


class RegistryError(Exception):
    """connectors.yaml is invalid or lacks a connector; the message names the file and says what to do."""


class Module(Section):
    """A Python module in the folder airbyte/."""

    module: Name


class Package(Section):
    """A package from the package index."""

    package: Name
    version: Name


class Image(Section):
    """A container image, run by the Docker engine of this machine."""

    # Docker's rules for names; a leading hyphen would be an option of `docker run`.
    image: Annotated[str, StringConstraints(pattern=r"\A[a-z0-9][a-z0-9._-]*(:[0-9]+/)?[a-z0-9._/-]*\z")]
    tag: Annotated[str, StringConstraints(pattern=r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\z")]

    @property
    def reference(self) -> str:
        """The image with its tag."""
        return f"{self.image}:{self.tag}"


Program = Module | Package | Image
_REGISTRY = TypeAdapter(dict[str, Program])


def find(path: Path, source_type: str) -> Program:
    """The program of a connector. Reads the file each time, so that edits take effect immediately."""
    known = _read(path)
    if source_type not in known:
        raise RegistryError(f"{path} has no connector {source_type!r}, only {', '.join(known)}; add a line for it")
    program = known[source_type]
    if isinstance(program, Module) and (
        not program.module.isidentifier() or importlib.util.find_spec(program.module) is None
    ):
        raise RegistryError(f"{path}: {source_type}: the folder airbyte/ has no module {program.module}")
    if isinstance(program, Image) and program.tag == "latest":
        raise RegistryError(
            f"{path}: {source_type}: the tag latest may be another image tomorrow, so syncs would not be repeatable;"
            " use the tag of one version, such as 1.2.3"
        )
    return program


def has_images(path: Path) -> bool:
    """Whether any connector is a container image; raises RegistryError if the file is invalid."""
    return any(isinstance(program, Image) for program in _read(path).values())


def _read(path: Path) -> dict[str, Program]:
    try:
        return _REGISTRY.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RegistryError(f"{path} cannot be read: {error}") from error
    except ValidationError as error:
        wrong = sorted({".".join(map(str, each["loc"][:1])) for each in error.errors(include_input=False)})
        raise RegistryError(
            f"{path}: {', '.join(wrong)}: must be {{module: …}}, {{package: …, version: …}} or {{image: …, tag: …}}"
        ) from None
