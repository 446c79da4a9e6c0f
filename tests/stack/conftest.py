"""What several files of these tests use."""

import pytest
from application_testing import application_writer


@pytest.fixture
def write_application(tmp_path, monkeypatch):
    """Function that writes an application's file beside a copy of the repository's, and returns its path."""
    return application_writer(tmp_path, monkeypatch)
