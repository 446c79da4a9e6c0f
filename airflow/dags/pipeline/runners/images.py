"""Why an image cannot be pulled, in the words of Docker, containerd and registries."""

import re

_MISSING = re.compile(
    r"not found|manifest unknown|does not exist|no such image|denied|unauthorized|authentication required"
    r"|authorization failed|forbidden|no basic auth|invalid reference|name unknown|InvalidImageName|ErrImageNeverPull",
    re.IGNORECASE,
)
# Looked for first: "lookup registry.example: no such host".
_SILENT = re.compile(
    r"time-?out|timed out|refused|no such host|temporar|unreachable|reset by peer|deadline exceeded|\bEOF\b|too ?many"
    r"|unavailable|\b5\d\d (Internal|Bad|Service|Gateway)",
    re.IGNORECASE,
)
REMEDY = "set runner.image to an image that exists and may be read"


def is_missing(message: str) -> bool:
    """Whether the image does not exist or may not be read; if not, the registry may answer later."""
    return not _SILENT.search(message) and bool(_MISSING.search(message))
