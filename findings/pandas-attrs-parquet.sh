#!/usr/bin/env bash
# DataFrame.attrs, which pandas calls experimental and most operations drop, comes through a Parquet file: pandas 3.0.5 writes
# it into the file's schema with pyarrow 25.0.0 and restores it. So a file can carry facts about itself, but a tuple comes
# back as a list, and an integer key as a text.
# Output seen:
#   written: {'classes': ('a', 'b'), 1: 'one'}
#   read:    {'classes': ['a', 'b'], '1': 'one'}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check pandas==3.0.5 pyarrow==25.0.0

env/bin/python - <<'PYTHON'
import pandas as pd

frame = pd.DataFrame({"tag": ["a", "b"]})
frame.attrs = {"classes": ("a", "b"), 1: "one"}
frame.to_parquet("frame.parquet")
read = pd.read_parquet("frame.parquet").attrs
print("written:", frame.attrs)
print("read:   ", read)
assert read == {"classes": ["a", "b"], "1": "one"}
PYTHON
