#!/usr/bin/env bash
# A bound that is None is no missing bound for google-cloud-bigquery 3.47.0: QueryJobConfig(maximum_bytes_billed=None) puts
# the text "None" into the request, where a number of bytes is expected. job_timeout_ms=None is left out. So a setting that
# may be null has to be passed only if it has a value.
# Output seen:
#   maximum_bytes_billed=None: {'query': {'maximumBytesBilled': 'None'}}
#   job_timeout_ms=None:       {'query': {}}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check google-cloud-bigquery==3.47.0

env/bin/python -W ignore - <<'PYTHON'
from google.cloud.bigquery import QueryJobConfig

bound = QueryJobConfig(maximum_bytes_billed=None).to_api_repr()
limit = QueryJobConfig(job_timeout_ms=None).to_api_repr()
print("maximum_bytes_billed=None:", bound)
print("job_timeout_ms=None:      ", limit)
assert bound["query"]["maximumBytesBilled"] == "None"
assert "jobTimeoutMs" not in limit
PYTHON
