"""Starts modules as processes quickly: a process that has imported everything once forks for each request.

A request is a line of JSON: `module`, `arguments`, `environment`, `folder` (working directory), and the paths `stdout`
and `stderr`, which are appended to. With `wait`, the answer is the exit status; otherwise the id of the process.
"""

import gc
import importlib
import json
import os
import runpy
import signal
import sys

for name in ("airbyte_local", "source_files"):
    importlib.import_module(f"{name}.__main__")
    del sys.modules[f"{name}.__main__"]  # or runpy would warn that it is imported already
for name in ("csv", "jsonl", "parquet"):
    importlib.import_module(f"source_files.{name}_format")


def run(request):
    """Become the requested process."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.path[:0] = request["environment"]["PYTHONPATH"].split(":")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in ((1, request["stdout"]), (2, request["stderr"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
    sys.argv = [request["module"], *request["arguments"]]
    try:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code or 0
    return 0


answers = os.fdopen(os.dup(1), "w")
gc.freeze()
for line in sys.stdin:
    request = json.loads(line)
    # Without `wait`, nobody asks for the status of the process.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL if request["wait"] else signal.SIG_IGN)
    process = os.fork()
    if not process:
        status = 1
        try:
            answers.close()
            status = run(request)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    if request["wait"]:
        process = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    print(process, file=answers, flush=True)
