#!/usr/bin/env bash
# PostgreSQL and MySQL write null as \N and escape with a backslash. With escape_char="\\", pyarrow 25.0.0 removes the
# backslash before it compares values with null_values, so \N is the text N, and no null text with a backslash ever
# matches. Without escape_char, the same null_values work.
# Output seen:
#   with escape_char:    ['N', 'say "hi"']
#   without escape_char: [None, 'plain']
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check pyarrow==25.0.0

env/bin/python - <<'PYTHON'
import io

from pyarrow import csv


def read(text, **options):
    nulls = csv.ConvertOptions(null_values=[r"\N"], strings_can_be_null=True)
    table = csv.read_csv(io.BytesIO(text), parse_options=csv.ParseOptions(**options), convert_options=nulls)
    return table.column("text").to_pylist()


escaped = read(b'text,id\n\\N,1\n"say \\"hi\\"",2\n', escape_char="\\")
plain = read(b"text,id\n\\N,1\nplain,2\n")
print("with escape_char:   ", escaped)
print("without escape_char:", plain)
assert escaped == ["N", 'say "hi"']
assert plain == [None, "plain"]
PYTHON
