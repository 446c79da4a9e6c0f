"""Run a connection as the DAG `dataops` does: `python operate.py NAME ID RESULT`, in Airflow's environment.

It writes the job, and the seconds from the start of the task to its end, to RESULT. Airflow itself does not run.
"""

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from pipeline.syncs import extract_and_load


def main(name: str, connection_id: str, result: str) -> None:
    """Execute the operator once."""
    task = extract_and_load(name)
    # The value of its template.
    task.connection_id = connection_id
    # XComs have no reader here; why a job failed is in the error.
    context = {"ti": SimpleNamespace(xcom_push=lambda **content: None)}
    began = time.monotonic()
    job = task.execute(context)
    seconds = time.monotonic() - began
    Path(result).write_text(json.dumps({"seconds": seconds, "job": job}))


if __name__ == "__main__":
    main(*sys.argv[1:])
