"""Stand-in for Artifact Registry: describes the repository and the images that it has."""

import re

from recorded import Answer, Request, refusal

_REPOSITORY = re.compile(
    r"/v1/projects/demo/locations/europe-west1/repositories/mlops(?:/packages/(.+)/versions/(.+))?"
)


class ArtifactRegistry:
    """The repository `mlops` of the project demo in europe-west1.

    Attributes:
        images: references by path and digest, PATH@sha256:….
        is_forbidden: whether the caller may not look.
    """

    name = "artifact registry"

    def __init__(self) -> None:
        self.images: set[str] = set()
        self.is_forbidden = False

    def takes(self, path: str) -> bool:
        return path.startswith("/v1/projects/") and "/repositories/" in path

    def answer(self, request: Request) -> Answer:
        found = _REPOSITORY.fullmatch(request.path)
        if self.is_forbidden:
            return refusal(403, "PERMISSION_DENIED", "Permission artifactregistry.versions.get denied")
        if not found or (found[1] and f"{found[1]}@{found[2]}" not in self.images):
            return refusal(404, "NOT_FOUND", "Requested entity was not found.")
        return Answer.of({"name": request.path.removeprefix("/v1/"), "createTime": "2026-11-01T00:00:00Z"})
