#!/usr/bin/env bash
# great-expectations 1.19.1: the result of an expectation on the set of a column's distinct values has no observed value.
# `observed_value` is null whether the expectation is met or not, and `unexpected_count` counts different values, not rows;
# there is no `element_count` beside it, as results of expectations on rows have. A report that shows `observed_value`,
# or "N of M rows", has to look at `partial_unexpected_list` and `partial_missing_list` for these.
# Output seen:
#   expect_column_distinct_values_to_be_in_set: met True, observed None, unexpected 0, elements not told
#   expect_column_distinct_values_to_be_in_set: met False, observed None, unexpected 1, elements not told
#   expect_column_values_to_be_in_set: met False, observed not told, unexpected 3, elements 4
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check great-expectations==1.19.1 pandas==2.3.3

GX_ANALYTICS_ENABLED=false env/bin/python -W ignore - <<'PYTHON'
import logging

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd

logging.disable()
context = gx.get_context(mode="ephemeral")
context.variables.progress_bars = {"globally": False}
asset = context.data_sources.add_pandas("memory").add_dataframe_asset("tickets")
rows = pd.DataFrame({"priority": ["low", "high", "high", "high"]})
batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": rows})
found = []
for kind, values in (
    (gxe.ExpectColumnDistinctValuesToBeInSet, ["low", "high"]),
    (gxe.ExpectColumnDistinctValuesToBeInSet, ["low"]),
    (gxe.ExpectColumnValuesToBeInSet, ["low"]),
):
    expectation = kind(column="priority", value_set=values)
    result = batch.validate(expectation, result_format="SUMMARY")
    names = ("observed_value", "unexpected_count", "element_count")
    shown = [result.result.get(name, "not told") for name in names]
    print(f"{expectation.expectation_type}: met {result.success}, observed {shown[0]}, unexpected {shown[1]}, elements {shown[2]}")
    found.append((result.success, *shown))
told = "not told"
raise SystemExit(found != [(True, None, 0, told), (False, None, 1, told), (False, told, 3, 4)])
PYTHON
