"""Strikes on the main job: kills, a full disk, a wrong clock; and a check of what they lead to."""

import json
import os
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import psutil

from devtools.instance import Instance
from devtools.torture.clock import Clock
from devtools.torture.faults import faults
from devtools.torture.runs import LOOK, PROCESSES, Moment, Run
from stack.errors import StackError

# Seconds that the machine sleeps, and that the clock jumps.
SLEEP = 30
JUMP = 3600

# What is done to a run, or to one process of it; returns whether it had not ended before.
Strike = Callable[[Run, psutil.Process], bool]
# The process that a strike is due on now; None: it is not due.
Due = Callable[[Run], psutil.Process | None]


@dataclass(frozen=True)
class Outcome:
    """What the strikes on one run led to.

    Attributes:
        strikes: each with its second of the run and the last step that was done by then.
        missed: names of those whose moment did not come before the run ended.
        seconds: of the run.
        error: why the run failed; None: it succeeded.
        faults: what is wrong afterwards; none: all is well.
    """

    strikes: list[str]
    missed: list[str]
    seconds: float
    error: str | None
    faults: list[str]


class Torture:
    """An instance whose runs are struck again and again."""

    def __init__(self, instance: Instance):
        """Keep an instance.

        Args:
            instance: a new one.
        """
        self._instance = instance
        self._clock = Clock(instance.folder) if Clock.can_be_made() else None
        self._untouched: Run | None = None

    def calibrate(self) -> Run:
        """Run the main job twice without a strike: to make its databases, and to learn when each process runs.

        Returns:
            The second run.

        Raises:
            StackError: a run fails.
        """
        for _ in range(2):
            self._instance.renew_source()
            run = Run(self._instance)
            while not run.has_ended:
                run.look()
                time.sleep(LOOK)
            wrong = faults(self._instance) if run.wait() else [self._error()]
            if wrong:
                raise StackError(f"the main job fails without a strike: {'; '.join(wrong)}")
            self._untouched = run
        return run

    def strikes(self) -> dict[str, Strike]:
        """The strikes that are possible here, by name."""
        found: dict[str, Strike] = dict.fromkeys(PROCESSES, _kill)
        found |= {"ctrl-c": lambda run, _: run.interrupt(), "sleep": _sleep}
        if os.path.ismount(self._instance.folder.parent):
            found["full-disk"] = self._fill_disk
        if clock := self._clock:
            found["clock-forward"] = lambda run, _: clock.set(JUMP) or not run.has_ended
            found["clock-back"] = lambda run, _: clock.set(-JUMP) or not run.has_ended
        return found

    def strike(self, *names: str, seed: int) -> Outcome:
        """Strike one run on a new snapshot at random moments; if it fails, run again; then check what is left.

        Args:
            names: of the strikes.
            seed: chooses the moments.
        """
        choose = random.Random(f"{seed} {names}")  # noqa: S311
        plan = {name: partial(_due_at, _subject(name), self._moment(name, choose)) for name in names}
        self._instance.renew_source()
        clock = self._clock if any("clock" in name for name in names) else None
        if clock:
            clock.set(0)
        outcome = self._run(plan, clock)
        # By now the disk has room, and the machine's clock is right.
        failed_again = outcome.error and not Run(self._instance).wait()
        wrong = [f"the next run fails: {self._error()}"] if failed_again else []
        return replace(outcome, faults=wrong + faults(self._instance))

    def strike_in(self, tasks: Mapping[str, str]) -> Outcome:
        """Strike one run on the present source, each strike as soon as a task is at work; check nothing.

        Args:
            tasks: by name of the strike, a task as DAG.TASK.
        """
        return self._run({name: partial(_due_in, _subject(name), task) for name, task in tasks.items()}, None)

    def _run(self, plan: dict[str, Due], clock: Clock | None) -> Outcome:
        strikes, run = [], Run(self._instance, clock=clock)
        while plan and not run.has_ended:
            run.look()
            for name, due in list(plan.items()):
                after = run.steps[-1] if run.steps else "its start"
                process = due(run)
                if process and self.strikes()[name](run, process):
                    strikes.append(f"{name} at {run.age:.1f} s, after {after}")
                    del plan[name]
            time.sleep(LOOK)
        error = None if run.wait() else self._error()
        return Outcome(strikes, list(plan), run.age, error, [])

    def _moment(self, name: str, choose: random.Random) -> Moment:
        """A moment in the life of what a strike is aimed at; each is as likely as any other."""
        lives = (self._untouched or self.calibrate()).lives(_subject(name))
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
        error = json.loads(summary.read_text(encoding="utf-8"))["error"]
        return error or "it was killed before it could report an error"


def _due_at(subject: str, moment: Moment, run: Run) -> psutil.Process | None:
    """The process whose moment has come."""
    return run.process_at(subject, moment)


def _due_in(subject: str, task: str, run: Run) -> psutil.Process | None:
    """A process of this name, once a task has begun."""
    return run.process_of(subject) if task in run.begun else None


def _subject(name: str) -> str:
    """Name in PROCESSES of what a strike is aimed at; the launcher lives as long as the run."""
    return name if name in PROCESSES else "launcher"


def _kill(_: Run, process: psutil.Process) -> bool:
    """Kill a process."""
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
