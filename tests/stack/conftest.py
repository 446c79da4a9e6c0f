"""Applications of a test's own."""

import pytest
import yaml

from stack import places


@pytest.fixture
def write_application(monkeypatch, tmp_path):
    """Function that writes an application's file beside a copy of the repository's, and returns its path."""
    folder = tmp_path / "config" / "applications"
    folder.mkdir(parents=True)
    for path in places.APPLICATIONS.glob("*.yaml"):
        (folder / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(places, "APPLICATIONS", folder)

    def write(name, **changes):
        settings = {
            "application": name,
            "namespace": name,
            "source": str(tmp_path),
            "sources": {name: {"file": f"{name}.csv", "columns": {"key": "text", "body": "text", "queue": "text"}}},
            "columns": {"id": "key", "texts": ["body"], "label": "queue"},
            "model": {"name": name},
        }
        file = folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(settings | changes))
        return file

    return write
