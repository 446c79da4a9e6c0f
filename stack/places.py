"""The places of config/places: presets, and places of a team's own on top of one."""

import re
from pathlib import Path
from typing import Any

from pipeline.settings import Application
from stack.settings import ROOT, ConfigError, read

FOLDER = ROOT / "config" / "places"
BASE = ROOT / "config" / "base.yaml"
APPLICATIONS = ROOT / "config" / "applications"
# Settings of the whole stack, which an application's file may have only where it is the one application.
SHARED = ("airbyte", "artifacts", "deploy", "mlflow", "ports", "warehouse")
# The setting that only an application's file has: its name.
APPLICATION = "application"
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
OPEN = ("warehouse.", "deploy.airflow_options.", "slices.patterns.")
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


def configs(place: str, own: dict[str, Any] | None = None, file: Path | None = None) -> dict[str, dict[str, Any]]:
    """The settings of each application by its name, in the order of the setting `applications`.

    config/base.yaml with the application's file, the place's preset and, if it is not a preset itself, its own file
    laid over it.

    Args:
        place: name of the place.
        own: a user's settings, laid over all of that. With `application` they are those of the one application.
        file: where `own` is from.

    Raises:
        ConfigError: there is no such place or application, or a file of it is wrong.
    """
    base, layers = read(BASE), [*_layers(place), (own or {}, file or path(place))]
    if own and APPLICATION in own:
        found = {str(own[APPLICATION]): (own, file or path(place))}
    else:
        names, where = next(
            (each["applications"], where) for each, where in [*reversed(layers), (base, BASE)] if "applications" in each
        )
        if not names or not isinstance(names, list):
            raise ConfigError(f"{where}: applications must list files of config/applications, such as [tagifai]")
        found = {str(name): (application(name), APPLICATIONS / f"{name}.yaml") for name in names}
    for one, where in found.values():
        _require_known(one, where, base, is_alone=len(found) == 1)
    merged = {name: _merged(base | {"applications": list(found)}, [one, *layers]) for name, one in found.items()}
    _require_distinct(merged)
    return merged


def lacking(config: dict[str, Any], folder: Path) -> list[str]:
    """Names of the source files of an application, or patterns of names, that a folder has not."""
    files = [source["file"].lstrip("/") for source in config["sources"].values()]
    return [name for name in files if not (folder / name).exists() and not any(folder.glob(name))]


def _require_known(one: dict[str, Any], file: Path, base: dict[str, Any], *, is_alone: bool) -> None:
    """Refuse settings of an application's file that do not exist, or that are not an application's own."""
    if shared := [key for key in one if key in SHARED and not is_alone]:
        raise ConfigError(f"{file}: `{shared[0]}` is one for all applications: set it in a place or in CONFIG=…")
    known = {*base, *Application.model_fields, "model", *SHARED}
    if unknown := [key for key in one if key not in known]:
        raise ConfigError(f"{file}: there is no setting `{unknown[0]}`; known here: {', '.join(sorted(known))}")


def _require_distinct(configs: dict[str, dict[str, Any]]) -> None:
    """Refuse two applications of one name for schemas and graphs, or for models; wrong types are left to `require`."""
    owners: dict[tuple[str, str], str] = {}
    for name, config in configs.items():
        model = config.get("model")
        prefix = f"{config['namespace']}_" if config.get("namespace") else ""
        for source in config["sources"] if isinstance(config.get("sources"), dict) else ():
            if (other := owners.setdefault(("connection", f"{prefix}{source}"), name)) != name:
                raise ConfigError(
                    f"applications: {other} and {name} both have a connection {prefix}{source}: rename a source"
                )
        values = {
            "namespace": config.get("namespace", ""),
            "model.name": model.get("name") if isinstance(model, dict) else None,
        }
        for setting, value in values.items():
            if value is not None and (other := owners.setdefault((setting, str(value)), name)) != name:
                raise ConfigError(
                    f"applications: {other} and {name} have the same {setting}, {value!r}: give each its own, in "
                    f"{APPLICATIONS / f'{name}.yaml'}"
                )


def plain(place: str) -> dict[str, Any]:
    """The settings of a place without those of an application; see `configs`."""
    return _merged(read(BASE), _layers(place))


def _layers(place: str) -> list[tuple[dict[str, Any], Path]]:
    """The settings of a place's preset and of its own file, each with the file."""
    preset, own = _preset(place)
    return [(read(path(preset)), path(preset)), (own, path(place))]


def _merged(base: dict[str, Any], layers: list[tuple[dict[str, Any], Path]]) -> dict[str, Any]:
    merged = base
    for layer, file in layers:
        kept = {key: value for key, value in layer.items() if key != "applications"}
        # An application and a preset have sections of their own.
        is_extending = APPLICATION in layer or file.stem in PRESETS
        merged = overlay(merged, kept, file, extends=is_extending)
    return merged


def config(place: str) -> dict[str, Any]:
    """The settings of the first application of a place; see `configs`."""
    return next(iter(configs(place).values()))


def application(name: Any) -> dict[str, Any]:
    """What the file of an application says.

    Raises:
        ConfigError: there is no such file, or it is of another application.
    """
    file = APPLICATIONS / f"{name}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(each.stem for each in APPLICATIONS.glob("*.yaml")))
        raise ConfigError(f"applications: there is no {file}; there are {known}. `make init` writes one")
    found = read(file)
    if found.get(APPLICATION) != name:
        raise ConfigError(f"{file}: application must be {name}, the name of the file, not {found.get(APPLICATION)!r}")
    return found


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
    base = _warehouse(over["type"]) if is_other else base
    merged = dict(base)
    for key, value in over.items():
        if isinstance(base.get(key), dict):
            if not isinstance(value, dict):
                raise ConfigError(f"{file}: `{prefix}{key}` holds settings of its own: {', '.join(base[key])}")
            value = overlay(base[key], value, file, prefix=f"{prefix}{key}.")
        merged[key] = value
    return merged


def _warehouse(kind: Any) -> dict[str, Any]:
    """What the settings `warehouse` of a type begin with: those of the preset of this name, if there is one."""
    return read(path(kind))["warehouse"] if kind == "bigquery" else {}


def _preset(place: str) -> tuple[str, dict[str, Any]]:
    """The preset of a place, and what its own file lays over it."""
    if place in PRESETS:
        return place, {}
    if not re.fullmatch(r"\w[\w.-]*", place) or not path(place).is_file():
        raise ConfigError(f"PLACE={place} is not a place: use one of {', '.join(known())}, or write {path(place)}")
    own = read(path(place))
    preset = own.pop(PRESET, None)
    # The containers read the preset itself.
    names = [name for name in PRESETS if name != "compose"]
    if preset not in names:
        raise ConfigError(f"{path(place)}: `{PRESET}` must name one of {', '.join(names)}, not {preset!r}")
    return preset, own
