"""The lock's lease, on a bucket in memory that checks generations as Cloud Storage does."""

import json
import threading
import time
from datetime import UTC, datetime

import pytest

from deploy import lock
from deploy.bucket import LOCK, Object
from deploy.gcloud import GcloudError, TokenError
from deploy.lock import Deploying, Lock, LockError

STALE = "gcloud storage cp: HTTPError 412: Precondition failed"


class Bucket:
    """One object; `faults` are raised by the next writes, after which the write has happened or not."""

    def __init__(self):
        self.is_dry = False
        self.content, self.generation, self.writes = None, 0, 0
        self.faults = []
        self.written = threading.Condition()

    def put(self, path, content, *, generation=None, told=True):
        assert path == LOCK
        with self.written:
            fault = self.faults.pop(0) if self.faults else None
            if fault == "lost" or (fault is None and generation == self.generation):
                self.content, self.generation = json.loads(json.dumps(content)), self.generation + 1
                self.writes += 1
                self.written.notify_all()
            if fault or generation != self.generation - 1:
                raise GcloudError("HTTPError 503" if fault == "down" else STALE)
            return self.generation

    def delete(self, names, *, generation=None, told=True):
        assert (names, generation) == ([LOCK], self.generation)
        self.content, self.generation = None, 0

    def objects(self, _folders):
        return {LOCK: Object("", self.generation, datetime.now(UTC))} if self.content else {}

    def text(self, _path):
        return json.dumps(self.content)

    def url(self, path):
        return f"gs://bucket/{path}"

    def wait(self, writes):
        with self.written:
            assert self.written.wait_for(lambda: self.writes >= writes, timeout=30)


@pytest.fixture
def bucket():
    return Bucket()


@pytest.fixture
def quick(monkeypatch):
    """A lease that is renewed all the time."""
    monkeypatch.setattr(lock, "RENEWAL", 0.01)


def test_the_lease_is_renewed_in_time():
    assert lock.RENEWAL == 30
    assert lock.LEASE >= 3 * lock.RENEWAL


def test_a_lock_is_renewed_and_released(bucket, quick):
    with Lock(bucket, print) as held:
        first = bucket.content["expires"]
        bucket.wait(4)
        assert bucket.content["expires"] > first
        held.check()
    assert bucket.content is None


def test_a_renewal_that_fails_for_a_moment_is_tried_again(bucket, quick):
    with Lock(bucket, print) as held:
        bucket.faults = ["down", "down"]
        writes = bucket.writes
        bucket.wait(writes + 2)
        held.check()


def test_a_renewal_whose_answer_was_lost_is_our_own(bucket, quick):
    with Lock(bucket, print) as held:
        bucket.faults = ["lost"]
        bucket.wait(bucket.writes + 3)
        held.check()


def test_a_lock_whose_first_answer_was_lost_is_our_own(bucket):
    bucket.faults = ["lost"]
    with Lock(bucket, print) as held:
        held.check()
    assert bucket.content is None


def test_a_lock_that_somebody_else_has_taken_is_lost_and_left_alone(bucket, quick):
    with Lock(bucket, print) as held:
        with bucket.written:
            bucket.content, bucket.generation = {"id": "x", "owner": "ada", "expires": 9e9, "deploying": None}, 99
        held._renewing.join(timeout=30)
        with pytest.raises(LockError, match="nothing more is changed: another deploy has taken it"):
            held.note(Deploying("1", None, 0))
    assert bucket.content["owner"] == "ada"


def test_a_note_on_a_lock_that_somebody_else_has_taken_is_an_error_at_once(bucket):
    with Lock(bucket, print) as held:
        bucket.content, bucket.generation = {"id": "x", "owner": "ada", "expires": 9e9, "deploying": None}, 99
        with pytest.raises(LockError, match="another deploy has taken it"):
            held.note(Deploying("1", None, 0))
    assert bucket.content["owner"] == "ada"


def test_a_note_whose_answer_was_lost_is_our_own(bucket):
    with Lock(bucket, print) as held:
        bucket.faults = ["lost"]
        held.note(Deploying("1", None, 0))
        held.note(Deploying("2", None, 0))
        assert bucket.content["deploying"]["to"] == "2"


def test_a_lease_that_could_not_be_renewed_ends_the_deploy(bucket, monkeypatch):
    with Lock(bucket, print) as held:
        monkeypatch.setattr(held, "_expires", time.time() - 1)
        with pytest.raises(LockError, match="could not be renewed in time"):
            held.check()


def test_a_lease_that_is_over_is_taken_with_what_was_left(bucket, quick):
    left = {"to": "2", "former": "1", "started": 7, "is_undoing": False, "step": "packages", "operation": "op"}
    left |= {"others": []}
    bucket.content, bucket.generation = {"id": "x", "owner": "ada", "expires": 1, "deploying": left}, 5
    with Lock(bucket, print) as held:
        assert held.left == Deploying(**left)
    assert (bucket.content["expires"], bucket.content["deploying"]) == (0, left), "it is left again, without a lease"
    with Lock(bucket, print) as held:
        held.forget()
    assert bucket.content is None


def test_a_lease_that_holds_is_refused_with_its_owner_and_end(bucket):
    expires = time.time() + 60
    bucket.content, bucket.generation = {"id": "x", "owner": "ada", "expires": expires, "deploying": None}, 5
    with (
        pytest.raises(LockError, match=r"ada is deploying .* its lease ends at \d\d:\d\d:\d\d UTC"),
        Lock(bucket, print),
    ):
        pass
    assert bucket.generation == 5


@pytest.mark.parametrize("skew", [-7200, 7200])
def test_the_lock_of_a_machine_whose_clock_is_off_is_not_taken_while_it_is_renewed(bucket, monkeypatch, skew):
    monkeypatch.setattr(lock, "RENEWAL", 0.1)
    content = {"id": "x", "owner": "ada", "expires": time.time() + skew, "deploying": None}
    bucket.content, bucket.generation = content, 5

    def renewed(_seconds):
        bucket.generation += 1

    monkeypatch.setattr(lock.time, "sleep", renewed)
    with pytest.raises(LockError, match="its clock differs from this machine's"), Lock(bucket, print):
        pass
    assert bucket.content == content


def test_the_lock_of_a_dead_machine_whose_clock_was_ahead_is_taken(bucket, quick):
    bucket.content = {"id": "x", "owner": "ada", "expires": time.time() + 7200, "deploying": None}
    bucket.generation = 5
    with Lock(bucket, print) as held:
        held.check()
    assert bucket.content is None


def test_a_lock_that_is_written_while_it_is_read_is_read_again(bucket, monkeypatch):
    content = {"id": "x", "owner": "ada", "expires": 1, "deploying": None}
    bucket.content, bucket.generation = content, 5
    texts = ['{"id": "x", "own']

    def text(_path):
        bucket.generation += 1 if texts else 0
        return texts.pop() if texts else json.dumps(content)

    monkeypatch.setattr(bucket, "text", text)
    found, generation = Lock.read(bucket)
    assert (found.owner, generation) == ("ada", 6)


def test_ctrl_c_while_the_lock_is_taken_leaves_no_lease(bucket, monkeypatch):
    put = bucket.put

    def interrupted(*arguments, **options):
        put(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(bucket, "put", interrupted)
    with pytest.raises(KeyboardInterrupt), Lock(bucket, print):
        pass
    assert bucket.content is None


def test_a_renewal_without_a_token_is_tried_again(bucket, quick, monkeypatch):
    with Lock(bucket, print) as held:
        put, failures = bucket.put, [TokenError("no token"), OSError("no disk")]

        def failing(*arguments, **options):
            if failures:
                raise failures.pop()
            return put(*arguments, **options)

        monkeypatch.setattr(bucket, "put", failing)
        bucket.wait(bucket.writes + 2)
        held.check()


def test_a_dry_run_sees_what_was_left_and_a_live_lease(bucket, monkeypatch):
    monkeypatch.setattr(bucket, "is_dry", True)
    monkeypatch.setattr(bucket, "put", lambda *_, **__: 0)
    monkeypatch.setattr(bucket, "delete", lambda *_, **__: None)
    bucket.content = {"id": "x", "owner": "ada", "expires": 1, "deploying": {"to": "2", "former": None, "started": 7}}
    with Lock(bucket, print) as held:
        assert held.left.to == "2"
    bucket.content |= {"expires": time.time() + 60}
    with pytest.raises(LockError, match="ada is deploying"), Lock(bucket, print):
        pass


@pytest.mark.parametrize("text", ["", "garbage", "[1]", '{"owner": "ada"}', '{"deploying": {"to": 1}}'])
def test_an_object_that_is_no_lock_is_named_with_the_remedy(bucket, monkeypatch, text):
    bucket.content, bucket.generation = {"any": 1}, 5
    monkeypatch.setattr(bucket, "text", lambda _path: text)
    told = rf"gs://bucket/{LOCK} is no lock \(.*\): delete it, if nobody deploys"
    with pytest.raises(LockError, match=told), Lock(bucket, print):
        pass
    assert bucket.generation == 5
