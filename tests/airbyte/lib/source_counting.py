"""A connector that accepts the configuration of Airbyte's faker, but only uses `count`."""

import json
import sys
from pathlib import Path

SCHEMA = {"type": "object", "properties": {"id": {"type": "integer"}}}
STREAM = {"name": "numbers", "json_schema": SCHEMA, "supported_sync_modes": ["full_refresh"]}
ANSWERS = {
    "spec": {"type": "SPEC", "spec": {"connectionSpecification": {"type": "object"}}},
    "check": {"type": "CONNECTION_STATUS", "connectionStatus": {"status": "SUCCEEDED"}},
    "discover": {"type": "CATALOG", "catalog": {"streams": [STREAM]}},
}

if sys.argv[1] in ANSWERS:
    print(json.dumps(ANSWERS[sys.argv[1]]))
else:
    for number in range(json.loads(Path(sys.argv[sys.argv.index("--config") + 1]).read_text())["count"]):
        record = {"stream": "numbers", "data": {"id": number}, "emitted_at": 1000}
        print(json.dumps({"type": "RECORD", "record": record}))
