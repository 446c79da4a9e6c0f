#!/usr/bin/env bash
# A response with Content-Encoding: gzip whose compressed data ends early, though the HTTP message is complete: httpx 0.28.1
# returns the text that it could decompress, with status 200 and without an error. gzip.decompress of the same bytes raises
# EOFError. A loader that trusts httpx takes half a file for a whole one.
# Output seen:
#   httpx: 200, 47904 of 50000 lines
#   gzip: EOFError
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check httpx==0.28.1

env/bin/python - <<'PYTHON'
import gzip
import random
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx

numbers = random.Random(1)
lines = [b"%d\n" % numbers.randrange(10**9) for _ in range(50_000)]
cut = gzip.compress(b"".join(lines), mtime=0)[:-10_000]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(cut)))
        self.end_headers()
        self.wfile.write(cut)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
answer = httpx.get(f"http://127.0.0.1:{server.server_port}/", trust_env=False)
got = answer.content.count(b"\n")
print(f"httpx: {answer.status_code}, {got} of {len(lines)} lines")
assert answer.status_code == 200 and 0 < got < len(lines)
try:
    gzip.decompress(cut)
except EOFError as error:
    print(f"gzip: {type(error).__name__}")
else:
    raise SystemExit("gzip did not notice")
PYTHON
