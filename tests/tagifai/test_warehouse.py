from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from tagifai import snapshot
from tagifai.errors import TagifaiError
from tagifai.extract import extract
from tagifai.warehouse import projects_to_predict, replace_predictions

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def predictions(ids, version="1"):
    return pa.Table.from_pylist(
        [{"id": each, "tag": "mlops", "probability": 0.5, "model_version": version} for each in ids]
    )


@pytest.fixture
def connected(make_settings, warehouse):
    """Settings whose warehouse is the real one."""
    return make_settings(warehouse={"type": "postgres", **warehouse})


def test_extract_writes_the_published_rows_in_the_order_of_ids(connected, projects, uri):
    facts = extract(connected)
    assert facts["rows"] == len(projects)
    assert facts["uri"] == f"{connected.artifacts}/snapshots/{facts['snapshot']}.parquet"
    read = snapshot.read(facts["uri"])
    assert read.astype(str).values.tolist() == projects.astype(str).values.tolist()


def test_extracting_unchanged_rows_again_gives_the_same_snapshot(connected, postgres, warehouse):
    first = extract(connected)
    postgres.psql(warehouse, "create table t as table marts.labeled_projects; truncate marts.labeled_projects")
    postgres.psql(warehouse, "insert into marts.labeled_projects select * from t order by id desc")
    assert extract(connected) == first
    postgres.psql(warehouse, "update marts.labeled_projects set title = title || '!' where id = 3")
    assert extract(connected)["snapshot"] != first["snapshot"]


def test_an_empty_or_missing_table_is_an_error_that_says_what_to_run(connected, postgres, warehouse):
    postgres.psql(warehouse, "delete from marts.labeled_projects")
    with pytest.raises(TagifaiError, match=r"marts\.labeled_projects in .* is empty: run dataops"):
        extract(connected)
    postgres.psql(warehouse, "drop table marts.labeled_projects")
    with pytest.raises(TagifaiError, match=r'"marts\.labeled_projects" does not exist.*make run'):
        extract(connected)


def test_the_error_of_a_warehouse_that_does_not_answer_shows_no_password(settings):
    with pytest.raises(TagifaiError, match=r"warehouse 127\.0\.0\.1:1/none refused.*Check that it runs") as caught:
        extract(settings)
    assert "none:none" not in str(caught.value)


def test_predictions_are_replaced_and_a_view_on_them_lives_on(connected, postgres, warehouse):
    assert replace_predictions(connected.warehouse, predictions([1, 2, 3]), NOW)
    postgres.psql(warehouse, "create view public.mine as select id, model_version from marts.predictions")
    # The same time: a task that was repeated.
    assert replace_predictions(connected.warehouse, predictions([2, 9], version="2"), NOW)
    assert postgres.psql(warehouse, "select * from public.mine order by id") == [["2", "2"], ["9", "2"]]
    stored = postgres.psql(warehouse, "select tag, probability, predicted_at at time zone 'UTC' from marts.predictions")
    assert stored == [["mlops", "0.5", "2026-01-02 03:04:05"]] * 2


def test_the_old_predictions_stay_if_writing_the_new_ones_fails(connected, postgres, warehouse):
    replace_predictions(connected.warehouse, predictions([1, 2]), NOW)
    with pytest.raises(TagifaiError, match="duplicate key"):
        replace_predictions(connected.warehouse, predictions([7, 8, 7]), NOW)
    assert postgres.psql(warehouse, "select id from marts.predictions order by id") == [["1"], ["2"]]


def test_newer_predictions_are_kept(connected, postgres, warehouse):
    assert replace_predictions(connected.warehouse, predictions([1, 2]), NOW)
    assert not replace_predictions(connected.warehouse, predictions([7]), NOW - timedelta(microseconds=1))
    assert postgres.psql(warehouse, "select id from marts.predictions order by id") == [["1"], ["2"]]


def test_several_replacements_at_once_leave_the_rows_of_the_newest(connected, postgres, warehouse):
    ids = list(range(500))

    def replace(number):
        return replace_predictions(connected.warehouse, predictions(ids, str(number)), NOW + timedelta(seconds=number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(replace, range(4)))
    found = postgres.psql(warehouse, "select count(*), min(model_version), max(model_version) from marts.predictions")
    assert found == [["500", "3", "3"]]


def test_projects_are_read_with_a_time_later_than_all_predictions_and_nothing_is_created(
    connected, postgres, warehouse
):
    def read():
        with projects_to_predict(connected.warehouse, ("id", "is_labeled")) as found:
            return found

    table, first = read()
    assert table["id"].to_pylist()[-2:] == [150, 1000]
    assert table["is_labeled"].to_pylist() == [True] * 150 + [False]
    assert postgres.psql(warehouse, "select to_regclass('marts.predictions') is null") == [["t"]]
    assert read()[1] > first
    # The clock was in the future once.
    future = datetime(2100, 1, 1, tzinfo=UTC)
    replace_predictions(connected.warehouse, predictions([1]), future)
    assert read()[1] == future + timedelta(microseconds=1)


def test_missing_or_empty_projects_to_predict_are_an_error_that_says_what_to_run(connected, postgres, warehouse):
    postgres.psql(warehouse, "delete from marts.projects_to_predict")
    with pytest.raises(TagifaiError, match=r"marts\.projects_to_predict in .* is empty: run dataops"):
        projects_to_predict(connected.warehouse, ("id",)).__enter__()
    postgres.psql(warehouse, "drop table marts.projects_to_predict")
    with pytest.raises(TagifaiError, match=r'"marts\.projects_to_predict" does not exist.*make run'):
        projects_to_predict(connected.warehouse, ("id",)).__enter__()
