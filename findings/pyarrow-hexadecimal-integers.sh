#!/usr/bin/env bash
# pyarrow 25.0.0 casts the text 0x1F to the integer 31, though it refuses the same text as a float and as a decimal. Its CSV
# reader infers int64 for such a column, too: an identifier like 0x1F arrives as 31, and its spelling is lost.
# Output seen:
#   int64: 31
#   double: ArrowInvalid
#   decimal128(10, 0): ArrowInvalid
#   CSV reader: int64, [31]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check pyarrow==25.0.0

env/bin/python - <<'PYTHON'
import io

import pyarrow as pa
from pyarrow import csv

found = {}
for kind in (pa.int64(), pa.float64(), pa.decimal128(10, 0)):
    try:
        found[str(kind)] = pa.array(["0x1F"]).cast(kind)[0].as_py()
    except pa.ArrowInvalid as error:
        found[str(kind)] = type(error).__name__
    print(f"{kind}: {found[str(kind)]}")
column = csv.read_csv(io.BytesIO(b"id\n0x1F\n")).column("id")
print(f"CSV reader: {column.type}, {column.to_pylist()}")
assert (column.type, column.to_pylist()) == (pa.int64(), [31])
assert list(found.values()) == [31, "ArrowInvalid", "ArrowInvalid"], found
PYTHON
