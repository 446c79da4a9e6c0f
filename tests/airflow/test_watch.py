"""The watch over the source: what is a change, when it is told, and that nothing stops the looks."""

import asyncio
import os
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

# Seconds within which the trigger has told of a change, and between two of its looks.
LIMIT = 20
PACE = 0.02
PROJECTS, TAGS = "projects.csv", "tags.csv"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A source of two files that is watched."""
    monkeypatch.setenv("MLOPS_SOURCE", str(tmp_path))
    monkeypatch.setenv("MLOPS_WATCH__SECONDS", str(PACE))
    for name in (PROJECTS, TAGS):
        (tmp_path / name).write_text("id\n1\n")
    return tmp_path


@pytest.fixture
def before_look(monkeypatch):
    """What is done before the looks, by their numbers, and under `done` how many there were."""
    from pipeline import source

    look, steps = source.look, {"done": 0}

    def counted(*arguments):
        steps["done"] += 1
        steps.get(steps["done"], lambda: None)()
        return look(*arguments)

    monkeypatch.setattr(source, "look", counted)
    return steps


@pytest.fixture
def said(monkeypatch):
    """What the trigger has logged."""
    from pipeline.watch import SourceTrigger

    lines = []

    class Log:
        def info(self, text, *values):
            lines.append(text % values)

        warning = info

    monkeypatch.setattr(SourceTrigger, "log", Log())
    return lines


def told(seen=None):
    """The files that the trigger tells of, made anew from what Airflow stores of it."""
    from airflow._shared.module_loading import import_string

    from pipeline.watch import SourceTrigger

    path, arguments = SourceTrigger(seen).serialize()

    async def first():
        return (await anext(import_string(path)(**arguments).run())).payload

    return asyncio.run(asyncio.wait_for(first(), LIMIT))


def version(folder):
    """That of the files as they are now."""
    from pipeline import source

    return source.version(source.look(str(folder), [PROJECTS, TAGS]))


def test_without_an_event_yet_the_source_is_new(folder, before_look):
    files = told()
    assert {name: each["size"] for name, each in files.items()} == {PROJECTS: 5, TAGS: 5}
    assert before_look["done"] == 2


@pytest.mark.parametrize("name", [PROJECTS, TAGS])
def test_a_changed_file_is_told_and_not_before_it_changes(folder, before_look, name):
    before_look[5] = lambda: (folder / name).write_text("id\n1\n2\n")
    assert told(version(folder))[name]["size"] == 7
    assert before_look["done"] == 6


def test_a_file_put_in_the_place_of_another_is_a_change(folder, before_look):
    (folder / "new").write_text("id\n7\n")
    # It is as large, and two files may be written at what the disk takes for one moment.
    os.utime(folder / "new", ns=(1, 1))
    before_look[2] = lambda: (folder / "new").replace(folder / TAGS)
    told(version(folder))


def test_a_touched_file_counts_as_changed(folder, before_look):
    before_look[2] = lambda: os.utime(folder / TAGS, ns=(1, 1))
    assert told(version(folder))[TAGS] == {"size": 5, "mtime_ns": 1}


def test_a_file_that_is_still_written_is_not_taken(folder, before_look):
    def grow():
        with (folder / PROJECTS).open("a") as file:
            file.write("2\n")

    before_look |= dict.fromkeys((2, 3, 4), grow)
    assert told(version(folder))[PROJECTS]["size"] == 11
    assert before_look["done"] == 5


def test_a_change_that_is_taken_back_before_it_rests_is_none(folder, before_look):
    status = (folder / TAGS).stat()
    seen = version(folder)
    before_look[2] = lambda: os.utime(folder / TAGS, ns=(1, 1))
    before_look[3] = lambda: os.utime(folder / TAGS, ns=(status.st_atime_ns, status.st_mtime_ns))
    before_look[6] = lambda: os.utime(folder / TAGS, ns=(2, 2))
    assert told(seen)[TAGS]["mtime_ns"] == 2


def test_a_missing_file_is_waited_for_and_told_once(folder, before_look, said):
    (folder / TAGS).unlink()
    before_look[5] = lambda: (folder / TAGS).write_text("id\n")
    assert set(told()) == {PROJECTS, TAGS}
    assert said == [
        "Waiting: a file is missing (FileNotFoundError('tags.csv'))",
        "The source answers, and all files are there",
    ]


def test_a_slow_source_stops_no_other_trigger(folder, before_look):
    from pipeline.watch import SourceTrigger

    looking, other = threading.Event(), threading.Event()
    before_look[1] = lambda: looking.set() or other.wait(LIMIT)

    async def both():
        first = asyncio.ensure_future(anext(SourceTrigger(None).run()))
        while not looking.is_set():
            await asyncio.sleep(0)
        assert not first.done()
        other.set()
        await asyncio.wait_for(first, LIMIT)

    asyncio.run(both())


def test_a_task_that_sleeps_while_the_watch_is_off_looks_at_nothing(folder, before_look, monkeypatch):
    from pipeline.watch import SourceTrigger

    monkeypatch.delenv("MLOPS_WATCH__SECONDS")

    async def look():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(SourceTrigger(None).run()), 10 * PACE)

    asyncio.run(look())
    assert before_look["done"] == 0


class Server:
    """An HTTP server whose answers to HEAD are `headers` and `status`, and which can be away for a while."""

    def __init__(self):
        self.headers, self.status = {"ETag": '"1"', "Last-Modified": "Sat, 21 Nov 2026 10:00:00 GMT"}, 200
        self.asked = []
        self._server = None
        self.start(0)
        self.port = self._server.server_port

    def start(self, port):
        """Listen."""
        parent = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                parent.asked.append((self.path, self.headers["Accept-Encoding"]))
                self.send_response_only(parent.status)
                for name, value in parent.headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self):
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def serving():
    server = Server()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def server(folder, monkeypatch):
    """The source is a server."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as server:
        monkeypatch.setenv("MLOPS_SOURCE", f"http://127.0.0.1:{server.port}/data")
        yield server


@pytest.mark.parametrize(
    ("header", "value"),
    [("ETag", '"2"'), ("Last-Modified", "Sat, 21 Nov 2026 10:00:01 GMT"), ("Content-Length", "9")],
)
def test_a_server_that_answers_with_another_header_has_a_new_file(server, before_look, header, value):
    from pipeline import source

    seen = source.version(told())
    asked = before_look["done"] + 3
    before_look[asked] = lambda: server.headers.update({header: value})
    assert told(seen)[TAGS][header.lower()] == value
    assert before_look["done"] == asked + 1
    assert set(server.asked) == {(f"/data/{name}", "identity") for name in (PROJECTS, TAGS)}


def test_a_server_that_is_away_is_waited_for_and_told_once(server, before_look, said):
    from pipeline import source

    seen = source.version(told())

    def back():
        server.headers["ETag"] = '"2"'
        server.start(server.port)

    start = before_look["done"]
    before_look |= {start + 2: server.stop, start + 6: back}
    assert told(seen)[PROJECTS]["etag"] == '"2"'
    assert [line.split("(")[0] for line in said] == [
        "Waiting: the source does not answer ",
        "The source answers, and all files are there",
    ]


@pytest.mark.parametrize("status", [403, 405, 503])
def test_a_server_that_refuses_is_asked_again_and_its_reason_told(server, before_look, said, status):
    server.status = status
    before_look[4] = lambda: setattr(server, "status", 200)
    told()
    assert f"HEAD projects.csv is answered {status}" in said[0]
    assert len(said) == 2


def test_a_server_that_does_not_tell_files_apart_starts_nothing_and_is_told_once(server, before_look, said):
    server.headers.clear()
    before_look[5] = lambda: server.headers.update(ETag='"1"')
    told()
    assert "without any of etag, last-modified, content-length" in said[0]
    assert len(said) == 2


def test_a_login_that_makes_no_url_is_not_told():
    from pipeline import source

    with pytest.raises(ConnectionError, match=r"^`source` is no valid URL$"):
        source.look("http://user:secret#1@127.0.0.1/data", [TAGS])


def test_a_file_that_a_server_does_not_have_is_missing(server, before_look, said):
    server.status = 404
    before_look[3] = lambda: setattr(server, "status", 200)
    told()
    assert said[0] == "Waiting: a file is missing (FileNotFoundError('projects.csv'))"


def test_an_object_storage_is_looked_at_through_airflow(folder, before_look, monkeypatch):
    from pipeline import source

    monkeypatch.setenv("MLOPS_SOURCE", f"file://{folder}")
    (folder / TAGS).unlink()
    before_look[3] = lambda: (folder / TAGS).write_text("id\n")
    first = told()
    before_look[before_look["done"] + 2] = lambda: (folder / TAGS).write_text("id\n2\n")
    second = told(source.version(first))
    assert first[PROJECTS] == second[PROJECTS]
    assert first[TAGS] != second[TAGS]


class Event:
    """An event of the asset, as Airflow hands it to a task."""

    def __init__(self, number, extra):
        self.id, self.extra = number, extra


class Events(list):
    """The accessor of an asset's events."""

    def ascending(self, _):
        return self

    def limit(self, number):
        return Events(self[:number])


@pytest.mark.parametrize(
    ("events", "seen"),
    [
        ([], None),
        ([Event(1, {"version": "a"})], "a"),
        # The clock was set back before the second.
        ([Event(1, {"version": "a"}), Event(2, {"version": "b"})], "b"),
        # The second and third were made by a person.
        ([Event(3, {}), Event(2, None), Event(1, {"version": "a"})], "a"),
    ],
)
def test_what_is_seen_is_what_the_latest_event_says(events, seen):
    from airflow.sdk.exceptions import TaskDeferred

    from pipeline.graph import SOURCE
    from pipeline.watch import SourceSensor

    with pytest.raises(TaskDeferred) as deferred:
        SourceSensor(task_id="wait").execute({"inlet_events": {SOURCE: Events(events)}})
    assert deferred.value.trigger.seen == seen
    assert deferred.value.timeout is None


def test_the_event_of_one_change_is_what_the_next_look_compares_with(folder):
    from airflow.sdk.execution_time.context import OutletEventAccessors

    from pipeline.graph import SOURCE
    from pipeline.watch import SourceSensor

    events, files = OutletEventAccessors(), told()
    SourceSensor(task_id="wait").tell({"outlet_events": events}, files)
    assert events[SOURCE].extra == {"version": version(folder), "files": files}
