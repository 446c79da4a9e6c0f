"""Settings of the embedded place: config/ and the user's file merged, and what the instance was started with."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from stack.settings import ROOT, ConfigError, Ports, Settings, made_secrets, read, require


class Embedded(BaseModel):
    """The part of the config that only this place has."""

    ports: Ports


def load(var: Path, *, source: str | None = None, config: Path | None = None, as_started: bool = False) -> Settings:
    """Merge config/base.yaml, config/embedded.yaml, the user's file and `source`; create missing secrets and `var`.

    Args:
        var: folder for everything that the stack writes.
        source: folder or http(s) URL, in place of the config's.
        config: YAML file laid over the others, key by key.
        as_started: use the settings that the instance was last started with instead of config/.

    Raises:
        ConfigError: a file cannot be read, a key is unknown or a value impossible.
    """
    merged = read(ROOT / "config" / "base.yaml") | read(ROOT / "config" / "embedded.yaml")
    saved = var / "config.yaml" if as_started and (var / "config.yaml").exists() else None
    if saved:
        merged = _restored(merged, read(saved))
    if config:
        merged = _overlay(merged, read(config), config)
    merged["source"] = _absolute(source, Path()) if source else _absolute(merged["source"], ROOT)
    require(merged, config or saved or "config/", Embedded)
    var.mkdir(parents=True, exist_ok=True)
    known = made_secrets(var / "secrets.json")
    return Settings(var=var.resolve(), config=merged, ports=merged["ports"], secrets=known)


def _overlay(base: dict[str, Any], over: dict[str, Any], path: Path, prefix: str = "") -> dict[str, Any]:
    if unknown := [key for key in over if key not in base]:
        known = ", ".join(str(key) for key in base)
        raise ConfigError(f"{path}: there is no setting `{prefix}{unknown[0]}`; known here: {known}")
    merged = dict(base)
    for key, value in over.items():
        if isinstance(base[key], dict):
            if not isinstance(value, dict):
                raise ConfigError(f"{path}: `{prefix}{key}` holds settings of its own: {', '.join(base[key])}")
            value = _overlay(base[key], value, path, f"{prefix}{key}.")
        merged[key] = value
    return merged


def _restored(base: Any, saved: Any) -> Any:
    """The saved values of the settings in `base`; another version may have saved them."""
    if isinstance(base, dict) and isinstance(saved, dict):
        return {key: _restored(value, saved.get(key, value)) for key, value in base.items()}
    return base if isinstance(base, dict) or isinstance(saved, dict) else saved


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
