"""Types of columns and values."""

from bqemulator.storage import type_map
from sqlglot import exp
from sqlglot.generators.duckdb import DuckDBGenerator


def install() -> None:
    """Correct the mapping of types."""
    # DuckDB has no decimals of 76 digits, and of 38 digits these leave enough on both sides of the point.
    type_map._BQ_TO_DUCKDB["BIGNUMERIC"] = "DECIMAL(38, 18)"
    DuckDBGenerator.TYPE_PARAM_SETTINGS[exp.DType.BIGDECIMAL] = ((38, 18), (38, 38))
