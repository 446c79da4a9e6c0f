"""Seconds of one command by the runner of the settings, as a task runs it; Airflow itself does not run. Prints JSON."""

import json
import time
from datetime import timedelta
from types import SimpleNamespace

from pipeline import runners

COMMAND = ["python", "-c", "import sys; open(sys.argv[-1], 'w').write('{}')"]


def main() -> None:
    """Execute the operator twice; the second time counts, since libraries are imported by then."""
    for number in range(2):
        task = runners.task("tagifai", COMMAND, f"bench_{number}", execution_timeout=timedelta(minutes=10))
        names = {"dag_id": "bench", "task_id": task.task_id, "run_id": str(time.time_ns()), "map_index": -1}
        instance = SimpleNamespace(**names, try_number=1, xcom_push=lambda **content: None)
        began = time.monotonic()
        task.execute({"ti": instance, "run_id": instance.run_id, "dag": None})
        seconds = time.monotonic() - began
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
