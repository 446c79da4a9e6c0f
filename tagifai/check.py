"""check: whether every service that the commands use can be reached from here, with the settings that they have."""

import os
import queue
import threading
from collections.abc import Callable

from tagifai import artifacts, registry, warehouse
from tagifai.errors import TagifaiError
from tagifai.settings import Settings

# Seconds that a service has to answer.
PATIENCE = 60


def check(settings: Settings) -> dict[str, str | None]:
    """Ask the warehouse, MLflow and the database of the studies, and write and read a file of the artifacts.

    Returns:
        For `warehouse`, `mlflow`, `studies` and `artifacts` what is wrong with it; None: nothing.
    """
    # MLflow's client would repeat a request for minutes.
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"
    asked = {
        "warehouse": lambda: warehouse.connect(settings, command="check").ask(),
        "mlflow": lambda: registry.champion(settings),
        "studies": lambda: _studies(settings),
        "artifacts": lambda: _artifacts(settings),
    }
    answers = {name: _asked(ask) for name, ask in asked.items()}
    return {name: _answer(answer) for name, answer in answers.items()}


def _studies(settings: Settings) -> None:
    from tagifai.study import locked

    with locked(settings, "check"):
        pass


def _artifacts(settings: Settings) -> None:
    uri, content = f"{settings.artifacts}/check", os.urandom(8)
    artifacts.write(uri, content)
    if artifacts.read(uri, missing=f"{uri}: what was written is missing") != content:
        raise TagifaiError(f"{uri}: what was written is not what is read")


def _asked(ask: Callable[[], object]) -> "queue.Queue[str | None]":
    """The answer, as soon as there is one; a thread that waits for ever does not outlive the command."""
    answer: queue.Queue[str | None] = queue.Queue()

    def wait() -> None:
        try:
            ask()
        except (TagifaiError, OSError) as error:
            answer.put(" ".join(str(error).split()))
        else:
            answer.put(None)

    threading.Thread(target=wait, daemon=True).start()
    return answer


def _answer(answer: "queue.Queue[str | None]") -> str | None:
    try:
        return answer.get(timeout=PATIENCE)
    except queue.Empty:
        return f"no answer within {PATIENCE} s: check its address, and what lies between"
