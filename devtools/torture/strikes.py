"""Strikes on the main job: kills, a full disk, a wrong clock; and a check of what they lead to."""

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

import psutil

from devtools.instance import Instance, running
from devtools.torture.clock import Clock
from devtools.torture.faults import faults
from devtools.torture.moments import LOOK, Moments, Outcome, all_tasks, choose, strike_at
from devtools.torture.runs import PROCESSES, Run, kill
from stack.errors import StackError
from stack.runs.airflow_api import AirflowApi

# Seconds that the machine sleeps, and that the clock jumps.
SLEEP = 30
JUMP = 3600

# What is done to a run, or to one process of it; returns whether it had not ended before.
Strike = Callable[[Run, psutil.Process], bool]


class Torture:
    """An instance whose runs are struck again and again."""

    def __init__(self, instance: Instance):
        self._instance = instance
        self._clock = Clock(instance.folder) if Clock.can_be_made() else None
        self._tasks: list[str] = []

    def prepare(self) -> list[str]:
        """Run the main job once without a strike; returns its tasks."""
        self._instance.renew_source()
        wrong = faults(self._instance) if Run(self._instance).wait() else [self._error()]
        if wrong:
            raise StackError(f"the main job fails without a strike: {'; '.join(wrong)}")
        with running(self._instance.settings, "postgres", "airflow-api-server"):
            self._tasks = all_tasks(AirflowApi.of(self._instance.settings))
        return self._tasks

    def strikes(self) -> dict[str, Strike]:
        """The strikes that are possible here, by name."""
        found: dict[str, Strike] = dict.fromkeys(PROCESSES, lambda _, process: kill(process))
        found |= {"ctrl-c": lambda run, _: run.interrupt(), "sleep": _sleep}
        if os.path.ismount(self._instance.folder.parent):
            found["full-disk"] = self._fill_disk
        if clock := self._clock:
            found["clock-forward"] = lambda run, _: clock.set(JUMP) or not run.has_ended()
            found["clock-back"] = lambda run, _: clock.set(-JUMP) or not run.has_ended()
        return found

    def strike(self, *names: str, seed: int) -> Outcome:
        """Strike one run on a new snapshot at moments of a seed; if it fails, run again; then check what is left."""
        moments = choose(names, self._tasks or self.prepare(), seed)
        self._instance.renew_source()
        clock = self._clock if any("clock" in name for name in names) else None
        if clock:
            clock.set(0)
        outcome = self._run(moments, clock)
        # By now the disk has room, and the machine's clock is right.
        failed_again = outcome.error and not Run(self._instance).wait()
        wrong = [f"the next run fails: {self._error()}"] if failed_again else []
        return replace(outcome, faults=wrong + faults(self._instance))

    def strike_in(self, tasks: Mapping[str, str]) -> Outcome:
        """Strike one run on the present source; each strike comes as soon as its task, DAG.TASK, has begun."""
        return self._run({name: (task, 0) for name, task in tasks.items()})

    def _run(self, moments: Moments, clock: Clock | None = None) -> Outcome:
        run, api, possible = Run(self._instance, clock=clock), AirflowApi.of(self._instance.settings), self.strikes()
        api.patience = 0

        def strike(name: str) -> bool:
            # The launcher lives as long as the run.
            process = run.process_of(name if name in PROCESSES else "launcher")
            return process is not None and possible[name](run, process)

        strikes, missed = strike_at(moments, api, run.start, strike, run.has_ended)
        error = None if run.wait() else self._error()
        return Outcome(strikes, missed, run.age, error, [])

    def _fill_disk(self, run: Run, _: psutil.Process) -> bool:
        """Leave no room on the instance's disk until the run has ended."""
        if run.has_ended():
            return False
        filler = self._instance.folder / "filler"
        try:
            with filler.open("wb", buffering=0) as file:
                while not run.has_ended():
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


def _sleep(run: Run, _: psutil.Process) -> bool:
    """Stop every process for a while, as a closed lid does."""
    if run.has_ended():
        return False
    stopped = run.processes()
    for change in (psutil.Process.suspend, psutil.Process.resume):
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                change(process)
        if change is psutil.Process.suspend:
            time.sleep(SLEEP)
    return True
