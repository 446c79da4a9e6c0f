"""One deploy at a time: an object of the bucket holds its owner, a lease that is renewed, and how far the deploy is."""

import getpass
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import Field, TypeAdapter, ValidationError

from deploy.bucket import LOCK, Bucket
from deploy.gcloud import GcloudError
from stack.errors import StackError

# Seconds that a lease holds, and between two renewals.
LEASE = 120
RENEWAL = 30
# The latest end of a lease that can be a time, in the year 2286.
_LAST = 1e10


@dataclass(frozen=True)
class Deploying:
    """A deploy that has not ended.

    Attributes:
        to: id of its manifest.
        former: id of the manifest that it replaces; None: nothing was deployed.
        others: ids of further manifests whose files and settings may be there: those of deploys that did not end.
        started: when, in seconds since 1970.
        is_undoing: whether it puts the former one back.
        step: what it was doing.
        operation: name of the environment's operation that it waits for; None: it waits for none, or it was
            interrupted before it knew the name.
    """

    to: str
    former: str | None
    started: int
    is_undoing: bool = False
    step: str = ""
    operation: str | None = None
    others: list[str] = field(default_factory=list)

    @property
    def names(self) -> set[str]:
        """Ids of all these manifests."""
        return {each for each in (self.to, self.former, *self.others) if each}


@dataclass(frozen=True)
class Content:
    """Content of the lock's object.

    Attributes:
        owner: who holds the lock, in words.
        id: of the owner's process.
        expires: end of the lease by the owner's clock, in seconds since 1970; 0: the owner has ended.
        deploying: how far its deploy is.
        kind: tells the object from others.
    """

    owner: str
    id: str
    expires: Annotated[float, Field(ge=0, le=_LAST)]
    deploying: Deploying | None
    kind: str = "lock"

    def check(self) -> None:
        """Raise a LockError if the lease holds by this machine's clock."""
        if 0 < self.expires - time.time() <= LEASE:
            until = datetime.fromtimestamp(self.expires, UTC)
            raise LockError(
                f"{self.owner} is deploying to this environment: wait for its end; if it is dead, its lease ends at"
                f" {until:%H:%M:%S} UTC"
            )


class LockError(StackError):
    """Another deploy has the lock."""


_CONTENT = TypeAdapter(Content)


class Lock:
    """The lock of an environment; `with` holds it, and `left` is what the owner before has left.

    What the deploy notes is in the same object, so nobody can take the lock without seeing it. A process that dies
    leaves both; the lease then runs out. One that is interrupted ends its lease itself.

    Raises:
        LockError: another deploy has the lock, or has taken it in the meantime.
    """

    def __init__(self, bucket: Bucket, tell: Callable[[str], None]):
        """`tell` gets a line for the user."""
        self._bucket = bucket
        self._tell = tell
        self._owner = f"{getpass.getuser()} on {socket.gethostname()}, process {os.getpid()}"
        self._id = uuid.uuid4().hex
        self._generation = 0
        self._deploying: Deploying | None = None
        self._turn = threading.Lock()
        self._stop = threading.Event()
        self._expires = 0.0
        self._lost = ""
        self._renewing = threading.Thread(target=self._renew, name="lease", daemon=True)
        self.left: Deploying | None = None

    def __enter__(self) -> Self:
        """Take the lock; a dry run only looks at it."""
        try:
            self._write(0)
            if self._bucket.is_dry and self.read(self._bucket):
                self._take_over()
        except GcloudError as error:
            if not error.is_precondition:
                raise
            self._take_over()
        except KeyboardInterrupt:
            if self._is_ours():
                self._release()
            raise
        self._renewing.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Release it; if a deploy is noted, the object stays with it, and its lease is over."""
        self._stop.set()
        self._renewing.join()
        if self._lost:
            return
        try:
            self._release()
        except StackError:
            # The lease runs out by itself; the error that ends the deploy is the one to tell.
            if kind is None:
                raise

    def _release(self) -> None:
        if self._deploying is None:
            self._bucket.delete([LOCK], generation=self._generation, told=False)
        else:
            self._write(self._generation, lease=0)

    def note(self, deploying: Deploying) -> None:
        """Note how far the deploy is."""
        with self._turn:
            self.check()
            if deploying == self._deploying:
                return
            self._deploying = deploying
            try:
                self._write(self._generation)
            except GcloudError as error:
                self._look_again(error)
            self.check()

    def forget(self) -> None:
        """Note no deploy any more, from the release of the lock on."""
        self.check()
        self._deploying = None

    def check(self) -> None:
        """Raise a LockError if the lock is lost."""
        if self._lost:
            raise LockError(f"the lock is lost, so nothing more is changed: {self._lost}")
        if time.time() > self._expires:
            raise LockError("the lease of the lock could not be renewed in time, so nothing more is changed: run again")

    def _write(self, generation: int, *, lease: float = LEASE) -> None:
        expires = time.time() + lease if lease else 0
        content = Content(self._owner, self._id, expires, self._deploying)
        self._generation = self._bucket.put(LOCK, asdict(content), generation=generation, told=False)
        self._expires = expires

    def _take_over(self) -> None:
        found = self.read(self._bucket)
        if found is None:
            raise LockError("another deploy has just ended: run again")
        content, generation = found
        if content.id == self._id:
            # Our own request was answered only when it was tried again.
            self._generation, self._expires = generation, content.expires
            return
        content.check()
        if content.expires and not self._bucket.is_dry:
            self._watch(content, generation)
        self.left = self._deploying = content.deploying
        try:
            self._write(generation)
        except GcloudError as error:
            if error.is_precondition:
                raise LockError("another deploy has just begun: wait for its end") from None
            raise
        except KeyboardInterrupt:
            if self._is_ours():
                self._release()
            raise

    def _watch(self, content: Content, generation: int) -> None:
        """Look whether a lease is renewed that this machine's clock, which may be wrong, takes for over.

        Raises:
            LockError: it is, or the lock is gone.
        """
        seconds = 2 * RENEWAL
        self._tell(f"Looking for {seconds:g} s whether {content.owner} still renews its lease, which seems to be over")
        time.sleep(seconds)
        found = self.read(self._bucket)
        if found is None:
            raise LockError("another deploy has just ended: run again")
        if found[1] != generation:
            raise LockError(
                f"{content.owner} is deploying to this environment, and its clock differs from this machine's: wait for"
                " its end"
            )

    @staticmethod
    def read(bucket: Bucket) -> tuple[Content, int] | None:
        """Content and generation of the lock; None: there is none.

        Raises:
            LockError: the object is not a lock.
        """
        generation = None
        while found := bucket.objects([LOCK.rpartition("/")[0]]).get(LOCK):
            try:
                return _CONTENT.validate_json(bucket.text(LOCK)), found.generation
            except FileNotFoundError:
                return None
            except ValidationError as error:
                # What is written while it is read may be cut off.
                if generation == found.generation:
                    reason = error.errors()[0]["msg"]
                    raise LockError(f"{bucket.url(LOCK)} is no lock ({reason}): delete it, if nobody deploys") from None
                generation = found.generation
        return None

    def _renew(self) -> None:
        while not self._stop.wait(RENEWAL):
            with self._turn:
                try:
                    self._write(self._generation)
                except (StackError, OSError) as error:
                    # Another failure than a lost lock may pass before the lease ends.
                    with suppress(StackError, OSError):
                        self._look_again(error)
                    if self._lost:
                        return

    def _look_again(self, error: Exception) -> None:
        """After a write that failed: find out whether the lock is lost; raises the error if it says nothing of that."""
        if not isinstance(error, GcloudError) or not error.is_precondition:
            raise error
        if not self._is_ours():
            self._lost = "another deploy has taken it"

    def _is_ours(self) -> bool:
        """Whether the object is ours, of another generation: a request may be answered at its second try only."""
        found = self.read(self._bucket)
        if found is None or found[0].id != self._id:
            return False
        self._generation, self._expires = found[1], found[0].expires
        return True
