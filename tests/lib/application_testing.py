"""Applications of a test's own; needs the launcher's environment."""

from pathlib import Path

import pytest
import yaml

from stack import places


def application_writer(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Function that writes an application's file beside a copy of the repository's, and returns its path."""
    files = folder / "config" / "applications"
    files.mkdir(parents=True)
    for path in places.APPLICATIONS.glob("*.yaml"):
        (files / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(places, "APPLICATIONS", files)

    def write(name, **changes):
        settings = {
            "application": name,
            "namespace": name,
            "source": str(folder),
            "sources": {name: {"file": f"{name}.csv", "columns": {"key": "text", "body": "text", "queue": "text"}}},
            "columns": {"id": "key", "texts": ["body"], "label": "queue"},
            "model": {"name": name},
        }
        file = files / f"{name}.yaml"
        file.write_text(yaml.safe_dump(settings | changes))
        return file

    return write
