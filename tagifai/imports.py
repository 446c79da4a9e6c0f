"""Faster imports of libraries, which take most of a command's time."""

import gc
import inspect
import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def quick() -> Generator[None]:
    """A context in which libraries are imported faster."""
    thresholds, read_docstring = gc.get_threshold(), inspect.getdoc
    # Imports create a million objects that stay: searching them for garbage takes a tenth of the time.
    gc.set_threshold(100_000)
    # SciPy parses and rewrites hundreds of its docstrings, which takes a fifth of a second.
    inspect.getdoc = lambda object: ""
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        inspect.getdoc = read_docstring


def skops_io() -> ModuleType:
    """Import skops.io without the list of types that it trusts by default.

    To make that list, it imports all of scikit-learn and looks up every ufunc in every module, for half a second.
    """
    no_types = ModuleType("skops.io._trusted_types")
    no_types.__getattr__ = lambda name: []
    # Hypothesis looks for the file of each module.
    no_types.__file__ = None
    sys.modules.setdefault(no_types.__name__, no_types)
    import skops.io

    return skops.io
