"""Run a module in its own environment: main.py MODULE PARAMS RESULT. Standard library only.

PARAMS is the JSON file that `Model.run` gets; RESULT gets `{"result": …}` or `{"error": …}`.
"""

import importlib.util
import json
import sys
import traceback
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any


def call(module: str, params: str) -> dict[str, Any]:
    """Import a module and run its model."""
    # Whatever the file's name ends with.
    loader = SourceFileLoader("model_module", module)
    spec = importlib.util.spec_from_file_location(loader.name, module, loader=loader)
    assert spec
    loaded = importlib.util.module_from_spec(spec)
    try:
        loader.exec_module(loaded)
    except Exception as error:
        return _failed("it cannot be imported", error, module)
    if not callable(getattr(getattr(loaded, "Model", None), "run", None)):
        return {"error": "it has no class Model with a method run(params): define one"}
    try:
        result = loaded.Model().run(json.loads(Path(params).read_text("utf-8")))
    except Exception as error:
        return _failed("Model.run failed", error, module)
    try:
        json.dumps(result, allow_nan=False)
    except (TypeError, ValueError) as error:
        return {"error": f"what Model.run returns is not JSON ({error}): convert NumPy values with float() or int()"}
    return {"result": result}


def _failed(what: str, error: Exception, module: str) -> dict[str, Any]:
    traceback.print_exception(error)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == module]
    where = f" at line {lines[-1]}" if lines else ""
    return {
        "error": f"{what}{where}: {type(error).__name__}: {error}. The task's log has the traceback; correct the file"
    }


if __name__ == "__main__":
    _, given_module, given_params, target = sys.argv
    Path(target).write_text(json.dumps(call(given_module, given_params)), "utf-8")
