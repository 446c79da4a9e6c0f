"""Cloud Storage: fake-gcs-server behind what it lacks for gcloud, above all generation preconditions.

It answers 404 to questions for a bucket's layout and for managed folders, DELETE with 200 and a body, and 404 to a
resumable upload whose name is in the query; it heeds preconditions of uploads only.
"""

import http.client
import json
import re
from urllib.parse import quote, urlsplit

from recorded import Answer, Request

_OBJECT = re.compile(r"/storage/v1/b/[^/]+/o/(.+?)(?:/rewriteTo/b/[^/]+/o/(.+))?")
_JSON = {"Content-Type": "application/json"}


class Storage:
    """The bucket `staging-bucket` of an emulator.

    Attributes:
        damaged: pattern of the names of objects whose content arrives damaged, of the same size.
    """

    name = "storage"

    def __init__(self, upstream: str, bucket: str):
        self._upstream = urlsplit(upstream).netloc
        self.bucket = bucket
        self.url = ""
        self.damaged = "$^"

    def takes(self, path: str) -> bool:
        return path.startswith(("/storage/v1/", "/upload/storage/v1/", "/resumable/upload/", "/download/storage/v1/"))

    def answer(self, request: Request) -> Answer:
        path = request.path
        if path.endswith("/storageLayout"):
            layout = {"kind": "storage#storageLayout", "bucket": self.bucket, "location": "EUROPE-WEST1"}
            return Answer.of({**layout, "locationType": "region", "hierarchicalNamespace": {"enabled": False}})
        if path.endswith("/managedFolders"):
            return Answer.of({"kind": "storage#managedFolders", "items": []})
        content, target = request.content, request.target
        name = request.upload
        if wanted := request.query.get("ifGenerationMatch"):
            # Of an object that is deleted, changed, or written by a copy or an upload.
            found = _OBJECT.fullmatch(path)
            if self.generation((found[2] or found[1]) if found else name) != int(wanted):
                return Answer.of({"error": {"code": 412, "message": "Precondition Failed"}}, 412)
        if "/upload/" in path and name and re.search(self.damaged, name):
            content = content.replace(b"import", b"imp0rt")
        if path.startswith("/resumable/upload/") and "name" in request.query:
            target = target.removeprefix("/resumable")
        left_out = ("transfer-encoding", "content-length", "accept-encoding", "host", "proxy-connection")
        headers = {key: value for key, value in request.headers.items() if key.lower() not in left_out}
        answer = self._ask(request.method, target, content, headers)
        if request.method == "DELETE" and answer.status == 200:
            return Answer(204, headers={})
        return answer

    def names(self) -> set[str]:
        """Names of all objects."""
        answer = self._ask("GET", f"/storage/v1/b/{self.bucket}/o?maxResults=5000")
        return {each["name"] for each in json.loads(answer.content).get("items", [])}

    def text(self, name: str) -> str:
        """Content of an object."""
        answer = self._ask("GET", f"{self._path(name)}?alt=media")
        assert answer.status == 200, name
        return answer.content.decode()

    def put(self, name: str, text: str) -> None:
        """Write an object without gcloud."""
        path = f"/upload/storage/v1/b/{self.bucket}/o?uploadType=media&name={quote(name, safe='')}"
        assert self._ask("POST", path, text.encode(), {"Content-Type": "text/plain"}).status == 200

    def delete(self, name: str) -> None:
        """Delete an object without gcloud."""
        assert self._ask("DELETE", self._path(name)).status == 200

    def generation(self, name: str) -> int:
        """The generation of an object; 0: there is none."""
        answer = self._ask("GET", self._path(name))
        return int(json.loads(answer.content)["generation"]) if answer.status == 200 else 0

    def _path(self, name: str) -> str:
        return f"/storage/v1/b/{self.bucket}/o/{quote(name, safe='')}"

    def _ask(self, method: str, target: str, content: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection(self._upstream, timeout=60)
        connection.request(method, target, content, headers or {})
        answer = connection.getresponse()
        passed_on = {
            name: value.replace(f"http://{self._upstream}", self.url)
            for name, value in answer.getheaders()
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date")
        }
        read = answer.read()
        connection.close()
        return Answer(answer.status, read, passed_on)
