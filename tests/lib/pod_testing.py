"""Run tasks in pods or containers, several at once, without Airflow's task runner."""

import asyncio
import os
import secrets
import subprocess
import sys
import threading
from datetime import timedelta

from airflow.providers.common.compat.sdk import TaskDeferred
from airflow_testing import TaskInstance

from pipeline.runners.container import ContainerCommandOperator
from pipeline.runners.pod import PodCommandOperator
from pipeline.settings import Runner

# The beginning of each test's command; its last argument is the path of the result.
SCRIPT = """
import json, os, pathlib, signal, subprocess, sys, time
result = pathlib.Path(sys.argv[-1])
def succeed(**facts): result.write_text(json.dumps(facts))
def wait(): time.sleep(600)
"""


# A command that goes on when it is told so by another one in its container.
WAITS_FOR_GO = "print('ready', flush=True); list(iter(lambda: time.sleep(0.1) or os.path.exists('/tmp/go'), True))"
GO = ["touch", "/tmp/go"]
# Runs the first try of a case in a process of its own.
WORKER = """
import sys
sys.path[:0] = {path!r}
from pod_testing import Case
from pipeline.settings import Runner
Case(Runner.model_validate_json({settings!r}), {body!r}, task_id={task!r}, run_id={run!r}).start().ended()
"""


class Instance(TaskInstance):
    """A task instance with the ids that name a pod."""

    dag_id, map_index = "tests", -1

    def __init__(self, task_id, run_id, try_number=1):
        super().__init__()
        self.task_id, self.run_id, self.try_number = task_id, run_id, try_number

    @property
    def context(self):
        return {"ti": self, "run_id": self.run_id, "dag": None}


class Recorder:
    """A logger that keeps its lines."""

    def __init__(self):
        self.lines = []

    def info(self, text, *values):
        self.lines.append(text % values if values else text)

    def debug(self, text, *values):
        pass

    warning = error = exception = info

    @property
    def text(self):
        return "\n".join(self.lines)


class _Own:
    """A task with settings and a log of its own."""

    settings: Runner
    changes: dict

    @property
    def runner(self):
        return self.settings.of(self.task_id)


class PodTask(_Own, PodCommandOperator):
    """A task in a pod; `changes` are attributes of the provider's operator."""

    def provider_operator(self):
        operator = super().provider_operator()
        record(operator, self.log)
        for name, value in self.changes.items():
            setattr(operator, name, value)
        return operator


class ContainerTask(_Own, ContainerCommandOperator):
    """A task in a container."""


def record(operator, recorder):
    """Give an operator or trigger another log; Airflow has renamed the attribute."""
    operator._log = operator._cached_logger = recorder


# How many pods are started at once: enough to make waiting cheap, few enough for two processors.
_AT_ONCE = threading.Semaphore(12)


class Case:
    """One run of a task in a pod, in a thread of its own.

    Attributes:
        log: lines of the task's log.
        result: what it returned, None if it failed.
        error: the exception, None if it succeeded.
        xcoms: what it pushed.
        trigger: the trigger that it sleeps with; None: it does not yet.
    """

    def __init__(
        self, settings, body, *, task_id=None, run_id=None, limit=400, program="python", changes=None, attempt=1
    ):
        """`settings`: of the runner; `body`: of the command; `changes`: attributes of the provider's operator."""
        self.task_id, self.run_id = task_id or f"case-{secrets.token_hex(4)}", run_id or f"run-{secrets.token_hex(4)}"
        self.settings = settings
        self.recorder, self.result, self.error = Recorder(), None, None
        self.instance = Instance(self.task_id, self.run_id, attempt)
        self.task = self._task(body, program, limit, changes or {})
        self._arguments = (body, program, limit, changes or {})
        self.trigger = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self._thread.start()
        return self

    def worker(self, settings):
        """Start the try before this one in a process of its own, which can be killed."""
        own = {"settings": settings.model_dump_json(), "body": self._arguments[0], "path": sys.path}
        code = WORKER.format(**own, task=self.task_id, run=self.run_id)
        return subprocess.Popen([sys.executable, "-c", code])

    def ended(self, seconds=500):
        """Wait for the end."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"it has not ended after {seconds} s; its log: {self.recorder.text}"
        return self

    @property
    def log(self):
        return self.recorder.lines

    @property
    def xcoms(self):
        return self.instance.pushed

    @property
    def selector(self):
        return f"--selector=task_id={self.task_id},run_id={self.run_id}"

    def _task(self, body, program, limit, changes):
        command = [program, "-c", SCRIPT + body]
        kind = ContainerTask if self.settings.type == "docker" else PodTask
        task = kind(
            task_id=self.task_id, environment="tagifai", command=command, execution_timeout=timedelta(seconds=limit)
        )
        task.settings, task.changes = self.settings, changes
        record(task, self.recorder)
        return task

    def _run(self):
        with _AT_ONCE:
            self._execute()

    def _execute(self):
        try:
            try:
                self.result = self.task.execute(self.instance.context)
            except TaskDeferred as deferred:
                event = asyncio.run(self._event(deferred.trigger))
                # Another process goes on.
                self.task = self._task(*self._arguments)
                self.result = getattr(self.task, deferred.method_name)(self.instance.context, event)
        except BaseException as error:
            self.error = error

    async def _event(self, trigger):
        path, arguments = trigger.serialize()
        again = type(trigger)(**arguments)
        assert path == f"{type(trigger).__module__}.{type(trigger).__name__}"
        record(again, self.recorder)
        self.trigger = again
        return (await anext(again.run())).payload


def configure(runner):
    """Make a runner's settings those of this process, as the triggerer has them."""
    os.environ["MLOPS_RUNNER"] = runner.model_dump_json()
