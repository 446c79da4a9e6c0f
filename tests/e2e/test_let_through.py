"""What the first run made of bad input that is let through."""

import pytest
from bad_input import UNKNOWN, UNTAGGED

from stack.runs.airflow_api import AirflowApi

pytestmark = pytest.mark.xdist_group("instance")


def test_input_that_is_let_through_is_loaded_and_published_as_documented(place):
    up, read = place.instance, place.instance.consumers_read()
    ids = {row[0] for row in up.rows("select id from raw.projects")}
    # The byte-order mark is not part of a column's name, and the blank line is not a row.
    assert len(ids) == 321
    assert up.rows(f"select title from raw.projects where id = {UNTAGGED}") == [("Without a tag",)]
    assert up.rows(f"select tag from raw.tags where id = {UNKNOWN}") == [("mlops",)]
    assert {row[0] for row in read["marts.labeled_projects"]} == ids - {UNTAGGED}
    assert {row[0] for row in read["marts.predictions"]} == ids
    facts = up.summary()["predictions"]
    assert (facts["rows"], facts["unlabeled"]) == (321, 1)
    api = AirflowApi.of(up.settings())
    warnings = api.result("dataops", up.summary()["dataops"]["run_id"], "transform")["warnings"]
    assert [warning for warning in warnings if "relationships_stg_labels" in warning and "Got 1 result" in warning]
