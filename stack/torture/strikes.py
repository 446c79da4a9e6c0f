"""Strikes on the main job at seeded moments, and what comes of them."""

import json
import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil

from stack.instance import Instance
from stack.supervision import StackError
from stack.torture.faults import faults
from stack.torture.runs import FAKETIME, LOOK, PROCESSES, Moment, Run, is_process

# Seconds that the machine sleeps, and that the clock jumps.
SLEEP = 30
JUMP = 3600

# Returns whether it struck; the run may have ended before.
Strike = Callable[[Run], bool]


@dataclass(frozen=True)
class Outcome:
    """What came of the strikes on one run.

    Attributes:
        strikes: each with its second of the run and the last step that was done by then, or that it came too late.
        seconds: of the run.
        error: why the run failed; None: it succeeded all the same.
        faults: what is wrong after it or, where it failed, after the next run; none: all is well.
    """

    strikes: list[str]
    seconds: float
    error: str | None
    faults: list[str]


class Torture:
    """An instance whose runs are struck again and again."""

    def __init__(self, instance: Instance):
        """Run the main job once without a strike, to learn when there is what to strike.

        Args:
            instance: a new one.

        Raises:
            StackError: the run fails.
        """
        self._instance = instance
        self._clock = instance.folder / "clock"
        # Moments at which there was a process of a name; under "", all of them.
        self._moments: dict[str, list[Moment]] = {"": []}
        instance.renew_source()
        run, steps, since = Run(instance), 0, time.monotonic()
        while not run.has_ended:
            if len(run.steps) > steps:
                steps, since = len(run.steps), time.monotonic()
            moment = Moment(steps, time.monotonic() - since)
            self._moments[""].append(moment)
            processes = run.processes()
            for name in PROCESSES:
                if any(is_process(name, each) for each in processes):
                    self._moments.setdefault(name, []).append(moment)
            time.sleep(LOOK)
        # When all is done, a run may end before it is struck.
        self._moments = {name: [each for each in found if each.steps < steps] for name, found in self._moments.items()}
        wrong = faults(self._instance) if run.wait() else [self._error()]
        if wrong:
            raise StackError(f"the main job fails without a strike: {'; '.join(wrong)}")

    def strikes(self) -> dict[str, Strike]:
        """The strikes that can be done here, by name."""
        found: dict[str, Strike] = {name: _kill(name) for name in PROCESSES}
        found |= {"ctrl-c": Run.interrupt, "sleep": _sleep}
        if os.path.ismount(self._instance.folder.parent):
            found["full-disk"] = self._fill_disk
        if FAKETIME.exists():
            found["clock-forward"] = lambda run: self._set_clock(JUMP) or not run.has_ended
            found["clock-back"] = lambda run: self._set_clock(-JUMP) or not run.has_ended
        return found

    def strike(self, *names: str, seed: int) -> Outcome:
        """Strike one run on a new snapshot and see what comes of it.

        Args:
            names: of the strikes.
            seed: chooses the moments.
        """
        choose = random.Random(f"{seed} {names}")  # noqa: S311
        plan = sorted((choose.choice(self._moments.get(name) or self._moments[""]), name) for name in names)
        self._instance.renew_source()
        self._set_clock(0)
        done, run = [], Run(self._instance, clock=self._clock if any("clock" in name for name in names) else None)
        for moment, name in plan:
            run.wait_for(moment)
            after = run.steps[-1] if run.steps else "its start"
            struck = self.strikes()[name](run)
            done.append(f"{name} at {run.age:.1f} s, after {after}" if struck else f"{name} came too late")
        error = None if run.wait() else self._error()
        seconds = run.age
        # By now the clock is right, and the disk has room.
        failed_again = error and not Run(self._instance).wait()
        wrong = [f"the next run fails: {self._error()}"] if failed_again else []
        return Outcome(done, seconds, error, wrong + faults(self._instance))

    def _set_clock(self, seconds: int) -> None:
        self._clock.write_text(f"{seconds:+d}")

    def _fill_disk(self, run: Run) -> bool:
        """Leave no room on the instance's disk until the run has ended."""
        if run.has_ended:
            return False
        filler = self._instance.folder / "filler"
        try:
            with filler.open("wb", buffering=0) as file:
                while not run.has_ended:
                    try:
                        file.write(bytes(1 << 16))
                    except OSError:
                        time.sleep(LOOK)
        finally:
            filler.unlink()
        return True

    def _error(self) -> str:
        """Why the last run failed."""
        summary = self._instance.settings.var / "summary.json"
        return json.loads(summary.read_text(encoding="utf-8"))["error"] or "it was ended before it could say why"


def _kill(name: str) -> Strike:
    """Strike that ends a process of PROCESSES, or the next of that name to come, without a warning."""

    def strike(run: Run) -> bool:
        while not run.has_ended:
            for process in run.processes(name)[:1]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
                    return True
            time.sleep(LOOK / 5)
        return False

    return strike


def _sleep(run: Run) -> bool:
    """Stop every process for a while, as a closed lid does."""
    if run.has_ended:
        return False
    stopped = run.processes()
    for change in (psutil.Process.suspend, psutil.Process.resume):
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                change(process)
        if change is psutil.Process.suspend:
            time.sleep(SLEEP)
    return True
