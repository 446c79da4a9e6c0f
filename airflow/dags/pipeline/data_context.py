"""What this project adds to Great Expectations.

Importing it takes seconds, so only what runs a checkpoint does.
"""

import functools
import json
from typing import Any
from urllib.parse import quote

from great_expectations.data_context import FileDataContext, store
from great_expectations.data_context.data_context.context_factory import set_context

# Known to the suites once it is imported.
from pipeline import expectations  # noqa: F401
from pipeline.settings import PROJECT, Settings

ROOT = PROJECT / "great_expectations"


class DataContext(FileDataContext):
    """A Data Context whose folder holds configuration and nothing else: opening it writes nothing there."""

    def _scaffold_project(self) -> None:
        """Leave out the folders and files that a file context otherwise adds beside its configuration."""


# The name is not free: where no store is of a class of this name, Great Expectations puts one of its own in our place.
class ExpectationsStore(store.ExpectationsStore):
    """Suites as they are on disk, with our settings in place of their parameters.

    `{"$PARAMETER": "checks.min_tags"}` becomes the value of that setting; an expectation whose parameter is null is
    left out. Done here, since the operator runs a checkpoint without parameters, and a suite that is changed after it
    was loaded cannot be run.
    """

    def deserialize(self, value: str) -> dict[str, Any]:
        """Read a suite.

        Raises:
            AttributeError: a parameter names no setting; the message says which.
        """
        suite, settings = json.loads(value), Settings()
        for expectation in suite["expectations"]:
            expectation["kwargs"] = {name: _bound(kwarg, settings) for name, kwarg in expectation["kwargs"].items()}
        suite["expectations"] = [each for each in suite["expectations"] if None not in each["kwargs"].values()]
        return super().deserialize(suite)


def open_context() -> DataContext:
    """Open great_expectations/ with our settings for its variables and make it the context of this process."""
    settings = Settings()
    variables = {"MLOPS_VAR": str(settings.var)}
    if settings.warehouse:
        address = settings.warehouse.model_dump() | {"password": settings.warehouse.password.get_secret_value()}
        # Parts of a URL.
        variables |= {f"MLOPS_WAREHOUSE__{name.upper()}": quote(str(part), safe="") for name, part in address.items()}
    context = DataContext(context_root_dir=ROOT, runtime_environment=variables)
    set_context(context)
    return context


def _bound(kwarg: Any, settings: Settings) -> Any:
    if not isinstance(kwarg, dict) or "$PARAMETER" not in kwarg:
        return kwarg
    return functools.reduce(getattr, kwarg["$PARAMETER"].split("."), settings)
