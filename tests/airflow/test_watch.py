"""The watch: what counts as a change, when it is emitted, and that no failure stops the checks."""

import asyncio
import os
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from airflow.sdk import Asset

# Seconds within which the trigger must emit a change, and seconds between two of its checks.
LIMIT = 20
PACE = 0.02
PROJECTS, TAGS = "projects.csv", "tags.csv"
SOURCE = Asset("source")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A watched source folder with two files."""
    monkeypatch.setenv("MLOPS_SOURCE", str(tmp_path))
    monkeypatch.setenv("MLOPS_WATCH__SECONDS", str(PACE))
    for name in (PROJECTS, TAGS):
        (tmp_path / name).write_text("id\n1\n")
    return tmp_path


@pytest.fixture
def before_check(monkeypatch):
    """Functions to call before a check, by its number; `done` is the number of checks so far."""
    from pipeline import source

    look, steps = source.look, {"done": 0}

    def counted(*arguments):
        steps["done"] += 1
        steps.get(steps["done"], lambda: None)()
        return look(*arguments)

    monkeypatch.setattr(source, "look", counted)
    return steps


@pytest.fixture
def logged(monkeypatch):
    """The lines that the trigger has logged."""
    from pipeline.watch import SourceTrigger

    lines = []

    class Log:
        def info(self, text, *values):
            lines.append(text % values)

        warning = info

    monkeypatch.setattr(SourceTrigger, "log", Log())
    return lines


def emitted(seen=None):
    """The files that the trigger emits, after it was recreated from its serialized form."""
    from airflow._shared.module_loading import import_string

    from pipeline.watch import SourceTrigger

    path, arguments = SourceTrigger(seen, "tagifai").serialize()

    async def first():
        return (await anext(import_string(path)(**arguments).run())).payload

    return asyncio.run(asyncio.wait_for(first(), LIMIT))


def version(folder):
    """The version of the current files."""
    from pipeline import source

    return source.version(source.look(str(folder), [PROJECTS, TAGS]))


def test_without_an_earlier_event_the_source_counts_as_changed(folder, before_check):
    files = emitted()
    assert {name: each["size"] for name, each in files.items()} == {PROJECTS: 5, TAGS: 5}
    assert before_check["done"] == 2


@pytest.mark.parametrize("name", [PROJECTS, TAGS])
def test_a_changed_file_is_emitted_and_not_before_it_changes(folder, before_check, name):
    before_check[5] = lambda: (folder / name).write_text("id\n1\n2\n")
    assert emitted(version(folder))[name]["size"] == 7
    assert before_check["done"] == 6


def test_replacing_a_file_by_another_is_a_change(folder, before_check):
    (folder / "new").write_text("id\n7\n")
    # It has the same size, and two files that are written in a row may get the same time.
    os.utime(folder / "new", ns=(1, 1))
    before_check[2] = lambda: (folder / "new").replace(folder / TAGS)
    emitted(version(folder))


def test_a_touched_file_counts_as_changed(folder, before_check):
    before_check[2] = lambda: os.utime(folder / TAGS, ns=(1, 1))
    assert emitted(version(folder))[TAGS] == {"size": 5, "mtime_ns": 1}


def test_a_file_that_is_still_being_written_is_not_emitted(folder, before_check):
    def grow():
        with (folder / PROJECTS).open("a") as file:
            file.write("2\n")

    before_check |= dict.fromkeys((2, 3, 4), grow)
    assert emitted(version(folder))[PROJECTS]["size"] == 11
    assert before_check["done"] == 5


def test_a_change_that_is_undone_before_the_next_check_is_ignored(folder, before_check):
    status = (folder / TAGS).stat()
    seen = version(folder)
    before_check[2] = lambda: os.utime(folder / TAGS, ns=(1, 1))
    before_check[3] = lambda: os.utime(folder / TAGS, ns=(status.st_atime_ns, status.st_mtime_ns))
    before_check[6] = lambda: os.utime(folder / TAGS, ns=(2, 2))
    assert emitted(seen)[TAGS]["mtime_ns"] == 2


def test_a_missing_file_is_awaited_and_logged_once(folder, before_check, logged):
    (folder / TAGS).unlink()
    before_check[5] = lambda: (folder / TAGS).write_text("id\n")
    assert set(emitted()) == {PROJECTS, TAGS}
    assert logged == [
        "Waiting: a file is missing (FileNotFoundError('tags.csv'))",
        "The source answers and has all files",
    ]


def test_a_slow_source_does_not_block_other_triggers(folder, before_check):
    from pipeline.watch import SourceTrigger

    looking, other = threading.Event(), threading.Event()
    before_check[1] = lambda: looking.set() or other.wait(LIMIT)

    async def both():
        first = asyncio.ensure_future(anext(SourceTrigger(None, "tagifai").run()))
        while not looking.is_set():
            await asyncio.sleep(0)
        assert not first.done()
        other.set()
        await asyncio.wait_for(first, LIMIT)

    asyncio.run(both())


def test_while_the_watch_is_switched_off_a_sleeping_task_checks_nothing(folder, before_check, monkeypatch):
    from pipeline.watch import SourceTrigger

    monkeypatch.delenv("MLOPS_WATCH__SECONDS")

    async def check():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(SourceTrigger(None, "tagifai").run()), 10 * PACE)

    asyncio.run(check())
    assert before_check["done"] == 0


class Server:
    """An HTTP server that answers HEAD with `headers` and `status` and can be stopped for a while."""

    def __init__(self):
        self.headers, self.status = {"ETag": '"1"', "Last-Modified": "Sat, 21 Nov 2026 10:00:00 GMT"}, 200
        self.asked = []
        self._server = None
        self.start(0)
        self.port = self._server.server_port

    def start(self, port):
        """Start to listen."""
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
        """Stop listening."""
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
    """A server as the source."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as server:
        monkeypatch.setenv("MLOPS_SOURCE", f"http://127.0.0.1:{server.port}/data")
        yield server


@pytest.mark.parametrize(
    ("header", "value"),
    [("ETag", '"2"'), ("Last-Modified", "Sat, 21 Nov 2026 10:00:01 GMT"), ("Content-Length", "9")],
)
def test_another_value_of_a_header_is_a_change(server, before_check, header, value):
    from pipeline import source

    seen = source.version(emitted())
    asked = before_check["done"] + 3
    before_check[asked] = lambda: server.headers.update({header: value})
    assert emitted(seen)[TAGS][header.lower()] == value
    assert before_check["done"] == asked + 1
    assert set(server.asked) == {(f"/data/{name}", "identity") for name in (PROJECTS, TAGS)}


def test_a_server_that_does_not_answer_is_awaited_and_logged_once(server, before_check, logged):
    from pipeline import source

    seen = source.version(emitted())

    def back():
        server.headers["ETag"] = '"2"'
        server.start(server.port)

    start = before_check["done"]
    before_check |= {start + 2: server.stop, start + 6: back}
    assert emitted(seen)[PROJECTS]["etag"] == '"2"'
    assert [line.split("(")[0] for line in logged] == [
        "Waiting: the source does not answer ",
        "The source answers and has all files",
    ]


@pytest.mark.parametrize("status", [403, 405, 503])
def test_a_server_that_refuses_is_asked_again_and_its_status_logged(server, before_check, logged, status):
    server.status = status
    before_check[4] = lambda: setattr(server, "status", 200)
    emitted()
    assert f"HEAD projects.csv was answered {status}" in logged[0]
    assert len(logged) == 2


def test_a_server_without_the_needed_headers_starts_nothing_and_is_logged_once(server, before_check, logged):
    server.headers.clear()
    before_check[5] = lambda: server.headers.update(ETag='"1"')
    emitted()
    assert "without any of etag, last-modified, content-length" in logged[0]
    assert len(logged) == 2


def test_the_message_about_an_invalid_url_does_not_contain_its_password():
    from pipeline import source

    with pytest.raises(ConnectionError, match=r"^`source` is not a valid URL$"):
        source.look("http://user:secret#1@127.0.0.1/data", [TAGS])


def test_a_file_that_a_server_does_not_have_is_missing(server, before_check, logged):
    server.status = 404
    before_check[3] = lambda: setattr(server, "status", 200)
    emitted()
    assert logged[0] == "Waiting: a file is missing (FileNotFoundError('projects.csv'))"


def test_an_object_storage_is_checked_through_airflow(folder, before_check, monkeypatch):
    from pipeline import source

    monkeypatch.setenv("MLOPS_SOURCE", f"file://{folder}")
    (folder / TAGS).unlink()
    before_check[3] = lambda: (folder / TAGS).write_text("id\n")
    first = emitted()
    before_check[before_check["done"] + 2] = lambda: (folder / TAGS).write_text("id\n2\n")
    second = emitted(source.version(first))
    assert first[PROJECTS] == second[PROJECTS]
    assert first[TAGS] != second[TAGS]


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_pattern_stands_for_all_files_that_match_in_any_folder(tmp_path, scheme):
    from pipeline import source

    pattern = "**/t-*.csv"
    with pytest.raises(FileNotFoundError, match=r"\*\*/t-"):
        source.look(f"{scheme}{tmp_path}", [pattern])
    (tmp_path / "2024").mkdir()
    for name in ("2024/t-1.csv", "t-2.csv", "other.csv"):
        (tmp_path / name).write_text("id\n")
    assert set(source.look(f"{scheme}{tmp_path}", [pattern, "other.csv"])) == {"2024/t-1.csv", "t-2.csv", "other.csv"}


class Event:
    """An event of the asset, as a task gets it."""

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
        # The clock was set back before the second event.
        ([Event(1, {"version": "a"}), Event(2, {"version": "b"})], "b"),
        # The second and third were created by hand.
        ([Event(3, {}), Event(2, None), Event(1, {"version": "a"})], "a"),
    ],
)
def test_the_version_to_compare_with_is_that_of_the_latest_event(events, seen):
    from airflow.sdk.exceptions import TaskDeferred

    from pipeline.watch import SourceSensor

    with pytest.raises(TaskDeferred) as deferred:
        SourceSensor(task_id="wait", inlets=[SOURCE]).execute({"inlet_events": {SOURCE: Events(events)}})
    assert deferred.value.trigger.seen == seen
    assert deferred.value.timeout is None


def test_the_event_of_a_change_has_the_version_that_the_next_check_compares_with(folder):
    from airflow.sdk.execution_time.context import OutletEventAccessors

    from pipeline.watch import SourceSensor

    events, files = OutletEventAccessors(), emitted()
    SourceSensor(task_id="wait", outlets=[SOURCE]).emit({"outlet_events": events}, files)
    assert events[SOURCE].extra == {"version": version(folder), "files": files}
