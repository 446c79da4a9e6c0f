"""The places of config/places: presets, and places of a team's own on top of one."""

from pathlib import Path
from typing import Any

from stack.settings import ROOT, ConfigError, read

FOLDER = ROOT / "config" / "places"
# Each preset with the package of stack/ that starts its services; None: they are started elsewhere.
PRESETS = {
    "embedded": "embedded",
    "compose": "compose",
    "bigquery-emulator": "embedded",
    "bigquery": "embedded",
    "kubernetes": "embedded",
    "composer": None,
}
# Sections that take any names, whatever the base has.
OPEN = ("warehouse.", "deploy.airflow_options.")
# Names the preset that a place of one's own is laid over.
PRESET = "preset"


def known() -> list[str]:
    """Names of all places, presets first."""
    return [*PRESETS, *sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem not in PRESETS)]


def launcher(place: str) -> str:
    """The package of stack/ that starts the services of a place.

    Raises:
        ConfigError: there is no such place, or its services are not started from here.
    """
    preset, _ = _preset(place)
    if package := PRESETS[preset]:
        return package
    raise ConfigError(f"PLACE={place} is run by Cloud Composer; nothing of it is started from here (docs/places.md)")


def presets(place: str) -> list[str]:
    """The names whose files make a place: its preset, and its own if it is another; a ConfigError if there is none."""
    return list(dict.fromkeys([_preset(place)[0], place]))


def config(place: str) -> dict[str, Any]:
    """config/base.yaml with the place's preset and, if it is not a preset itself, its own file laid over it.

    Raises:
        ConfigError: there is no such place, or a file of it is wrong.
    """
    preset, own = _preset(place)
    merged = overlay(read(ROOT / "config" / "base.yaml"), read(path(preset)), path(preset), extends=True)
    return overlay(merged, own, path(place)) if own else merged


def path(place: str) -> Path:
    """The file of a place."""
    return FOLDER / f"{place}.yaml"


def overlay(
    base: dict[str, Any], over: dict[str, Any], file: Path, *, extends: bool = False, prefix: str = ""
) -> dict[str, Any]:
    """Settings with others laid over them, key by key.

    Args:
        base: the settings.
        over: the others.
        file: where they are from, for error messages.
        extends: whether they may add keys to the top level.
        prefix: the keys above, each with a dot behind it.

    Raises:
        ConfigError: a key is not known, or a value takes the place of settings or the other way round.
    """
    # The keys of the warehouse depend on its type, and its classes know them; an empty section takes any names.
    is_open = prefix in OPEN or (extends and not prefix) or not base
    if (unknown := [key for key in over if key not in base]) and not is_open:
        names = ", ".join(str(key) for key in base)
        raise ConfigError(f"{file}: there is no setting `{prefix}{unknown[0]}`; known here: {names}")
    is_other = prefix == "warehouse." and over.get("type", base.get("type")) != base.get("type")
    merged = {} if is_other else dict(base)
    for key, value in over.items():
        if isinstance(base.get(key), dict):
            if not isinstance(value, dict):
                raise ConfigError(f"{file}: `{prefix}{key}` holds settings of its own: {', '.join(base[key])}")
            value = overlay(base[key], value, file, prefix=f"{prefix}{key}.")
        merged[key] = value
    return merged


def _preset(place: str) -> tuple[str, dict[str, Any]]:
    """The preset of a place, and what its own file lays over it."""
    if place in PRESETS:
        return place, {}
    if not path(place).is_file():
        raise ConfigError(f"PLACE={place} is not a place: use one of {', '.join(known())}, or write {path(place)}")
    own = read(path(place))
    preset = own.pop(PRESET, None)
    if preset not in PRESETS:
        raise ConfigError(f"{path(place)}: `{PRESET}` must name one of {', '.join(PRESETS)}, not {preset!r}")
    return preset, own
