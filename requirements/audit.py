"""`make audit`: look up every locked package in a database of known vulnerabilities, if one can be reached."""

import os
import subprocess
import sys
from pathlib import Path

import requests

HERE = Path(__file__).resolve().parent
# A mirror answers as this one does.
DATABASE = os.environ.get("OSV_URL") or "https://api.osv.dev/v1/query"


def main(folder: Path) -> int:
    """Audit a folder's locks; returns the exit status: 0, too, where no database can be reached."""
    accepted = accepted_ids(folder / "accepted-vulnerabilities.txt")
    locks = sorted(path for path in folder.glob("*.txt") if path.with_suffix(".in").exists())
    if not answers():
        print("skipped: no vulnerability database can be reached")
        return 0
    command = [Path(sys.executable).with_name("pip-audit"), "--progress-spinner=off", "--disable-pip", "--desc=off"]
    command += ["--vulnerability-service=osv", f"--osv-url={DATABASE}", *(f"--ignore-vuln={name}" for name in accepted)]
    failed = []
    for lock in locks:
        print(f"{lock.stem}: auditing", flush=True)
        if subprocess.run([*command, f"--requirement={lock}"]).returncode:
            failed.append(lock.stem)
    if failed:
        print(
            f"vulnerable, or not audited: {', '.join(failed)}; upgrade (`make lock`), or accept one with a reason in "
            "requirements/accepted-vulnerabilities.txt",
            file=sys.stderr,
        )
    return 1 if failed else 0


def accepted_ids(file: Path) -> list[str]:
    """The ids in a file of lines such as `GHSA-xxxx  # why it cannot hurt here`."""
    ids = []
    for line in file.read_text(encoding="utf-8").splitlines():
        name, _, reason = map(str.strip, line.partition("#"))
        if name and not reason:
            sys.exit(f"{file.name}: {name} has no reason; write it behind a #")
        ids += [name] if name else []
    return ids


def answers() -> bool:
    """Whether the database answers a question as it should."""
    question = {"package": {"name": "pip", "ecosystem": "PyPI"}, "version": "26.0"}
    try:
        return requests.post(DATABASE, json=question, timeout=10).status_code == 200
    except requests.RequestException:
        return False


if __name__ == "__main__":
    sys.exit(main(HERE if len(sys.argv) < 2 else Path(sys.argv[1])))
