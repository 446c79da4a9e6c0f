"""Settings of an instance without Docker: config/ and the user's file merged, and what it was started with."""

import getpass
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from stack import places
from stack.pods import settings as pods
from stack.settings import ROOT, ConfigError, Ports, Settings, made_secrets, read, require

# https://cloud.google.com/storage/docs/buckets#naming
_BUCKET = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/|$)")


class Embedded(BaseModel):
    """The part of the config that only places without Docker have."""

    ports: Ports


def load(
    var: Path,
    *,
    place: str = "embedded",
    source: str | None = None,
    config: Path | None = None,
    application: str | None = None,
    as_started: bool = False,
) -> Settings:
    """Merge the files of config/ for a place, the user's file and `source`; create missing secrets and `var`.

    Args:
        var: folder for everything that the stack writes.
        place: name of the place.
        source: folder or http(s) URL, in place of the config's.
        config: YAML file laid over the others, key by key.
        application: name of the one that the command is about; None: the first.
        as_started: use the settings that the instance was last started with instead of config/.

    Raises:
        ConfigError: a file cannot be read, a key is unknown or a value impossible.
    """
    own = read(config) if config else {}
    known = _started(var, place) if as_started and places.APPLICATION not in own else {}
    if own.get("applications", [*known]) != [*known]:
        known = {}
    saved = var / "applications" if known and not config else None
    if known and config:
        known = {each: places.overlay(merged, own, config) for each, merged in known.items()}
    known = known or places.configs(place, own, config)
    name = application or next(iter(known))
    if name not in known:
        raise ConfigError(f"APPLICATION={name} is none of the applications here: {', '.join(known)}")
    for each, merged in known.items():
        if source and each == name:
            merged["source"] = _absolute(source, Path())
        elif "source" in merged:
            merged["source"] = _absolute(merged["source"], ROOT)
        _complete(merged, place)
        require(merged, config or (saved / f"{each}.yaml" if saved else "config/"), Embedded)
        pods.complete(merged, var)
    var.mkdir(parents=True, exist_ok=True)
    config_of = known[name]
    return Settings(
        place=place,
        var=var.resolve(),
        config=config_of,
        configs=known,
        ports=config_of["ports"],
        secrets=made_secrets(var / "secrets.json"),
    )


def _started(var: Path, place: str) -> dict[str, dict[str, Any]]:
    """The settings of each application with which an instance was last started; none if it never was."""
    file = var / "config.yaml"
    if not file.exists():
        return {}
    paths = {name: var / "applications" / f"{name}.yaml" for name in read(file).get("applications", [])}
    if not all(path.exists() for path in paths.values()):
        return {}
    plain, found = places.plain(place), {}
    for name, path in paths.items():
        saved = read(path)
        merged = _restored(plain, saved) | {key: value for key, value in saved.items() if key not in plain}
        # Its keys depend on its type.
        merged = places.overlay(merged, {"warehouse": saved.get("warehouse", {})}, path)
        # In the saved order, so that the file stays as it is.
        found[name] = {key: merged[key] for key in dict.fromkeys([*saved, *merged]) if key in merged}
    return found


def _restored(base: Any, saved: Any) -> Any:
    """The saved values of the settings in `base`; another version may have saved them."""
    if isinstance(base, dict) and base and isinstance(saved, dict):
        return {key: _restored(value, saved.get(key, value)) for key, value in base.items()}
    # An empty section takes any names, and one that is null may have been given.
    is_other = isinstance(base, dict) != isinstance(saved, dict)
    return base if is_other and base is not None else saved


def _absolute(source: Any, base: Path) -> str:
    """An http(s) URL unchanged, a folder as an absolute path; config files give paths relative to the repository."""
    text = str(source)
    if text.startswith(("http://", "https://")):
        return text.rstrip("/")
    if "://" in text:
        # Without what follows, which can hold a password.
        scheme = text.partition("://")[0]
        raise ConfigError(f"source: {scheme}://… cannot be loaded; give a folder or an http(s) URL, also as SOURCE=…")
    return str((base / Path(text).expanduser()).resolve())


def _folder_or_bucket(artifacts: Any) -> Any:
    """gs://BUCKET/FOLDER without a slash at its end, or an absolute path; what is no text is left to `require`."""
    if not isinstance(artifacts, str) or not artifacts:
        return artifacts
    if _BUCKET.match(artifacts):
        return artifacts.rstrip("/")
    if re.match(r"\w+:", artifacts):
        raise ConfigError(f"artifacts: give gs://BUCKET/FOLDER or a folder of this machine, not {artifacts!r}")
    return str((ROOT / Path(artifacts).expanduser()).resolve())


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise ConfigError("this user has no name, as in a container: set warehouse.prefix, or USER=…") from None


def _complete(config: dict[str, Any], place: str) -> None:
    """Fill in what depends on the user and the place; what is of a wrong type is left to `require`."""
    config["artifacts"] = _folder_or_bucket(config["artifacts"])
    warehouse = config["warehouse"]
    if warehouse["type"] != "bigquery":
        return
    if not warehouse["project"]:
        raise ConfigError("warehouse.project is not set: give the id of your Google Cloud project (docs/places.md)")
    if warehouse["prefix"] is None:
        warehouse["prefix"] = re.sub(r"[^a-z0-9_]", "_", _user().lower()) + "_"
    if isinstance(keyfile := warehouse.get("keyfile"), str):
        warehouse["keyfile"] = str((ROOT / Path(keyfile).expanduser()).resolve())
    if isinstance(labels := warehouse.get("labels", {}), dict):
        # By them, `make clean` knows the datasets of this prefix from those of a longer one.
        own = {"place": re.sub(r"[^a-z0-9_-]", "_", place.lower())[:63], "prefix": warehouse["prefix"]}
        warehouse["labels"] = labels | own
