#!/usr/bin/env bash
# orjson 3.13.0 reads JSON nested up to 1024 levels but writes only 254: what it has just parsed may fail to be written
# again, with a TypeError that says "Recursion limit reached". json of Python 3.11 does both at this depth.
# Output seen:
#   depth 300: orjson.loads ok, orjson.dumps TypeError: Recursion limit reached
#   depth 300: json.loads ok, json.dumps ok
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check orjson==3.13.0

env/bin/python - <<'PYTHON'
import json

import orjson

text = b"[" * 300 + b"]" * 300
parsed = orjson.loads(text)
try:
    orjson.dumps(parsed)
except TypeError as error:
    print(f"depth 300: orjson.loads ok, orjson.dumps {type(error).__name__}: {error}")
else:
    raise SystemExit("orjson wrote it")
assert json.dumps(json.loads(text)).encode() == text
print("depth 300: json.loads ok, json.dumps ok")
PYTHON
