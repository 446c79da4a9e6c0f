"""gcloud as the client of Google's services: one command at a time, with errors of one sentence."""

import json
import os
import re
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from stack.errors import StackError

PROGRAM = "gcloud"
# Seconds after which a person is told that a command waits for its answer.
QUIET = 8
# Seconds before each further try.
PAUSES = (1, 2, 4, 8)
ENVIRONMENT = {
    "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
    "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
    "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
    # Objects that are put together from parts have no MD5 hash.
    "CLOUDSDK_STORAGE_PARALLEL_COMPOSITE_UPLOAD_ENABLED": "false",
}
_WHERE = re.compile(r"^ERROR: (\([\w.-]+\) )?", re.MULTILINE)
_LOGIN = " This command is authenticated"
_NO_TOKEN = re.compile(
    r"active account|auth login|invalid_grant|Reauthentication|credentials were not found|could not refresh|"
    r"UNAUTHENTICATED|invalid authentication credentials|HTTPError 401",
    re.IGNORECASE,
)
# Refused before anything was done, and that or an interruption.
_LIMITED = re.compile(r"RESOURCE_EXHAUSTED|HTTPError 429")
_TEMPORARY = re.compile(r"RESOURCE_EXHAUSTED|HTTPError 429|UNAVAILABLE|HTTPError 50[0234]")
_PRECONDITION = re.compile(r"HTTPError 412|[Pp]recondition")
_NO_LOGIN = "gcloud has no valid token: run `gcloud auth login`, or in CI set up workload identity"


class GcloudError(StackError):
    """A command failed; the message is its own."""

    @property
    def is_missing(self) -> bool:
        """Whether what the command names is not there; of objects, no name fits."""
        return "NOT_FOUND" in str(self) or "matched no objects" in str(self)

    @property
    def is_denied(self) -> bool:
        """Whether the caller may not do this."""
        return "PERMISSION_DENIED" in str(self)

    @property
    def is_precondition(self) -> bool:
        """Whether an object is not of the generation that the command names."""
        return bool(_PRECONDITION.search(str(self)))


class TokenError(StackError):
    """Nobody is logged in."""


@dataclass
class Gcloud:
    """Runs commands for a project.

    Attributes:
        project: its id; None: gcloud's property core/project.
        console: where commands are told that are slow, or are only printed.
        is_dry: whether commands that change something are only printed.
    """

    project: str | None
    console: Console
    is_dry: bool = False

    def read(self, *command: str) -> str:
        """Run a command that changes nothing; returns its output.

        Raises:
            GcloudError: it failed.
            TokenError: nobody is logged in.
        """
        return self._patiently(list(command), None, _TEMPORARY)[0]

    def read_json(self, *command: str) -> Any:
        """As `read`, with the output parsed."""
        return json.loads(self.read(*command, "--format=json"))

    def change(self, *command: str, content: str | None = None, told: bool = True) -> tuple[str, str]:
        """Run a command that changes something, with `content` as its input; returns its output and its messages.

        A dry run prints it, unless it is not `told`, and returns nothing.

        Raises:
            GcloudError: it failed.
            TokenError: nobody is logged in.
        """
        if self.is_dry:
            if told:
                self.console.print(f"$ {self.line(*command)}", markup=False, highlight=False)
            return "", ""
        return self._patiently(list(command), content, _LIMITED)

    def token(self) -> str:
        """A token of the caller."""
        return self.read("auth", "print-access-token").strip()

    def line(self, *command: str) -> str:
        """The command line for a shell."""
        return shlex.join(self._arguments(list(command)))

    def _arguments(self, command: list[str]) -> list[str]:
        return [PROGRAM, *command, *([f"--project={self.project}"] if self.project else [])]

    def _patiently(self, command: list[str], content: str | None, temporary: re.Pattern[str]) -> tuple[str, str]:
        """Run a command, and again if Google's answer is one that may be another soon."""
        for pause in PAUSES:
            try:
                return self._run(command, content)
            except GcloudError as error:
                if not temporary.search(str(error)):
                    raise
                self.console.print(f"  {error}: again in {pause} s", markup=False, highlight=False)
            time.sleep(pause)
        return self._run(command, content)

    def _run(self, command: list[str], content: str | None) -> tuple[str, str]:
        if not shutil.which(PROGRAM):
            raise StackError("gcloud is not installed: install the Google Cloud CLI (https://cloud.google.com/sdk)")
        process = subprocess.Popen(
            self._arguments(command),
            env={**os.environ, **ENVIRONMENT},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Ctrl-C ends this program, not a request that is half done.
            start_new_session=True,
        )
        given, interrupted = content.encode() if content is not None else None, None
        while True:
            try:
                out, messages = process.communicate(given, timeout=QUIET)
                break
            except subprocess.TimeoutExpired:
                given = None
                self.console.print(f"  gcloud {' '.join(command[:3])} waits for an answer", markup=False)
            except KeyboardInterrupt as error:
                if interrupted:
                    process.kill()
                    raise
                given, interrupted = None, error
        if interrupted:
            raise interrupted
        # As bytes: a secret keeps its line ends.
        text, told = out.decode(errors="surrogateescape"), messages.decode(errors="replace")
        if process.returncode:
            raise _error(command, told)
        return text, told


def _error(command: list[str], messages: str) -> StackError:
    """The error of a command that failed, in one line."""
    _, mark, told = messages.rpartition("ERROR: ")
    told = _WHERE.sub("", mark + told).partition(_LOGIN)[0]
    text = " ".join(told.split())
    if _NO_TOKEN.search(text):
        return TokenError(_NO_LOGIN)
    return GcloudError(f"gcloud {' '.join(command[:3])}: {text}")
