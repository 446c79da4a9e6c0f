from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tagifai import snapshot
from tagifai.errors import TagifaiError


@pytest.fixture(scope="module")
def table(projects):
    return pa.Table.from_pandas(projects, preserve_index=False)


def test_the_hash_does_not_depend_on_the_order_of_rows_or_on_chunks(table):
    turned = table.take(list(range(table.num_rows - 1, -1, -1)))
    chunked = pa.concat_tables([table.slice(0, 10), table.slice(10, 1), table.slice(11)])
    assert snapshot.content_hash(turned) == snapshot.content_hash(chunked) == snapshot.content_hash(table)


def test_the_hash_does_not_depend_on_how_parquet_stores_the_rows(table, tmp_path):
    pq.write_table(table, tmp_path / "a.parquet", compression="none", row_group_size=7)
    assert snapshot.content_hash(pq.read_table(tmp_path / "a.parquet")) == snapshot.content_hash(table)


def test_the_hash_changes_with_any_value_name_or_type(table):
    title = table.column_names.index("title")
    texts = table["title"].to_pylist()
    variants = [
        table.set_column(title, "title", pa.array(["", *texts[1:]])),
        table.set_column(title, "title", pa.array([None, *texts[1:]])),
        table.set_column(title, "title", pa.array([texts[0] + " ", *texts[1:]])),
        table.rename_columns({"title": "name"}),
        table.set_column(0, "id", table["id"].cast(pa.int32())),
        table.slice(1),
    ]
    hashes = [snapshot.content_hash(each) for each in [table, *variants]]
    assert len(set(hashes)) == len(hashes)


def test_the_hash_sees_where_a_value_ends():
    first = pa.table({"id": [1], "title": ['a","b'], "description": ["c"]})
    second = pa.table({"id": [1], "title": ["a"], "description": ['b","c']})
    assert snapshot.content_hash(first) != snapshot.content_hash(second)


def test_the_same_content_is_not_written_again(table, tmp_path):
    name, uri = snapshot.write(table, str(tmp_path))
    Path(uri).write_text("left as it is")
    assert snapshot.write(table.slice(0), str(tmp_path)) == (name, uri)
    assert Path(uri).read_text() == "left as it is"
    assert [file.name for file in (tmp_path / "snapshots").iterdir()] == [f"{name}.parquet"]


def test_a_snapshot_is_read_as_it_was_written(projects, uri):
    read = snapshot.read(uri)
    assert list(read.columns) == list(projects.columns)
    assert read["id"].tolist() == projects["id"].tolist()
    assert read["description"].tolist() == projects["description"].tolist()


def test_an_error_message_names_a_missing_snapshot(tmp_path):
    with pytest.raises(TagifaiError, match=r"no snapshot .*gone\.parquet: run extract"):
        snapshot.read(str(tmp_path / "gone.parquet"))
