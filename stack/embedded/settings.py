"""Settings of an instance without Docker: config/ and the user's file merged, and what it was started with."""

import getpass
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from stack import places
from stack.pods import settings as pods
from stack.settings import ROOT, ConfigError, Ports, Settings, made_secrets, read, require


class Embedded(BaseModel):
    """The part of the config that only places without Docker have."""

    ports: Ports


def load(
    var: Path,
    *,
    place: str = "embedded",
    source: str | None = None,
    config: Path | None = None,
    as_started: bool = False,
) -> Settings:
    """Merge the files of config/ for a place, the user's file and `source`; create missing secrets and `var`.

    Args:
        var: folder for everything that the stack writes.
        place: name of the place.
        source: folder or http(s) URL, in place of the config's.
        config: YAML file laid over the others, key by key.
        as_started: use the settings that the instance was last started with instead of config/.

    Raises:
        ConfigError: a file cannot be read, a key is unknown or a value impossible.
    """
    merged = places.config(place)
    saved = var / "config.yaml" if as_started and (var / "config.yaml").exists() else None
    if saved:
        merged = _restored(merged, read(saved))
    if config:
        merged = places.overlay(merged, read(config), config)
    merged["source"] = _absolute(source, Path()) if source else _absolute(merged["source"], ROOT)
    _complete(merged, place)
    pods.complete(merged, var)
    require(merged, config or saved or "config/", Embedded)
    var.mkdir(parents=True, exist_ok=True)
    known = made_secrets(var / "secrets.json")
    return Settings(place=place, var=var.resolve(), config=merged, ports=merged["ports"], secrets=known)


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


def _complete(config: dict[str, Any], place: str) -> None:
    """Fill in what depends on the user and the place."""
    warehouse = config["warehouse"]
    if warehouse["type"] != "bigquery":
        return
    if not warehouse["project"]:
        raise ConfigError("warehouse.project is not set: give the id of your Google Cloud project (docs/places.md)")
    # Names of datasets are letters, digits and underscores; labels have small letters, digits, - and _.
    if warehouse["prefix"] is None:
        warehouse["prefix"] = re.sub(r"\W", "_", getpass.getuser(), flags=re.ASCII) + "_"
    label = re.sub(r"[^a-z0-9_-]", "_", place.lower())[:63]
    config["warehouse"] = warehouse | {"labels": (warehouse.get("labels") or {}) | {"place": label}}
