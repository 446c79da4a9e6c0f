"""Run a command once as a task does, without Airflow: `python -m pipeline.runners.probe TASK_ID COMMAND...`.

The last line of its output is a JSON object: the command's facts, or {"error": …}; before it comes the task's log.
"""

import json
import logging
import sys
import uuid
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException

from pipeline import runners

# Time that the command may take.
LIMIT = timedelta(seconds=120)


def run(task_id: str, command: list[str]) -> dict[str, Any]:
    """The facts of a command of the environment that has its name; an AirflowException as of CommandOperator."""
    task = runners.task(command[0], command, task_id, execution_timeout=LIMIT)
    run_id = f"doctor-{uuid.uuid4().hex[:8]}"
    instance = SimpleNamespace(
        dag_id="doctor", task_id=task_id, run_id=run_id, map_index=-1, try_number=1, xcom_push=lambda **_: None
    )
    context: Any = {"ti": instance, "run_id": run_id, "dag": None}
    return task.execute(context)


def main() -> None:
    """Run the command of this process's arguments."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    task_id, *command = sys.argv[1:]
    try:
        answer = run(task_id, command)
    except AirflowException as error:
        answer = {"error": str(error)}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
