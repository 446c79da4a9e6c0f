"""Local servers of S3 and Google Cloud Storage for tests, in the environment dev: prints their addresses."""

import json
import sys

from gcp_storage_emulator.server import create_server
from moto.server import ThreadedMotoServer

s3 = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
s3.start()
gcs = create_server("127.0.0.1", 0, in_memory=True)
gcs.start()
address, port = s3.get_host_and_port()
print(
    json.dumps({"s3": f"http://{address}:{port}", "gs": f"http://127.0.0.1:{gcs._api._httpd.server_port}"}), flush=True
)
sys.stdin.read()
gcs.stop()
s3.stop()
