"""The environment of Composer: what is set in it, one kind of change at a time, and operations that are waited for."""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from packaging.utils import canonicalize_name

from deploy.gcloud import Gcloud, GcloudError
from deploy.settings import Target
from stack.errors import StackError

# What a manifest sets, in the order of the updates: its attribute, what it is called, and the key of Composer's API.
KINDS = {
    "packages": ("packages", "pypiPackages"),
    "airflow_options": ("Airflow options", "airflowConfigOverrides"),
    "environment_variables": ("environment variables", "envVariables"),
}
# Seconds between two questions after an operation, at first and at most.
FIRST_PAUSE = 1
LONGEST_PAUSE = 15
# Separators of a list on gcloud's command line; the first that no value has, also not at its end, is used.
_SEPARATORS = (",", ";", "|", "::", "~~", "@@", "#+#", "%-%")


class OperationError(StackError):
    """Composer could not do what was asked."""


class Environment:
    """An environment; its facts are those of the last `look`."""

    def __init__(self, gcloud: Gcloud, target: Target):
        self._gcloud = gcloud
        self._target = target
        deploy = target.deploy
        self._where = [deploy.environment, f"--location={deploy.location}"]
        self.facts: dict[str, Any] = {}

    def look(self) -> None:
        """Ask for the facts.

        Raises:
            StackError: there is no such environment, or the caller may not see it.
        """
        try:
            self.facts = self._gcloud.read_json("composer", "environments", "describe", *self._where)
        except GcloudError as error:
            if not error.is_missing:
                raise
            raise StackError(
                f"there is no environment {self._target.name}: check deploy.environment, deploy.location and"
                f" deploy.project of PLACE={self._target.place}"
            ) from None

    @property
    def state(self) -> str:
        """Such as RUNNING, UPDATING or ERROR."""
        return self.facts.get("state", "without a state")

    def check_parts(self) -> None:
        """Raise a StackError if it has no bucket or no Airflow, as while it is created."""
        config = self.facts.get("config", {})
        if not config.get("dagGcsPrefix") or not config.get("airflowUri"):
            told = f"the environment {self._target.name} is {self.state} and has no bucket or no Airflow"
            raise StackError(f"{told}: wait until it is RUNNING, or create it (docs/production.md, step 3)")

    @property
    def bucket(self) -> str:
        """Name of its bucket."""
        return urlsplit(self.facts["config"]["dagGcsPrefix"]).netloc

    @property
    def airflow(self) -> str:
        """URL of Airflow."""
        return self.facts["config"]["airflowUri"].rstrip("/")

    def has(self, kind: str) -> dict[str, str]:
        """The packages, by their canonical names, the options or the variables that are set."""
        found = dict(self.facts["config"].get("softwareConfig", {}).get(KINDS[kind][1]) or {})
        return {canonicalize_name(name): value for name, value in found.items()} if kind == "packages" else found

    def difference(self, kind: str, wanted: Mapping[str, str], ours: set[str]) -> tuple[dict[str, str], list[str]]:
        """What has to be set, and the names that have to be removed; of those that are there, `ours` may be removed."""
        has = self.has(kind)
        changed = {name: value for name, value in sorted(wanted.items()) if has.get(name) != value}
        return changed, sorted((ours - wanted.keys()) & has.keys())

    def update(self, kind: str, changed: Mapping[str, str], removed: Sequence[str]) -> str:
        """Ask for an update of one kind; returns the name of its operation, "" in a dry run.

        Raises:
            GcloudError: Composer refuses it.
        """
        with TemporaryDirectory() as folder:
            command = ["composer", "environments", "update", *self._where]
            if kind == "packages":
                # All are replaced, so those that somebody has added meanwhile must be among them.
                self.look()
                all_of_them = {k: v for k, v in (self.has(kind) | dict(changed)).items() if k not in removed}
                command += _packages(all_of_them, Path(folder) / "packages.txt")
            else:
                name = {"airflow_options": "airflow-configs", "environment_variables": "env-variables"}[kind]
                pairs = [f"{key}={value}" for key, value in changed.items()]
                command += [f"--update-{name}={_list(pairs)}"] if pairs else []
                command += [f"--remove-{name}={_list(removed)}"] if removed else []
            out, _ = self._gcloud.change(*command, "--async", "--format=json")
            return json.loads(out)["name"] if out else ""

    def running(self) -> list[dict[str, Any]]:
        """The operations on this environment that have not ended."""
        found = self._gcloud.read_json(
            *("composer", "operations", "list", f"--locations={self._target.deploy.location}"),
        )
        return [
            each
            for each in found
            if not each.get("done") and each["metadata"]["resource"].endswith(f"/environments/{self._where[0]}")
        ]

    def wait(self, operation: str, progress: Callable[[float, str], None]) -> None:
        """Wait until an operation has ended; `progress` gets the seconds since now and the operation's state.

        Raises:
            OperationError: it failed or was cancelled; the message is Composer's.
        """
        began, pause = time.monotonic(), FIRST_PAUSE
        while True:
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            found = self._gcloud.read_json(
                *("composer", "operations", "describe", operation, f"--location={self._target.deploy.location}"),
            )
            progress(time.monotonic() - began, found["metadata"].get("state", "RUNNING"))
            if found.get("done"):
                break
        if error := found.get("error"):
            raise OperationError(f"Composer's operation failed: {' '.join(error.get('message', 'no reason').split())}")


def _packages(wanted: Mapping[str, str], file: Path) -> list[str]:
    """Arguments that replace all packages; an empty file would remove all without a word, so that has its own."""
    if not wanted:
        return ["--clear-pypi-packages"]
    file.write_text("".join(f"{name}{version}\n" for name, version in sorted(wanted.items())), encoding="utf-8")
    return [f"--update-pypi-packages-from-file={file}"]


def _list(items: Sequence[str]) -> str:
    """A list as gcloud takes it, with a separator at which it falls apart into the same items."""
    separator = next((each for each in _SEPARATORS if each.join(items).split(each) == list(items)), None)
    if separator is None:
        raise StackError(f"these values hold each of {' '.join(_SEPARATORS)}: change one of {', '.join(items)}")
    joined = separator.join(items)
    # A text that begins so would name another separator.
    return joined if separator == "," and not re.match(r"\^.*\^", joined) else f"^{separator}^{joined}"
