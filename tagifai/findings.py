"""What a study has found, as a file: train and the reports read it without Optuna and its database."""

import json
from typing import Any, TypedDict

from tagifai import artifacts
from tagifai.settings import Settings


class Trial(TypedDict):
    """A complete trial; it is `new` if the latest call of its worker ran it, otherwise it is reused."""

    number: int
    # Cross-validated weighted F1.
    value: float
    seconds: float
    params: dict[str, Any]
    new: bool


class Findings(TypedDict):
    """What a study has found.

    `train_rows` are those that a trial uses; `notes` has a sentence if they are not all, and if a worker was stopped by
    its time budget; `history` has all complete trials in the order of their numbers.
    """

    trials: int
    best_value: float
    best_params: dict[str, Any]
    train_rows: int
    notes: list[str]
    history: list[Trial]


def write(settings: Settings, name: str, findings: Findings) -> None:
    """Write a study's findings to studies/NAME.json under the artifact root."""
    artifacts.write(_uri(settings, name), json.dumps(findings, indent=2).encode())


def read(settings: Settings, name: str) -> Findings:
    """Read a study's findings.

    Raises:
        TagifaiError: there is no such study.
    """
    missing = f"there is no study {name}: run optimize and pass on the name of the study that it returns"
    return json.loads(artifacts.read(_uri(settings, name), missing=missing))


def _uri(settings: Settings, name: str) -> str:
    return f"{settings.artifacts}/studies/{name}.json"
