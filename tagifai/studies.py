"""What a study has found, as a file: all that train needs of it, read without Optuna and its database."""

import json
from typing import TypedDict

from tagifai import artifacts
from tagifai.errors import TagifaiError
from tagifai.settings import Settings


class Findings(TypedDict):
    """Number of complete `trials`; `best_value`, the cross-validated weighted F1, and `best_params` among them."""

    trials: int
    best_value: float
    best_params: dict[str, object]


def write(settings: Settings, name: str, findings: Findings) -> None:
    """Write a study's findings to studies/NAME.json under the artifact root."""
    artifacts.write(_uri(settings, name), json.dumps(findings, indent=2).encode())


def read(settings: Settings, name: str) -> Findings:
    """Read a study's findings.

    Raises:
        TagifaiError: there are none.
    """
    try:
        with artifacts.open_input(_uri(settings, name)) as file:
            return json.load(file)
    except FileNotFoundError:
        raise TagifaiError(f"there is no study {name}: run optimize and pass on the one that it returns") from None


def _uri(settings: Settings, name: str) -> str:
    return f"{settings.artifacts}/studies/{name}.json"
