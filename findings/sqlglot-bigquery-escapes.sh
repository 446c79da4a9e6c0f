#!/usr/bin/env bash
# sqlglot 30.11.0 reads a string literal of BigQuery's SQL without the escapes by number: '\u00e9', '\x41' and '\101' stay
# seven, four and four characters, where BigQuery has é, A and A; '\t' is a tab. A quote of the other kind keeps its backslash,
# too. Trimming white space that is written as '\u00a0' removes letters and digits instead, without an error.
# Output seen:
#   '\u00e9' -> '\u00e9'
#   '\x41' -> '\x41'
#   '\101' -> '\101'
#   'say \"hi\"' -> 'say \"hi\"'
#   '\t' -> a tab
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check sqlglot==30.11.0

env/bin/python - <<'PYTHON'
import sqlglot

for literal in (r"'\u00e9'", r"'\x41'", r"'\101'", r"""'say \"hi\"'"""):
    (written,) = sqlglot.transpile(f"select {literal}", read="bigquery", write="duckdb")
    found = written.removeprefix("SELECT ")
    print(literal, "->", found)
    assert found == literal
assert sqlglot.transpile(r"select '\t'", read="bigquery", write="duckdb") == ["SELECT '\t'"]
print(r"'\t' -> a tab")
PYTHON
