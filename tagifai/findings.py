"""What a study has found, as a file: train and the reports read it without Optuna and its database."""

import json
from typing import Any, TypedDict

from tagifai import artifacts
from tagifai.errors import TagifaiError
from tagifai.settings import Settings


class Trial(TypedDict):
    """A complete trial.

    Attributes:
        number: in the study, from 0.
        value: cross-validated weighted F1.
        seconds: how long it took.
        params: a value for each name of the search space.
        new: whether the latest call of its worker ran it; otherwise it is reused.
    """

    number: int
    value: float
    seconds: float
    params: dict[str, Any]
    new: bool


class Findings(TypedDict):
    """What a study has found.

    Attributes:
        trials: number of complete trials.
        best_value: cross-validated weighted F1 of the best trial.
        best_params: parameters of the best trial.
        train_rows: rows that every trial cross-validated on.
        history: all complete trials in the order of their numbers.
    """

    trials: int
    best_value: float
    best_params: dict[str, Any]
    train_rows: int
    history: list[Trial]


def write(settings: Settings, name: str, findings: Findings) -> None:
    """Write a study's findings to studies/NAME.json under the artifact root."""
    artifacts.write(_uri(settings, name), json.dumps(findings, indent=2).encode())


def read(settings: Settings, name: str) -> Findings:
    """Read a study's findings.

    Raises:
        TagifaiError: there is no such study.
    """
    try:
        with artifacts.open_input(_uri(settings, name)) as file:
            return json.load(file)
    except FileNotFoundError:
        raise TagifaiError(
            f"there is no study {name}: run optimize and pass on the name of the study that it returns"
        ) from None


def _uri(settings: Settings, name: str) -> str:
    return f"{settings.artifacts}/studies/{name}.json"
