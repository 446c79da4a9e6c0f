"""`make audit`: what it does without a database, with one that knows nothing, and with one that knows something."""

import http.server
import json
import os
import shutil
import subprocess
import threading

import pytest

from devtools.ports import free_port
from stack.settings import ENVIRONMENTS, ROOT

LOCK = "sampleproject==3.0.0 --hash=sha256:" + "0" * 64 + "\n"
KNOWN = {"vulns": [{"id": "GHSA-aaaa-bbbb-cccc", "summary": "it is bad", "aliases": [], "affected": []}]}


@pytest.fixture
def folder(tmp_path):
    """Locks of one package."""
    (tmp_path / "mine.in").write_text("sampleproject\n")
    (tmp_path / "mine.txt").write_text(LOCK)
    (tmp_path / "accepted-vulnerabilities.txt").write_text("# none\n")
    return tmp_path


@pytest.fixture
def database():
    """Starts a database of vulnerabilities of `sampleproject`; returns its address."""
    servers = []

    def start(known):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer = json.dumps(known if asked["package"]["name"] == "sampleproject" else {}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args):
                pass

        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/v1/query"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def audit(folder, url):
    command = [ENVIRONMENTS / "dev" / "bin" / "python", ROOT / "requirements" / "audit.py", folder]
    variables = os.environ | {"OSV_URL": url, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    return subprocess.run(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_without_a_database_it_says_skipped_and_does_not_fail(folder):
    done = audit(folder, f"http://127.0.0.1:{free_port()}/v1/query")
    assert (done.returncode, done.stdout) == (0, "skipped: no vulnerability database can be reached\n")


def test_packages_without_a_known_vulnerability_pass(folder, database):
    done = audit(folder, database({}))
    assert done.returncode == 0, done.stdout
    assert "mine: auditing\nNo known vulnerabilities found" in done.stdout


def test_a_known_vulnerability_fails_until_it_is_accepted_with_a_reason(folder, database):
    address = database(KNOWN)
    done = audit(folder, address)
    assert done.returncode == 1
    assert "GHSA-aaaa-bbbb-cccc" in done.stdout
    assert "vulnerable, or not audited: mine; upgrade (`make lock`), or accept one with a reason" in done.stdout
    (folder / "accepted-vulnerabilities.txt").write_text("GHSA-aaaa-bbbb-cccc  # never called here\n")
    assert audit(folder, address).returncode == 0
    (folder / "accepted-vulnerabilities.txt").write_text("GHSA-aaaa-bbbb-cccc\n")
    assert "GHSA-aaaa-bbbb-cccc has no reason" in audit(folder, address).stdout


def test_every_lock_of_this_repository_can_be_audited(folder, database):
    for path in (ROOT / "requirements").glob("*"):
        if path.is_file():
            shutil.copy(path, folder)
    done = audit(folder, database({}))
    assert done.returncode == 0, done.stdout
    # Parts of others: what all environments share, and the packages of Composer.
    locks = {path.stem for path in (ROOT / "requirements").glob("*.in")} - {"common", "composer"}
    assert {line.partition(":")[0] for line in done.stdout.splitlines() if line.endswith(": auditing")} >= locks
