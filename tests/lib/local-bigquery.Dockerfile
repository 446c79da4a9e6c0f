# local-bigquery for tests, where the machine has no Python 3.13.
# The lock is complete; without --no-deps, pip refuses its version of DuckDB.
FROM python:3.13-slim-trixie
COPY requirements/local-bigquery.txt /
RUN --mount=type=secret,id=certificates --mount=type=secret,id=pip \
    --mount=type=bind,source=docker/package-settings,target=/package-settings \
    python3 -m venv /opt/local-bigquery \
 && /package-settings /opt/local-bigquery/bin/pip install --quiet --no-cache-dir --no-deps --require-hashes -r /local-bigquery.txt
ENTRYPOINT ["/opt/local-bigquery/bin/python"]
