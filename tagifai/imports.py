"""Imports without what takes time and no command needs: libraries' imports are most of a command's time."""

import gc
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def quick() -> Iterator[None]:
    """A context in which libraries are imported in less time."""
    thresholds, read_docstring = gc.get_threshold(), inspect.getdoc
    # A million objects are made, and stay: to look through them for garbage again and again is a tenth of the time.
    gc.set_threshold(100_000)
    # SciPy parses hundreds of its docstrings, for a fifth of a second, to print them anew.
    inspect.getdoc = lambda documented: ""
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        inspect.getdoc = read_docstring


def skops_io() -> ModuleType:
    """skops.io, which here trusts no type by itself.

    To list those that it would trust, it imports all of scikit-learn and looks up every ufunc in every module, for half
    a second.
    """
    no_types = ModuleType("skops.io._trusted_types")
    no_types.__getattr__ = lambda name: []
    sys.modules.setdefault(no_types.__name__, no_types)
    import skops.io

    return skops.io
