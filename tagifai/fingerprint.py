"""Short hashes of everything that determines a study or a model, used as their names."""

import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

# Modules that determine the result of a study and the model.
MODEL_CODE = ("dataset", "labels", "split", "model", "objective", "study", "train")


def digest(content: Any) -> str:
    """16 hexadecimal digits of the hash of JSON content."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def code(names: Sequence[str] = MODEL_CODE) -> str:
    """Digest of the code that makes models: modules of this package, and the version of scikit-learn."""
    sources = [(Path(__file__).parent / f"{name}.py").read_text("utf-8") for name in names]
    return digest([sources, version("scikit-learn")])
