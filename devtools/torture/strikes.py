"""Strikes on the main job at seeded moments, and what comes of them."""

import json
import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil

from devtools.instance import Instance
from devtools.torture.clock import Clock
from devtools.torture.faults import faults
from devtools.torture.runs import LOOK, PROCESSES, Moment, Run
from stack.errors import StackError

# Seconds that the machine sleeps, and that the clock jumps.
SLEEP = 30
JUMP = 3600

# What is done to a run, or to the one process; returns whether it struck, since either may have ended.
Strike = Callable[[Run, psutil.Process], bool]


@dataclass(frozen=True)
class Outcome:
    """What came of the strikes on one run.

    Attributes:
        strikes: each with its second of the run and the last step that was done by then.
        missed: names of those whose moment did not come before the run ended.
        seconds: of the run.
        error: why the run failed; None: it succeeded all the same.
        faults: what is wrong after it or, where it failed, after the next run; none: all is well.
    """

    strikes: list[str]
    missed: list[str]
    seconds: float
    error: str | None
    faults: list[str]


class Torture:
    """An instance whose runs are struck again and again."""

    def __init__(self, instance: Instance):
        """Run the main job twice without a strike: to make its databases, and to learn when there is what to strike.

        Args:
            instance: a new one.

        Raises:
            StackError: the run fails.
        """
        self._instance = instance
        self._clock = Clock(instance.folder) if Clock.can_be_made() else None
        for _ in range(2):
            instance.renew_source()
            self._untouched = Run(instance)
            while not self._untouched.has_ended:
                self._untouched.look()
                time.sleep(LOOK)
            wrong = faults(instance) if self._untouched.wait() else [self._error()]
            if wrong:
                raise StackError(f"the main job fails without a strike: {'; '.join(wrong)}")

    def strikes(self) -> dict[str, Strike]:
        """The strikes that can be done here, by name."""
        found: dict[str, Strike] = dict.fromkeys(PROCESSES, _kill)
        found |= {"ctrl-c": lambda run, _: run.interrupt(), "sleep": _sleep}
        if os.path.ismount(self._instance.folder.parent):
            found["full-disk"] = self._fill_disk
        if clock := self._clock:
            found["clock-forward"] = lambda run, _: clock.set(JUMP) or not run.has_ended
            found["clock-back"] = lambda run, _: clock.set(-JUMP) or not run.has_ended
        return found

    def strike(self, *names: str, seed: int) -> Outcome:
        """Strike one run on a new snapshot and see what comes of it.

        Args:
            names: of the strikes.
            seed: chooses the moments.
        """
        choose = random.Random(f"{seed} {names}")  # noqa: S311
        plan = {name: self._moment(name, choose) for name in names}
        self._instance.renew_source()
        clock = self._clock if any("clock" in name for name in names) else None
        if clock:
            clock.set(0)
        strikes, run = [], Run(self._instance, clock=clock)
        while plan and not run.has_ended:
            run.look()
            for name, moment in list(plan.items()):
                after = run.steps[-1] if run.steps else "its start"
                process = run.process_at(_subject(name), moment)
                if process and self.strikes()[name](run, process):
                    strikes.append(f"{name} at {run.age:.1f} s, after {after}")
                    del plan[name]
            time.sleep(LOOK)
        error = None if run.wait() else self._error()
        seconds = run.age
        # By now the disk has room, and the machine's clock is right.
        failed_again = error and not Run(self._instance).wait()
        wrong = [f"the next run fails: {self._error()}"] if failed_again else []
        return Outcome(strikes, list(plan), seconds, error, wrong + faults(self._instance))

    def _moment(self, name: str, choose: random.Random) -> Moment:
        """A moment of what a strike is aimed at; each is as likely as any other."""
        lives = self._untouched.lives(_subject(name))
        (number,) = choose.choices(range(len(lives)), [life.seconds + LOOK for life in lives])
        return Moment(number, choose.uniform(0, lives[number].seconds))

    def _fill_disk(self, run: Run, _: psutil.Process) -> bool:
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


def _subject(name: str) -> str:
    """What of PROCESSES a strike is aimed at; the launcher lives as long as the run."""
    return name if name in PROCESSES else "launcher"


def _kill(_: Run, process: psutil.Process) -> bool:
    """End a process without a warning."""
    with suppress(psutil.NoSuchProcess):
        process.kill()
        return True
    return False


def _sleep(run: Run, _: psutil.Process) -> bool:
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
