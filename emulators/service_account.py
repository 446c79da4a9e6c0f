"""Writes a key of a service account that nobody has: `python -m emulators.service_account PATH --url URL`.

With its path in GOOGLE_APPLICATION_CREDENTIALS, Google's clients run unchanged: the stand-in for BigQuery gives their
tokens.
"""

import argparse
import json
import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


def write_key(path: Path, url: str, *, project: str = "demo") -> None:
    """Write the key file, which only its owner can read; a file that is there is replaced in one step.

    Args:
        path: the file; its folder must exist.
        url: address of the stand-in for BigQuery, such as `http://127.0.0.1:9050`.
        project: id of the project that clients use if they are told no other.

    Raises:
        OSError: the file cannot be written.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    content = {
        "type": "service_account",
        "project_id": project,
        "private_key_id": "emulator",
        "private_key": key.decode(),
        # Google's library would ask Google where an account with a name may be used from.
        "client_email": "",
        "client_id": "0",
        "token_uri": f"{url.rstrip('/')}/token",
    }
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(content, file)
    beside.replace(path)


def main() -> None:
    """Write the file that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m emulators.service_account", description=__doc__)
    parser.add_argument("path", type=Path, metavar="PATH")
    parser.add_argument("--url", required=True, help="address of the stand-in for BigQuery")
    parser.add_argument("--project", default="demo", help="id of the project (default: demo)")
    options = parser.parse_args()
    write_key(options.path, options.url, project=options.project)


if __name__ == "__main__":
    main()
