import gc
import inspect
import subprocess
import sys

import pytest
import scipy.stats

from tagifai import imports

# A function of SciPy with a docstring that SciPy rewrites when it is imported.
DOCUMENTED = "import scipy.stats; print(len(scipy.stats.rankdata.__doc__ or ''))"


def test_within_the_context_scipy_reads_no_docstrings():
    inside = f"from tagifai import imports\nwith imports.quick(): {DOCUMENTED}"
    length = int(subprocess.run([sys.executable, "-c", inside], capture_output=True, text=True, check=True).stdout)
    assert length < len(scipy.stats.rankdata.__doc__) / 2


def test_the_context_restores_what_it_changed_even_after_an_error():
    def state():
        return gc.get_threshold(), inspect.getdoc

    before = state()
    with imports.quick():
        assert state() != before
    assert state() == before
    with pytest.raises(ZeroDivisionError), imports.quick():
        raise ZeroDivisionError
    assert state() == before
