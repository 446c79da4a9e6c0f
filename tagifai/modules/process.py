"""Run a module as a process of its own, which gets its parameters and none of the stack's secrets."""

import fcntl
import json
import logging
import math
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from tagifai.errors import ServiceError, TagifaiError
from tagifai.modules import environment, main
from tagifai.modules.source import Source
from tagifai.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

# Variables that a module gets; its home and its folder for temporary files are its own.
_PASSED_ON = re.compile(r"PATH|LANG|LC_.*|TZ")
ROWS_FILE = "train.parquet"


class Outcome(NamedTuple):
    """What a module returned, and all packages of the environment that it ran in."""

    model: str
    metrics: dict[str, float]
    packages: list[str]


@contextmanager
def ran(
    settings: Settings, source: Source, rows: "pd.DataFrame", params: dict[str, Any], *, name: str
) -> Generator[Outcome]:
    """Run a module; the files that it wrote last as long as the context.

    Args:
        settings: where environments are.
        source: the module.
        rows: training rows; the module gets them as a Parquet file.
        params: what else `Model.run` gets.
        name: of the folder; of two processes with the same one, one waits for the other.

    Raises:
        TagifaiError: the environment cannot be made, the module fails, or does not return what it should.
        ServiceError: the module was killed.
    """
    with environment.held(settings, source) as python, _folder(settings.var.resolve(), name) as (folder, lock):
        # In a folder of its own, whatever its name is.
        module, files = folder / "module" / source.name, folder / "files"
        for each in (module.parent, files):
            each.mkdir()
        module.write_bytes(source.content)
        rows.to_parquet(files / ROWS_FILE, index=False)
        given = params | {"rows": str(files / ROWS_FILE), "folder": str(files)}
        (folder / "params.json").write_text(json.dumps(given))
        status = _run(python, folder, module, lock)
        result = folder / "result.json"
        if status or not result.exists():
            raise _ended(source, status)
        answer = json.loads(result.read_text("utf-8"))
        if "error" in answer:
            raise TagifaiError(f"module {source.uri}: {answer['error']}")
        model, metrics = _checked(source, answer["result"])
        # A relative path is one in the folder where the module ran.
        located = model if "://" in model else str(files / model)
        yield Outcome(located, metrics, environment.packages(python))


@contextmanager
def _folder(var: Path, name: str) -> Generator[tuple[Path, IO[str]]]:
    runs = var / "modules" / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    # Left behind by processes that were killed; they hold training rows.
    for left in (each for each in runs.iterdir() if each.is_dir()):
        with suppress(BlockingIOError), environment.locked(runs, left.name, fcntl.LOCK_EX | fcntl.LOCK_NB):
            shutil.rmtree(left, ignore_errors=True)
    folder = runs / name
    with environment.locked(runs, name, fcntl.LOCK_EX) as lock:
        # Of one that was killed meanwhile.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder, lock
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _run(python: Path, folder: Path, module: Path, lock: IO[str]) -> int:
    files = folder / "files"
    passed_on = {name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)}
    own = {"HOME": str(files), "TMPDIR": str(files), "PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1"}
    # The kernel kills the module if this process ends in any way.
    command = ["setpriv", "--pdeathsig", "KILL", str(python), "-s", "-P", main.__file__, str(module)]
    command += [str(folder / "params.json"), str(folder / "result.json")]
    with subprocess.Popen(
        command,
        cwd=files,
        env=passed_on | own,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="backslashreplace",
        # The module inherits the lock: should it live on, the next process waits until it has ended.
        pass_fds=[lock.fileno()],
    ) as process:
        for line in process.stdout or ():
            logger.info("%s: %s", module.name, line.rstrip())
    return process.returncode


def _ended(source: Source, status: int) -> TagifaiError:
    if status < 0:
        killed = signal.Signals(-status).name
        return ServiceError(
            f"module {source.uri} was ended by {killed}: if it needs too much memory, give the task more"
        )
    return TagifaiError(
        f"module {source.uri} ended with status {status} before it returned a result: it must not end its process"
    )


def _checked(source: Source, result: Any) -> tuple[str, dict[str, float]]:
    remedy = 'return {"model": "model.skops", "metrics": {"cv_f1": 0.5}} or the like (docs/model-module.md)'
    if not isinstance(result, dict) or (missing := [name for name in ("model", "metrics") if name not in result]):
        lacks = " and ".join(missing) if isinstance(result, dict) else f"model and metrics, it is {result!r}"
        raise TagifaiError(f"module {source.uri}: the result of Model.run lacks {lacks}: {remedy}")
    model, metrics = result["model"], result["metrics"]
    if not (isinstance(model, str) and model):
        raise TagifaiError(f"module {source.uri}: model must be the URI of a file, not {model!r}: {remedy}")
    if not (isinstance(metrics, dict) and all(_is_number(each) for each in metrics.values())):
        raise TagifaiError(f"module {source.uri}: metrics must be numbers by name, not {metrics!r}: {remedy}")
    return model, {name: float(each) for name, each in metrics.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
