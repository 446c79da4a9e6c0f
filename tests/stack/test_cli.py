"""What the commands tell the services that they start."""

from stack import cli
from stack.settings import load


class NoStack:
    """A stack that is not up, and keeps what it was started with."""

    started = None

    def __init__(self, settings):
        self.settings = settings

    def is_up(self, _):
        return False

    def start(self, _, *, stay):
        NoStack.started = (self.settings, stay)

    def stop(self):
        pass


def test_a_stack_that_does_not_stay_serves_no_schedule_and_no_watch(tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "Stack", NoStack)
    monkeypatch.setattr(cli.doctor, "require", lambda *_: None)
    (tmp_path / "mine.yaml").write_text("watch: {seconds: 5, files: [projects.csv]}")
    settings = load(tmp_path / "var", config=tmp_path / "mine.yaml")
    with cli.running(settings):
        started, stay = NoStack.started
    assert not stay
    assert started.config["dataops_schedule"] is None
    assert started.config["watch"] == {"seconds": None, "files": ["projects.csv"]}
    assert started.config["search"] == settings.config["search"]
