"""What the parameters of the suites become, without Great Expectations."""

import pytest
import yaml
from pydantic import ValidationError

from tests.conftest import application_config


class Data:
    """The labels of a load, and the published tables."""

    def __init__(self, *labels, rows=None, published=()):
        self._labels, self._rows, self._published = labels, rows, published

    def distinct(self, column):
        return dict.fromkeys(self._labels, 1)

    def published(self, table):
        return self._rows

    def published_labels(self, table, column):
        return list(self._published)

    def equal_texts(self, texts, shown):
        return f"{texts} {shown}"


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Function that gives the settings of an application with these sections changed."""
    from pipeline.settings import Settings

    postgres = {"type": "postgres", "host": "h", "port": 1, "database": "d", "user": "u", "password": "p"}

    def make(**sections):
        (tmp_path / "config.yaml").write_text(
            yaml.safe_dump(application_config(warehouse=postgres, **sections), sort_keys=False)
        )
        monkeypatch.setenv("MLOPS_CONFIG", str(tmp_path / "config.yaml"))
        return Settings()

    return make


@pytest.fixture
def found(settings):
    """Function that gives what is found in data of the file with the labels."""
    from pipeline.suites import Parameters

    return lambda data, checkpoint="tags", **sections: Parameters(settings(**sections), checkpoint, data).data


@pytest.mark.parametrize(
    ("known", "spelling"),
    [("İSTANBUL", "i̇stanbul"), ("ΟΔΟΣ", " οδος\ufeff"), ("Straße", "STRASSE"), ("e\u0301", "\u00c9"), ("c++", "C++")],
)
def test_a_label_is_known_in_every_spelling_of_its_normal_form(found, known, spelling):
    assert found(Data(spelling, "other one"), labels={"known": [known]}).unknown == ["other one"]


def test_blank_labels_are_not_unknown_since_another_expectation_names_them(found):
    assert found(Data(" ", "x"), labels={"known": ["y"]}).unknown == ["x"]


def test_a_label_that_is_the_class_of_the_rest_is_reserved_also_in_a_cell_with_several(found):
    labels = {"separator": ";", "several": "first", "rest": "Übrige"}
    assert found(Data("ÜBRIGE ", "other", "a; übrige"), labels=labels).reserved == ["ÜBRIGE ", "a; übrige"]


@pytest.mark.parametrize(
    ("labels", "several"),
    [
        ({"separator": ";", "several": "stop"}, ["a;b"]),
        ({"separator": ";", "several": "first"}, []),
        ({"separator": None, "several": "stop"}, []),
    ],
)
def test_several_labels_in_a_cell_fail_only_if_they_are_to_stop(found, labels, several):
    assert found(Data("a;b", "c"), labels=labels).several == several


def test_each_label_of_a_cell_must_be_known(found):
    labels = {"separator": ";", "several": "first", "known": ["a", "b"]}
    assert found(Data("A;b", "a;c"), labels=labels).unknown == ["a;c"]


def test_a_load_has_half_of_what_is_published_at_least_and_labels_count_once_in_all_spellings(found):
    assert found(Data(rows=3001), "projects").min_rows == 1501
    assert found(Data(rows=1, published=["A", "a ", "b", "c"])).min_labels == 2
    assert (found(Data(rows=None)).min_rows, found(Data(rows=None)).min_labels) == (None, None)
    off = {"min_share_of_published": 0}
    assert (found(Data(rows=9), checks=off).min_rows, found(Data(rows=9), checks=off).min_labels) == (None, None)


@pytest.mark.parametrize(("equal_texts", "looked_for"), [("stop", True), ("first", False), ("all", False)])
def test_equal_texts_are_looked_for_only_if_they_are_to_stop(found, equal_texts, looked_for):
    wanted = "['title', 'description'] ['id', 'title', 'description']" if looked_for else None
    assert found(Data(), "projects", equal_texts=equal_texts).equal_texts == wanted
    assert found(Data(), "tags", equal_texts=equal_texts).equal_texts is None


def test_an_expectation_of_a_column_that_the_source_does_not_have_is_refused(settings):
    own = {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "titel"}}
    tagifai = application_config()["sources"]
    tagifai["projects"]["expectations"] = [own]
    with pytest.raises(ValidationError) as refused:
        settings(sources=tagifai)
    said = (
        "expectations, number 1, expect_column_values_to_be_unique: 'titel' is not one of `columns`: id, created_on, "
    )
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"texts": ["titel"]}, "columns: 'titel' is not a column of sources.projects"),
        ({"texts": ["created_on"]}, "columns.texts: 'created_on' must be of type text in sources.projects"),
        ({"label": "title"}, "columns.label: 'title' must be a column of sources.tags, and of it alone"),
        ({"id": None}, "columns.id: two source files need a column with the id, which joins them"),
        ({"texts": ["title", "title"]}, "columns: 'title' has two purposes"),
        ({"date": "description"}, "columns.date: 'description' must be of one of the types timestamp, "),
    ],
)
def test_a_purpose_that_the_columns_do_not_allow_is_refused(settings, columns, said):
    with pytest.raises(ValidationError) as refused:
        settings(columns=columns)
    assert said in str(refused.value)


ONE = {"columns": {"id": "integer", "text": "text", "label": "text"}, "file": "a.csv"}
BIGQUERY = {"type": "bigquery", "project": "p", "location": "EU", "maximum_bytes_billed": 1, "job_timeout": 1}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sources": {"snapshot": ONE}}, "snapshot is the name of another table or check"),
        ({"namespace": "pg"}, "namespace: PostgreSQL keeps names that begin with pg_"),
        ({"namespace": "pg_x"}, "namespace: PostgreSQL keeps names that begin with pg_"),
        ({"namespace": "models"}, "models is the name of a folder of artifacts"),
        ({"sources": {"a": ONE | {"min_rows": 9, "max_rows": 3}}}, "max_rows (3) is less than min_rows (9)"),
        ({"sources": {"a": ONE | {"columns": ONE["columns"] | {"ID": "text"}}}}, "id and ID differ in case only"),
        ({"sources": {"a": ONE | {"columns": ONE["columns"] | {'a "b"': "text"}}}}, "has a double quote in its name"),
        (
            {"sources": {"a": ONE | {"columns": ONE["columns"] | {"label": "integer"}}}},
            "columns.label: 'label' must be",
        ),
        (
            {"sources": {"a": ONE | {"columns": ONE["columns"] | {"id": "date"}}}},
            "columns.id: 'id' must be of type text",
        ),
        (
            {"sources": {"a": ONE | {"columns": ONE["columns"] | {"ß" * 32: "text"}}}},
            "has a name of more than 63 bytes",
        ),
        (
            {"warehouse": BIGQUERY, "sources": {"a": ONE | {"columns": ONE["columns"] | {"No.": "text"}}}},
            "BigQuery has no columns such as 'No.'",
        ),
    ],
)
def test_names_that_a_warehouse_or_a_check_keeps_are_refused(tmp_path, monkeypatch, changes, said):
    from pipeline.settings import Settings

    roles = {"columns": {"id": "id", "texts": ["text"], "label": "label", "date": None}}
    config = application_config() | {"sources": {"a": ONE}} | roles | changes
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    monkeypatch.setenv("MLOPS_CONFIG", str(tmp_path / "config.yaml"))
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert said in str(refused.value)
