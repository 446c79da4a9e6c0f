"""Run operators without Airflow's task runner; for tests in Airflow's environment."""

import json

from airflow.providers.common.compat.sdk import AirflowException


class TaskInstance:
    """The part of a task instance that our operators use.

    Attributes:
        pushed: XComs by key, after a way through JSON.
    """

    def __init__(self, returned=None):
        """`returned`: the return values of other tasks, by task id."""
        self.returned = returned or {}
        self.pushed = {}

    def xcom_pull(self, task_ids):
        return self.returned[task_ids]

    def xcom_push(self, key, value):
        self.pushed[key] = json.loads(json.dumps(value, allow_nan=False))


def execute(task, instance):
    """Run a task as Airflow does: a copy with rendered templates."""
    context = {"ti": instance}
    copy = task.prepare_for_execution()
    copy.render_template_fields(context)
    return copy.execute(context)


def failed(task, returned=None):
    """Run a task that must fail; its exception and its XComs."""
    instance = TaskInstance(returned)
    try:
        execute(task, instance)
    except AirflowException as error:
        return error, instance.pushed
    raise AssertionError(f"{task.task_id} did not fail")
