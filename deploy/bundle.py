"""The bundle: files of an environment's bucket, packages and settings, the same bytes whenever nothing changed."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from deploy import manifest, packages, rules
from deploy.manifest import File, Manifest
from deploy.problem import Problem
from pipeline.runners import environment
from stack import places
from stack.errors import StackError
from stack.settings import ROOT

PACKAGES = "packages.txt"
# Folders of the repository, and where they go in the bucket.
FOLDERS = {
    "airflow/dags": "dags",
    "airflow/plugins": "plugins",
    "dbt_transforms": "data/dbt_transforms",
    "great_expectations": "data/great_expectations",
}
# The settings of the first application, and those of each.
CONFIG, APPLICATIONS = "data/config/base.yaml", "data/config/applications/{}.yaml"
AIRBYTE = "data/airbyte"
# Nothing calls home, and nothing is written to the mounted folders.
VARIABLES = {
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLOPS_VAR": "/tmp/mlops",  # noqa: S108 - in Composer's containers
    "SCARF_ANALYTICS": "false",
}
# Of the config, what Airflow does not read.
_DEPLOY = "deploy"


@dataclass(frozen=True)
class Bundle:
    """Files by path in the bucket, and the manifest."""

    contents: dict[str, bytes]
    manifest: Manifest

    def lay_out(self, folder: Path) -> None:
        """Write the files of the bucket below a folder; modes do not depend on the caller's."""
        for path, content in self.contents.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            _put(file, content)

    def write(self, folder: Path) -> None:
        """Write the bundle with its list of packages and its manifest, in place of an earlier one.

        Raises:
            StackError: the folder cannot be written, or has something that is of no bundle.
        """
        remedy = "give OUTPUT another folder, in which nothing else is"
        try:
            if folder.exists() and (other := _other(folder)):
                raise StackError(f"{folder} is not overwritten, since {other} is not of a bundle: {remedy}")
            folder.parent.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.") as name:
                new = Path(name) / "new"
                self.lay_out(new)
                _put(new / PACKAGES, packages.text(self.manifest.packages).encode())
                _put(new / manifest.NAME, self.manifest.text.encode())
                if folder.exists():
                    folder.rename(Path(name) / "old")
                new.rename(folder)
        except OSError as error:
            raise StackError(f"{folder} cannot be written ({error.strerror}): {remedy}") from None


def build(place: str, config: dict[str, Any], *others: dict[str, Any]) -> Bundle:
    """The bundle of a place.

    Args:
        place: its name.
        config: the merged config of its first application.
        others: those of the others.

    Raises:
        StackError: git cannot list the files, a file is missing, or Composer would reject a name or a package.
    """
    section = config[_DEPLOY]
    read, *more = ({name: value for name, value in each.items() if name != _DEPLOY} for each in (config, *others))
    own = [(APPLICATIONS.format(each["application"]), _yaml(each)) for each in (read, *more)]
    # An application's file has all of its settings; it is laid over these, which would add another's to its own.
    names = {"applications": read["applications"]}
    contents = dict(sorted([*_tracked(), *_airbyte(place, config), (CONFIG, _yaml(names)), *own]))
    built = Manifest(
        place=place,
        files={path: File.of(content) for path, content in contents.items()},
        packages=packages.ours(ROOT / section["packages"]),
        airflow_options=_texts(section["airflow_options"]),
        environment_variables=variables(config),
        images=_images(config),
    )
    problems = [*rules.files(contents), *rules.environment_variables(built.environment_variables)]
    problems += rules.airflow_options(built.airflow_options)
    secret = {name: value for each in (read, *more) for name, value in environment.variables({}, each)[1].items()}
    secret |= {name: value for name, value in built.environment_variables.items() if environment.is_secret(name, value)}
    remedy = "put it into the Kubernetes Secret that runner.kubernetes.secret names, or into Secret Manager"
    problems += [Problem(f"{name} holds a secret", remedy) for name in secret]
    if problems:
        raise StackError("\n".join(problem.at(places.path(place)) for problem in problems))
    return Bundle(contents, built)


def variables(config: dict[str, Any]) -> dict[str, str]:
    """The environment variables of a place's environment: ours, and those that its config adds."""
    links = {"MLOPS_LINKS__MLFLOW": config["mlflow"]} if config["mlflow"] else {}
    return VARIABLES | links | _texts(config[_DEPLOY]["environment_variables"])


def left_out(place: str, config: dict[str, Any]) -> list[str]:
    """Files that would belong to the bundle of a place and are not in git."""
    return list(map(_shown, _git(["--others", "--exclude-standard"], *FOLDERS, *_declaration(place, config))))


def _tracked() -> Iterator[tuple[str, bytes]]:
    for name in _git(["--cached"], *FOLDERS):
        folder = next(each for each in FOLDERS if name.startswith(f"{each}/"))
        yield FOLDERS[folder] + name.removeprefix(folder), _content(name)


def _airbyte(place: str, config: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """The declaration with the overlays of the place."""
    for name in _git(["--cached"], *_declaration(place, config)):
        yield f"{AIRBYTE}/{Path(name).name}", _content(name)


def _declaration(place: str, config: dict[str, Any]) -> list[str]:
    """Names of the declaration of Airbyte and of the overlays that a place may have."""
    base = Path(config["airbyte"]["connections"])
    return [str(base), *(str(base.with_suffix(f".{name}.yaml")) for name in places.presets(place))]


def _content(name: str) -> bytes:
    try:
        return (ROOT / name).read_bytes()
    except OSError as error:
        raise StackError(
            f"{_shown(name)} is in git and cannot be read ({error.strerror}): restore it, or git rm it"
        ) from None


def _git(options: list[str], *names: str) -> Iterator[str]:
    """Names of files in the working tree."""
    command = ["git", "ls-files", "-z", *options, "--", *names]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True)
    except FileNotFoundError:
        raise StackError("git is not installed, which says what belongs to the bundle: install it") from None
    if done.returncode:
        told = os.fsdecode(done.stderr).strip()
        raise StackError(
            f"git cannot list the files of the bundle ({told}): make it in a git checkout of this repository"
        )
    return (name for name in os.fsdecode(done.stdout).split("\0") if name)


def _shown(name: str) -> str:
    """The name of a file as a terminal can show it."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _images(config: dict[str, Any]) -> dict[str, str]:
    runner = config["runner"]
    own = {name: each["image"] for name, each in runner["tasks"].items() if each.get("image")}
    return ({"tasks": runner["image"]} if runner["image"] else {}) | own


def _texts(values: dict[str, Any]) -> dict[str, str]:
    """Values as texts, as YAML has them, without null; Airflow and our settings read `true` and `True` alike."""
    return {name: str(value) for name, value in values.items() if value is not None}


def _yaml(config: dict[str, Any]) -> bytes:
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True).encode()


def _other(folder: Path) -> str | None:
    """A file in a folder that a bundle does not have there; None: the folder is a bundle or empty."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    try:
        known = {*manifest.read(folder / manifest.NAME).files, PACKAGES, manifest.NAME}
    except StackError:
        known = set()
    return next((name for name in names if name not in known), None)


def _put(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    file.chmod(0o644)
