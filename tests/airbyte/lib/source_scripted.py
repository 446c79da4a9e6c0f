"""A connector whose behaviour is set by its configuration, for tests of the service."""

import json
import os
import subprocess
import sys
from pathlib import Path

command, arguments = sys.argv[1], dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True))
if command == "spec":
    properties = {"streams": {"type": "array"}, "key": {"type": "string", "airbyte_secret": True}}
    schema = {"type": "object", "required": ["streams"], "properties": properties}
    print(json.dumps({"type": "SPEC", "spec": {"connectionSpecification": schema}}))
    sys.exit()
config = json.loads(Path(arguments["--config"]).read_text())
if command == "check":
    refused = {"status": "FAILED", "message": config["refuses"]} if "refuses" in config else {"status": "SUCCEEDED"}
    print(json.dumps({"type": "CONNECTION_STATUS", "connectionStatus": refused}))
    sys.exit()
if command == "discover":
    print(json.dumps({"type": "CATALOG", "catalog": {"streams": config["streams"]}}))
    sys.exit()
if "record_arguments" in config:
    catalog = json.loads(Path(arguments["--catalog"]).read_text())
    text = Path(arguments["--state"]).read_text() if "--state" in arguments else "null"
    content = {"environment": dict(os.environ), "catalog": catalog, "config": config, "state": json.loads(text)}
    content["text_of_state"] = text
    Path(config["record_arguments"]).write_text(json.dumps(content))
if "child" in config:
    # A process that leaves the group but not the pipes, and lives until it is killed.
    child = subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.pause()"], start_new_session=config["child_leaves_group"]
    )
    Path(config["child"]).write_text(f"{os.getpid()} {child.pid}")
for line in config.get("lines", []) * config.get("times", 1):
    sys.stdout.write(line)
sys.stdout.flush()
sys.stdout.buffer.write(bytes.fromhex(config.get("bytes", "")))
for i in range(config.get("count", 0)):
    record = {"stream": config["streams"][0]["name"], "data": {"id": i, "text": f"text {i}"}, "emitted_at": 1000}
    print(json.dumps({"type": "RECORD", "record": record}))
sys.stdout.flush()
if "hold" in config:
    # Opening the named pipe waits until somebody writes to it.
    Path(config["hold"]).read_text()
    for line in config.get("lines_after", []):
        sys.stdout.write(line)
    sys.stdout.flush()
sys.stderr.write(config.get("stderr", ""))
sys.exit(config.get("exit", 0))
