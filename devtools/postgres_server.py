"""A temporary PostgreSQL server for tests: `python -m devtools.postgres_server DIRECTORY`.

It prints its address as one line of JSON, and ends when its standard input closes, so it never outlives its parent.
"""

import json
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

from devtools.ports import free_port
from stack.embedded import postgres


def main() -> None:
    """Serve until standard input closes."""
    directory, password, port = Path(sys.argv[1]) / "postgres", secrets.token_urlsafe(16), free_port()
    postgres.create_cluster(directory, password)
    command = [*postgres.server_command(directory, port), "--fsync=off"]
    with (directory.parent / "postgres.log").open("w") as log:
        user = postgres.run_as(postgres.system_user())
        server = subprocess.Popen(command, **user, cwd="/", stdout=log, stderr=log)
    try:
        while not postgres.is_ready(port):
            if server.poll() is not None:
                raise RuntimeError(f"PostgreSQL did not start: {(directory.parent / 'postgres.log').read_text()}")
            time.sleep(0.05)
        psql = str(postgres.BIN / "psql")
        print(json.dumps({"host": "127.0.0.1", "port": port, "password": password, "psql": psql}), flush=True)
        sys.stdin.read()
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


if __name__ == "__main__":
    main()
