import gc
import inspect
import subprocess
import sys

import pytest

from tagifai import imports

# A function of SciPy with a docstring that SciPy rewrites when it is imported.
DOCUMENTED = "import scipy.stats; print(len(scipy.stats.rankdata.__doc__ or ''))"


def test_within_the_context_scipy_reads_no_docstrings():
    inside = f"from tagifai import imports\nwith imports.quick(): {DOCUMENTED}"
    lengths = [
        int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for code in (DOCUMENTED, inside)
    ]
    assert lengths[1] < lengths[0] / 2


def test_after_the_context_all_is_as_before_whatever_happened():
    def state():
        return gc.get_threshold(), inspect.getdoc

    before = state()
    with imports.quick():
        assert state() != before
    assert state() == before
    with pytest.raises(ZeroDivisionError), imports.quick():
        raise ZeroDivisionError
    assert state() == before
