#!/usr/bin/env bash
# pytest-xdist 3.8.0 sends all tests with the same mark xdist_group to one process (--dist=loadgroup). With pytest 9.1.1 it
# does. With pytest 9.2.0 the same six tests of one group run in two processes, without a warning: the suffix "@group" that
# xdist adds to the id of a test no longer reaches its scheduler. So a fixture that is expensive and shared by a group is set
# up twice, and tests that rely on their order in one process fail now and then. https://github.com/pytest-dev/pytest-xdist/issues/1386
# Output seen:
#   pytest 9.1.1: 6 tests of one group ran in 1 process
#   pytest 9.2.0: 6 tests of one group ran in 2 processes
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
cd "$folder"

cat >test_group.py <<'TEST'
import os

import pytest


@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("number", range(6))
def test_number(number):
    with open(os.environ["SEEN"], "a") as file:
        file.write(os.environ["PYTEST_XDIST_WORKER"] + "\n")
TEST

expect() {
  python3 -m venv "$1" && "$1/bin/pip" install --quiet --disable-pip-version-check "pytest==$1" pytest-xdist==3.8.0
  SEEN=$folder/seen-$1 "$1/bin/python" -m pytest -q -p no:cacheprovider --numprocesses=2 --dist=loadgroup test_group.py >/dev/null
  local processes
  processes=$(sort -u "seen-$1" | wc -l)
  echo "pytest $1: $(wc -l <"seen-$1") tests of one group ran in $processes process$([ "$processes" = 1 ] || echo es)"
  [ "$processes" = "$2" ]
}

expect 9.1.1 1
expect 9.2.0 2
