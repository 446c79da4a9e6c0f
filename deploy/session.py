"""What a deploy and a rollback share: the environment, its bucket, the lock, and what is waited for."""

import time
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.text import Text

from deploy.airflow import Airflow
from deploy.bucket import LOCK, STORE, Bucket, Kept
from deploy.environment import Environment, OperationError
from deploy.gcloud import Gcloud
from deploy.lock import Deploying, Lock
from deploy.manifest import Manifest
from deploy.settings import Target
from stack.errors import StackError

# Seconds between two lines of progress where there is no terminal.
LINES = 30


class Session:
    """A place and what is known of its environment; `with` holds the lock.

    Attributes:
        kept: what former deploys have left.
        is_changed: whether anything was changed.
        is_touched: whether what runs was changed, by this deploy or by one that did not end.
    """

    kept: Kept

    def __init__(self, target: Target, console: Console, *, is_dry: bool = False):
        """Asks Google for the environment.

        Raises:
            TokenError: nobody is logged in.
            StackError: there is no such environment.
        """
        self.target = target
        self.console = console
        self.gcloud = Gcloud(target.deploy.project, console, is_dry)
        # Without a token each command would say something else.
        token = self.gcloud.token()
        self.environment = Environment(self.gcloud, target)
        self.environment.look()
        self.environment.check_parts()
        self.bucket = Bucket(self.gcloud, self.environment.bucket)
        self.airflow = Airflow(self.gcloud, self.environment.airflow, token)
        self._lock = Lock(self.bucket, lambda text: console.print(text, highlight=False, markup=False))
        self._deploying: Deploying | None = None
        self.is_changed = self.is_touched = False

    def check_state(self) -> None:
        """Raise a StackError unless the environment can be changed, or a deploy that did not end is changing it."""
        if self.environment.state == "RUNNING":
            return
        found = Lock.read(self.bucket) if self.environment.state == "UPDATING" else None
        if not found or not found[0].deploying:
            remedies = {"ERROR": "repair it first", "DELETING": "name another one in deploy.environment"}
            remedy = remedies.get(self.environment.state, "wait for its end, then run again")
            raise StackError(f"the environment {self.target.name} is {self.environment.state}: {remedy}")

    def check_lock(self) -> None:
        """Raise a LockError if another deploy holds the lock."""
        if found := Lock.read(self.bucket):
            found[0].check()

    def __enter__(self) -> Self:
        """Take the lock, wait for what a dead deploy has begun, and read what the bucket holds."""
        self._lock.__enter__()
        try:
            if left := self._lock.left:
                self.is_touched = True
                verb = "a way back to" if left.is_undoing else "a deploy of"
                told = f"Taking up {verb} {left.to} that did not end ({left.step})"
                self.console.print(told, highlight=False, markup=False)
                self.settle(left.operation)
            else:
                # Somebody may have changed it since, while an image was built.
                self.environment.look()
                self.check_state()
            self.kept = self.bucket.kept()
            if others := {each.place for each in self.former} - {self.target.place}:
                told = f"the environment {self.target.name} is that of PLACE={', '.join(others)}"
                remedy = f"give {self.target.place} one of its own, or if that was its name, delete"
                raise StackError(f"{told}: {remedy} {self.bucket.url(STORE)}, which forgets what was deployed")
        except BaseException as error:
            self._lock.__exit__(type(error))
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Release the lock; what was noted last stays for the next call."""
        self._lock.__exit__(kind)

    @property
    def left(self) -> Deploying | None:
        """The deploy before, if it did not end."""
        return self._lock.left

    @property
    def former(self) -> list[Manifest]:
        """The manifests whose files and settings were in the environment before this deploy."""
        names = {self.kept.pointer.current} | (self.left.names if self.left else set())
        return [manifest for name, manifest in self.kept.manifests.items() if name in names]

    def owned(self, wanted: Manifest) -> list[Manifest]:
        """The manifests whose files and settings may be in the environment; what `wanted` has not goes."""
        names = {wanted.id} | (self._deploying.names if self._deploying else set())
        return [manifest for name, manifest in self.kept.manifests.items() if name in names]

    def plan(self, to: str, *, is_undoing: bool = False) -> Deploying:
        """The deploy that is to begin; one of the same manifest that did not end goes on."""
        left = self.left
        if left and left.to == to and left.is_undoing == is_undoing:
            self._deploying = left
        else:
            # Each call adds the one before, so that no deploy on the way is forgotten.
            before = {name for each in (left, self._deploying) if each for name in each.names}
            started = int(time.time())
            self._deploying = Deploying(to, self.kept.pointer.current, started, is_undoing, others=sorted(before))
        return self._deploying

    def begin(self, step: str, *, touches: bool) -> None:
        """Note that a step begins to change something.

        Raises:
            LockError: the lock is lost.
        """
        assert self._deploying is not None
        self._lock.check()
        self.console.print(f"  {step}", highlight=False, markup=False)
        self._deploying = replace(self._deploying, step=step, operation=None)
        self._lock.note(self._deploying)
        self.is_changed = True
        self.is_touched |= touches

    def noted(self) -> datetime:
        """When the step that runs was noted, or the lease renewed since, by the bucket's clock."""
        return self.bucket.objects([LOCK.rpartition("/")[0]])[LOCK].updated

    def check(self) -> None:
        """Raise a LockError if the lock is lost."""
        self._lock.check()

    def end(self) -> None:
        """The deploy has ended: nothing of it stays with the lock when that is released."""
        self._lock.forget()

    def wait(self, operation: str, what: str) -> None:
        """Note an operation and wait for it.

        Raises:
            OperationError: it failed.
            LockError: the lock is lost.
        """
        if self._deploying:
            self._deploying = replace(self._deploying, operation=operation)
            self._lock.note(self._deploying)
        with Progress(self.console) as progress:
            self.environment.wait(operation, lambda seconds, state: progress(seconds, f"{what}, {state}"))
        self._lock.check()

    def settle(self, operation: str | None) -> None:
        """Wait for an operation that was begun, None: whichever runs; how it ended shows in the environment.

        Raises:
            StackError: somebody else updates the environment.
        """
        self.environment.look()
        if self.environment.state != "UPDATING":
            return
        for each in self.environment.running():
            if operation not in (None, each["name"]):
                raise StackError(f"the environment {self.target.name} is updated by somebody else: wait for its end")
            try:
                self.wait(each["name"], "the update that was begun")
            except OperationError as error:
                self.console.print(f"  {error}", highlight=False, markup=False)
        self.environment.look()


class Progress:
    """A line about what is waited for: on a terminal it changes, elsewhere there is one now and then."""

    def __init__(self, console: Console):
        self._console = console
        self._status = console.status("") if console.is_terminal else None
        self._next = 0.0

    def __enter__(self) -> Self:
        """Begin."""
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        if self._status:
            self._status.stop()

    def __call__(self, seconds: float, what: str) -> None:
        """Tell what is waited for, and for how long."""
        text = f"waiting for {what}: {seconds // 60:.0f} min {seconds % 60:02.0f} s"
        if self._status:
            self._status.update(Text(text))
        elif seconds >= self._next:
            self._console.print(f"  {text}", highlight=False, markup=False)
            self._next = seconds + LINES
