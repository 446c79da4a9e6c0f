"""A model module's file: found by its URI, checked by its hash, with the requirements that it begins with."""

import hashlib
import re
import sys
import tomllib
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from tagifai import artifacts
from tagifai.errors import ServiceError, TagifaiError
from tagifai.settings import Settings, parts_of_module

# A block of inline script metadata, as in https://packaging.python.org/en/latest/specifications/inline-script-metadata/
_BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
PYTHON = "{}.{}.{}".format(*sys.version_info)


class Source(NamedTuple):
    """A module: where it is, its bytes, their SHA-256, and its pinned requirements in alphabetical order."""

    uri: str
    content: bytes
    sha256: str
    requirements: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the file."""
        return PurePosixPath(self.uri).name


def read(settings: Settings, module: str) -> Source:
    """Read a module and check it without running it.

    Args:
        settings: a relative path is below `artifacts`.
        module: URI#sha256=HASH; the URI is one that fsspec knows, or a path.

    Raises:
        TagifaiError: the hash is missing or wrong, the file is missing or cannot be read, it has no requirements, or
            one that is not pinned, or it needs another Python; the message names file, cause and remedy.
        ServiceError: the bucket does not answer.
    """
    try:
        uri, expected = parts_of_module(module)
    except ValueError as error:
        raise TagifaiError(f"module {module}: {error}") from None
    if "://" not in uri and not uri.startswith("/"):
        uri = f"{settings.artifacts}/{uri}"
    missing = f"there is no module {uri}: upload it there or correct train.module"
    content = fetched(uri, what=f"module {uri}", missing=missing)
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise TagifaiError(
            f"module {uri} has the sha256 {found}, not {expected} as its address says: review the file; if it is "
            "the one you want, write its hash there, otherwise restore the old file"
        )
    return Source(uri, content, found, _requirements(uri, content))


def fetched(uri: str, *, what: str, missing: str) -> bytes:
    """Content of a file whose address somebody else wrote.

    Args:
        uri: one that fsspec knows, or a path.
        what: the file's name in error messages.
        missing: the message if it does not exist.

    Raises:
        TagifaiError: the file is missing or cannot be read, or fsspec does not know such a URI.
        ServiceError: the bucket does not answer.
    """
    try:
        return artifacts.read(uri, missing=missing)
    except (ConnectionError, TimeoutError) as error:
        raise ServiceError(f"{what} cannot be read now: {error}; check the network") from error
    except (OSError, ValueError, ImportError) as error:
        raise TagifaiError(
            f"{what} cannot be read: {error}; correct its address, or give this process the right to read it"
        ) from error


def _requirements(uri: str, content: bytes) -> tuple[str, ...]:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise TagifaiError(f"module {uri} is not UTF-8 text ({error.reason}): save it as UTF-8") from None
    metadata = _metadata(uri, text)
    _check_python(uri, str(metadata.get("requires-python", "")))
    listed = metadata.get("dependencies", [])
    if not (isinstance(listed, list) and all(isinstance(each, str) for each in listed)):
        raise TagifaiError(f'module {uri}: dependencies must be a list such as ["skops==1.2.3"], not {listed!r}')
    if loose := [each for each in listed if not _is_pinned(each)]:
        raise TagifaiError(
            f"module {uri}: {', '.join(map(repr, loose))} is not pinned: write NAME==VERSION, so that the module "
            "always runs with the packages that it was tested with"
        )
    return tuple(sorted(str(Requirement(each)) for each in listed))


def _metadata(uri: str, text: str) -> dict[str, Any]:
    blocks = [match for match in _BLOCK.finditer(text.replace("\r\n", "\n")) if match["type"] == "script"]
    if len(blocks) != 1:
        raise TagifaiError(
            f"module {uri} has {len(blocks) or 'no'} blocks of requirements: begin it with one, the lines "
            '`# /// script`, `# dependencies = ["skops==1.2.3"]` and `# ///` (docs/model-module.md)'
        )
    lines = blocks[0]["content"].splitlines()
    try:
        metadata = tomllib.loads("\n".join(line.removeprefix("#").removeprefix(" ") for line in lines))
    except tomllib.TOMLDecodeError as error:
        raise TagifaiError(f"module {uri}: its block of requirements is not TOML: {error}") from None
    if "tool" in metadata:
        raise TagifaiError(
            f"module {uri}: [tool] has no effect here: remove it; uv's settings are variables UV_… of the task"
        )
    return metadata


def _check_python(uri: str, required: str) -> None:
    try:
        fits = SpecifierSet(required).contains(PYTHON, prereleases=True)
    except InvalidSpecifier as error:
        raise TagifaiError(f'module {uri}: requires-python: {error}: write, for example, ">=3.11"') from None
    if not fits:
        raise TagifaiError(
            f"module {uri} needs Python {required}, and this is {PYTHON}: change requires-python and test the module "
            f"with {PYTHON}"
        )


def _is_pinned(requirement: str) -> bool:
    """Whether a requirement fits one version only: a single `==` without a wildcard, and no URL.

    An invalid requirement is not pinned either; the message quotes it.
    """
    try:
        specifiers = list(Requirement(requirement).specifier)
    except InvalidRequirement:
        return False
    return [each.operator for each in specifiers] == ["=="] and not specifiers[0].version.endswith(".*")
