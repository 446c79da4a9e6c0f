"""The published tables: the same tests on PostgreSQL and on BigQuery."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pandas as pd
import pyarrow as pa
import pytest

from tagifai import snapshot
from tagifai.errors import ServiceError, TagifaiError
from tagifai.extract import extract
from tagifai.settings import Columns
from tagifai.warehouse import connect

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def predictions(ids, version="1"):
    """As `predict` writes them, with pandas' types."""
    rows = [{"id": each, "tag": "mlops", "probability": 0.5, "model_version": version} for each in ids]
    return pa.Table.from_pandas(pd.DataFrame(rows), preserve_index=False)


@pytest.fixture
def tables(connected):
    """The tables of the warehouse."""
    return connect(connected, command="test")


class TestPostgres:
    """A subclass has other fixtures `connected`, settings with the warehouse, and `sql`, which gives rows as lists."""

    @pytest.fixture
    def connected(self, make_settings, warehouse):
        return make_settings(warehouse={"type": "postgres", **warehouse})

    @pytest.fixture
    def sql(self, postgres, warehouse):
        return lambda statements: postgres.psql(warehouse, statements)

    @pytest.fixture
    def ids(self, sql):
        """Function that gives the ids of the published predictions."""
        return lambda: [int(each) for (each,) in sql("select id from marts.predictions order by id")]

    def test_extract_writes_the_published_rows_in_the_order_of_ids(self, connected, projects, uri):
        facts = extract(connected)
        assert facts["rows"] == len(projects)
        assert facts["uri"] == f"{connected.artifacts}/snapshots/{facts['snapshot']}.parquet"
        read = snapshot.read(facts["uri"])
        assert read.astype(str).values.tolist() == projects.astype(str).values.tolist()

    def test_the_same_rows_are_the_same_snapshot_in_every_warehouse(self, connected, projects):
        # The types as PostgreSQL's `timestamp`, `bigint` and `text` have them.
        times = pa.array(projects["created_on"], pa.timestamp("us"))
        texts = {name: pa.array(projects[name], pa.string()) for name in ("title", "description", "tag")}
        table = pa.table({"id": pa.array(projects["id"], pa.int64()), "created_on": times, **texts})
        assert extract(connected)["snapshot"] == snapshot.content_hash(table)

    def test_extracting_unchanged_rows_again_gives_the_same_snapshot(self, connected, sql):
        first = extract(connected)
        sql("create table marts.t as select * from marts.labeled_projects")
        sql("delete from marts.labeled_projects where true")
        sql("insert into marts.labeled_projects select * from marts.t order by id desc")
        assert extract(connected)["snapshot"] == first["snapshot"]
        sql("update marts.labeled_projects set title = concat(title, '!') where id = 3")
        assert extract(connected)["snapshot"] != first["snapshot"]

    def test_an_empty_or_missing_table_is_an_error_that_says_what_to_run(self, connected, sql):
        sql("delete from marts.labeled_projects where true")
        with pytest.raises(TagifaiError, match=r"marts\.labeled_projects in .* is empty: run dataops"):
            extract(connected)
        sql("drop table marts.labeled_projects")
        with pytest.raises(TagifaiError, match=r"marts\.labeled_projects.* (does not exist).*make run"):
            extract(connected)

    def test_predictions_are_replaced_and_a_view_on_them_lives_on(self, tables, sql):
        assert tables.replace_predictions(predictions([1, 2, 3]), NOW)
        sql("create view marts.mine as select id, model_version, tag, probability from marts.predictions")
        # The same time: a task that was repeated.
        assert tables.replace_predictions(predictions([2, 9], version="2"), NOW)
        rows = sql("select * from marts.mine order by id")
        assert [[str(each) for each in row] for row in rows] == [["2", "2", "mlops", "0.5"], ["9", "2", "mlops", "0.5"]]

    def test_the_time_of_predictions_is_stored_exactly(self, tables, sql):
        moment = NOW + timedelta(microseconds=123456)
        tables.replace_predictions(predictions([1]), moment)
        same = "timestamp '2026-01-02 03:04:05.123456+00'"
        same = same if tables.bytes_billed is not None else same.replace("timestamp", "timestamptz")
        assert len(sql(f"select id from marts.predictions where predicted_at = {same}")) == 1

    def test_the_old_predictions_stay_if_writing_the_new_ones_fails(self, tables, ids):
        tables.replace_predictions(predictions([1, 2]), NOW)
        with pytest.raises(TagifaiError, match="duplicate key"):
            tables.replace_predictions(predictions([7, 8, 7]), NOW)
        assert ids() == [1, 2]

    def test_newer_predictions_are_kept(self, tables, ids):
        assert tables.replace_predictions(predictions([1, 2]), NOW)
        assert not tables.replace_predictions(predictions([7]), NOW - timedelta(microseconds=1))
        assert ids() == [1, 2]

    def test_several_replacements_at_once_leave_the_rows_of_the_newest(self, tables, sql):
        many = list(range(500))

        def replace(number):
            return tables.replace_predictions(predictions(many, str(number)), NOW + timedelta(seconds=number))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(replace, range(4)))
        (found,) = sql("select count(*), min(model_version), max(model_version) from marts.predictions")
        assert [str(each) for each in found] == ["500", "3", "3"]

    def test_projects_are_read_with_a_time_later_than_all_predictions_and_none_are_made(self, tables, ids):
        def read():
            return tables.to_predict(("id", "is_labeled"), lambda: "champion")

        table, looked, first = read()
        assert looked == "champion"
        assert table["id"].to_pylist()[-2:] == [150, 1000]
        assert table["is_labeled"].to_pylist() == [True] * 150 + [False]
        assert read()[2] > first
        # The clock was in the future once.
        future = datetime(2100, 1, 1, tzinfo=UTC)
        tables.replace_predictions(predictions([1]), future)
        assert read()[2] == future + timedelta(microseconds=1)
        assert ids() == [1]

    def test_of_calls_at_once_the_one_with_the_later_time_has_the_later_look(self, tables, connected):
        # A look is the number of looks before it.
        looks = iter(range(1000))

        def read(_):
            own = connect(connected, command="test")
            _, looked, time = own.to_predict(("id",), lambda: next(looks))
            return time, looked

        with ThreadPoolExecutor(3) as pool:
            found = sorted(pool.map(read, range(6)))
        assert [looked for _, looked in found] == sorted(looked for _, looked in found)
        assert len({time for time, _ in found}) == 6

    def test_missing_or_empty_projects_to_predict_are_an_error_that_says_what_to_run(self, tables, sql):
        sql("delete from marts.projects_to_predict where true")
        with pytest.raises(TagifaiError, match=r"marts\.projects_to_predict in .* is empty: run dataops"):
            tables.to_predict(("id",), lambda: None)
        sql("drop table marts.projects_to_predict")
        missing = r"marts\.projects_to_predict.* (does not exist).*make run"
        with pytest.raises(TagifaiError, match=missing):
            tables.to_predict(("id",), lambda: None)

    # Key, two texts, label.
    NAMES = ('Ticket "No."', "Betreff", "select", "Größe (cm)")
    TYPES = ("text", "bigint")
    BACKSLASH, QUOTE = "\\", "''"
    IDS = (
        ["000123", "-1", "123e4567-e89b-12d3-a456-426614174000", "9223372036854775808", "ü 🤗", " ", "'; \\"],
        [-(2**63), -1, 4611686018427387905, 9007199254740993, 2**63 - 1],
    )

    @staticmethod
    def quoted(name):
        return '"' + name.replace('"', '""') + '"'

    @pytest.fixture
    def own(self, connected):
        """The tables of an application with other names."""
        key, *texts, label = self.NAMES
        columns = Columns(id=key, texts=texts, label=label)
        return connect(connected.model_copy(update={"columns": columns, "sources": {"tickets": {}}}), command="test")

    @pytest.mark.parametrize("kind", [0, 1], ids=["text", "integers"])
    def test_columns_have_the_names_of_the_application_and_ids_stay_exact(self, own, sql, kind):
        key, first, second, label = map(self.quoted, self.NAMES)
        text, of_key = self.TYPES[0], self.TYPES[kind]
        columns = f"{key} {of_key}, {first} {text}, {second} {text}"
        sql(f"create table marts.tickets_to_predict ({columns}, is_labeled bool)")
        sql(f"create table marts.labeled_tickets ({columns}, {label} {text})")
        ids = sorted(self.IDS[kind], key=lambda each: each.encode() if isinstance(each, str) else each)
        values = [
            each if kind else "'" + each.replace("\\", self.BACKSLASH).replace("'", self.QUOTE) + "'" for each in ids
        ]
        rows = ", ".join(f"({each}, null, null, true)" for each in values)
        sql(f"insert into marts.tickets_to_predict values {rows}")
        sql(f"insert into marts.labeled_tickets select {key}, {first}, {second}, 'ß' from marts.tickets_to_predict")
        table, _, time = own.to_predict((*self.NAMES[:3], "is_labeled"), lambda: None)
        assert table.column_names == [*self.NAMES[:3], "is_labeled"]
        assert table.schema.types == [pa.int64() if kind else pa.string(), pa.string(), pa.string(), pa.bool_()]
        assert table[0].to_pylist() == ids
        assert own.labeled(self.NAMES)[3].to_pylist() == ["ß"] * len(ids)
        facts = {self.NAMES[3]: ["ü"] * len(ids), "probability": [0.5] * len(ids), "model_version": ["1"] * len(ids)}
        for _ in range(2):
            assert own.replace_predictions(pa.table({self.NAMES[0]: table[0], **facts}), time)
        rows = sql(f"select {key}, {label}, model_version from marts.predictions")
        assert sorted([str(each) for each in row] for row in rows) == sorted([str(each), "ü", "1"] for each in ids)

    def test_predictions_with_other_columns_or_other_ids_take_the_place_of_the_published_ones(
        self, tables, own, sql, ids
    ):
        key, _, _, label = self.NAMES
        others = {label: ["a"], "probability": [0.5], "model_version": ["1"]}
        assert tables.replace_predictions(predictions([1, 2]), NOW)
        assert own.replace_predictions(pa.table({key: ["x"], **others}), NOW)
        assert own.replace_predictions(pa.table({key: [7], **others}), NOW + timedelta(seconds=1))
        assert [int(each) for (each,) in sql(f"select {self.quoted(key)} from marts.predictions")] == [7]
        # Newer ones are kept here too.
        assert not tables.replace_predictions(predictions([3]), NOW)
        assert tables.replace_predictions(predictions([4, 5]), NOW + timedelta(seconds=2))
        assert ids() == [4, 5]


class TestOnlyPostgres:
    """What BigQuery does not have."""

    @pytest.fixture
    def connected(self, make_settings, warehouse):
        return make_settings(warehouse={"type": "postgres", **warehouse})

    @pytest.fixture
    def sql(self, postgres, warehouse):
        return lambda statements: postgres.psql(warehouse, statements)

    def test_predictions_with_other_columns_that_a_view_reads_stay_and_the_error_names_the_view(self, connected, sql):
        tables = connect(connected, command="test")
        tables.replace_predictions(predictions([1]), NOW)
        sql("create view marts.mine as select * from marts.predictions")
        with pytest.raises(
            TagifaiError, match=r"has other columns \(id bigint, .*view marts\.mine.*Drop what reads it"
        ):
            tables.replace_predictions(predictions(["x"]), NOW)
        assert sql("select id from marts.mine") == [["1"]]

    def test_the_predictions_of_an_application_are_in_its_own_schema(self, connected, sql):
        own = connect(connected.model_copy(update={"namespace": "tickets"}), command="test")
        assert own.replace_predictions(predictions([1]), NOW)
        assert sql("select id, to_regclass('marts.predictions') is null from tickets_marts.predictions") == [["1", "t"]]

    @pytest.mark.parametrize(
        ("kind", "value", "read"),
        [
            ("uuid", "123E4567-E89B-12D3-A456-426614174000", "123e4567-e89b-12d3-a456-426614174000"),
            ("numeric", "18446744073709551616.0", "18446744073709551616.0"),
            ("smallint", "-7", -7),
            ("char(3)", "a", "a"),
            ("date", "2026-01-02", "2026-01-02"),
        ],
    )
    def test_ids_of_other_types_are_text(self, connected, sql, kind, value, read):
        sql("delete from marts.labeled_projects where id > 1")
        sql(f"alter table marts.labeled_projects alter id type {kind} using null, alter tag type int using 3")
        sql(f"update marts.labeled_projects set id = '{value}'")
        table = connect(connected, command="test").labeled(("id", "tag"))
        assert set(table["id"].to_pylist()) == {read}
        assert set(table["tag"].to_pylist()) == {"3"}


class TestBigQuery(TestPostgres):
    """On the stand-in, with the tables as dbt publishes them."""

    # The stand-in's Storage Read API takes no others.
    NAMES = ("Ticket_No", "Betreff", "select", "Order")
    TYPES = ("string", "int64")
    BACKSLASH, QUOTE = r"\\", r"\'"

    @staticmethod
    def quoted(name):
        return f"`{name}`"

    @pytest.fixture
    def project(self, make_project, projects, monkeypatch):
        project = make_project()
        for name, value in project.google.items():
            monkeypatch.setenv(name, value)
        rows = pa.Table.from_pandas(projects.sample(frac=1, random_state=1), preserve_index=False)
        others = [
            {"id": 1000, "title": "Image segmentation", "description": "Objects in a video.", "is_labeled": False}
        ]
        labeled = [{**row, "is_labeled": True} for row in rows.select(["id", "title", "description"]).to_pylist()]
        with project.client() as client:
            client.create_dataset("ada_marts")
        project.sql("""
            create table ada_marts.labeled_projects
                (id int64, created_on datetime, title string, description string, tag string);
            create table ada_marts.projects_to_predict (id int64, title string, description string, is_labeled bool)
        """)
        load(project, "ada_marts.labeled_projects", rows)
        load(project, "ada_marts.projects_to_predict", pa.Table.from_pylist(labeled + others))
        return project

    @pytest.fixture
    def connected(self, make_settings, project):
        return make_settings(warehouse=project.settings)

    @pytest.fixture
    def sql(self, project):
        return lambda statements: project.sql(statements.replace("marts.", "ada_marts."))

    def test_nothing_is_left_in_the_dataset_of_candidates(self, tables, project):
        tables.replace_predictions(predictions([1]), NOW)
        with project.client() as client:
            assert list(client.list_tables("ada_candidate")) == []

    def test_datasets_and_tables_have_our_labels(self, tables, project):
        tables.replace_predictions(predictions([1]), NOW)
        with project.client() as client:
            assert client.get_dataset("ada_candidate").labels == {"app": "mlops", "place": "tests"}
            table = client.get_table("ada_marts.predictions")
        assert table.labels == {"app": "mlops", "place": "tests", "task": "test"}
        assert table.clustering_fields == ["id"]

    def test_a_table_that_is_larger_than_may_be_billed_is_not_read(self, project, make_settings):
        with pytest.raises(TagifaiError, match=r"would take [\d,]+ bytes, more than warehouse\.maximum_bytes_billed"):
            extract(make_settings(warehouse={**project.settings, "maximum_bytes_billed": 1}))


class TestUnreachable:
    def test_the_error_of_a_warehouse_that_does_not_answer_shows_no_password(self, settings):
        with pytest.raises(ServiceError, match=r"warehouse 127\.0\.0\.1:1/none refused.*Check that it runs") as caught:
            extract(settings)
        assert "none:none" not in str(caught.value)


def load(project, table, rows):
    """Fill a table of the stand-in."""
    import io

    import pyarrow.parquet
    from google.cloud.bigquery import LoadJobConfig

    content = io.BytesIO()
    pyarrow.parquet.write_table(rows, content)
    with project.client() as client:
        how = LoadJobConfig(source_format="PARQUET", write_disposition="WRITE_APPEND")
        client.load_table_from_file(content, f"{project.name}.{table}", rewind=True, job_config=how).result()
