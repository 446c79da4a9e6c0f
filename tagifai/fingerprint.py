"""Short hashes that name things by what determines them."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

# Source files that decide what a study finds and what a model is.
MODEL_CODE = ("dataset", "labels", "split", "model", "objective", "study", "train")


def digest(content: Any) -> str:
    """16 hexadecimal digits of the hash of JSON content."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def code() -> str:
    """Digest of the code that makes models: this package's modules and scikit-learn's version."""
    sources = [Path(__file__).with_name(f"{name}.py").read_text("utf-8") for name in MODEL_CODE]
    return digest([sources, version("scikit-learn")])
