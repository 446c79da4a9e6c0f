"""Which rows pass the checkpoints and which fail."""

import re

import pandas as pd
import pytest

ROWS = "expect_table_row_count_to_be_between()"
EQUAL = "expect_texts_to_differ(title, description)"
PAIR = "expect_compound_columns_to_be_unique(title, description)"
UNIQUE = "expect_column_values_to_be_unique(id)"
KNOWN = "expect_column_values_to_be_known(tag)"
IN_SET = "expect_column_values_to_be_in_set(tag)"
DISTINCT = "expect_column_unique_value_count_to_be_between(tag)"


def typed(column):
    return f"expect_column_values_to_be_in_type_list({column})"


def there(column):
    return f"expect_column_values_to_not_be_null({column})"


def text(column):
    return f"expect_column_values_to_not_be_blank({column})"


def unfit(column, value):
    """SQL that changes row 4 like a sync of a value of the wrong type: null, and Airbyte's note with the value."""
    meta = f'{{{{"changes": [{{{{"field": "{column}", "change": "NULLED", "value": "{value}"}}}}]}}}}'
    return f"update {{}} set {column} = null, _airbyte_meta = '{meta}' where id = 4"


# A change of the good table, the one expectation that then fails, and parts of its message.
PROJECTS = [
    ("delete from {} where id > 2", ROWS, ["expected min_value=5, found 2.", "load the whole source"]),
    ("update {} set id = 3 where id = 4", UNIQUE, ["found 2 of 5 rows", "id 3", "Keep one row per `id`"]),
    (
        "update {} set title = 'Title 3', description = 'Text 3' where id = 4",
        EQUAL,
        [
            "found 2 of 5 rows failing, such as id 3, title 'Title 3', description 'Text 3'; id 4, title 'Title 3'",
            "Two rows with the same texts",
        ],
    ),
    (
        "update {} set id = null where id = 4",
        there("id"),
        ["found 1 of 5 rows", "id null"],
    ),
    ("update {} set title = null where id = 4", there("title"), ["found 1 of 5 rows", "id 4, title null"]),
    ("update {} set description = null where id = 4", there("description"), ["id 4", "description null"]),
    (
        "update {} set created_on = null where id in (4, 5)",
        there("created_on"),
        ["id 4", "created_on null; id 5"],
    ),
    ("alter table {} alter id type text", typed("id"), ["expected type_list=['BIGINT', ", "found TEXT."]),
    ("alter table {} alter id type integer", typed("id"), ["found INTEGER."]),
    ("alter table {} alter created_on type timestamptz", typed("created_on"), ["found TIMESTAMP WITH TIME ZONE."]),
    ("alter table {} alter title type varchar(50)", typed("title"), ["found VARCHAR(50)."]),
    ("alter table {} alter description type varchar(50)", typed("description"), ["found VARCHAR(50)."]),
]
TAGS = [
    ("delete from {} where id > 2", ROWS, ["expected min_value=5, found 2."]),
    ("update {} set id = 1 where id = 4", UNIQUE, ["tag 'computer-vision', id 1", "tag 'mlops', id 1"]),
    ("update {} set id = null where id = 4", there("id"), ["tag 'mlops', id null"]),
    ("update {} set tag = null where id = 4", there("tag"), ["id 4, tag null"]),
    ("update {} set tag = 'mlops'", DISTINCT, ["expected min_value=2, found 1.", "a model needs two classes"]),
    ("alter table {} alter id type numeric", typed("id"), ["found NUMERIC"]),
    ("alter table {} alter tag type varchar(50)", typed("tag"), ["found VARCHAR(50)."]),
]
# Faults that only a table straight from a file can have.
RAW_PROJECTS = [
    (
        "update {} set title = '', description = 'x' where id = 4",
        text("title"),
        ["found 1 of 5 rows failing, such as id 4, title ''.", "Fill in `title` in these rows"],
    ),
    # Every white space that dbt strips.
    (
        r"update {} set title = E'\t\n\u000b\u000c\r \u0085\u00a0\u1680\u2000\u200a\u200b\u2028\u2029\u202f\u205f\u3000"
        r"\ufeff' where id = 4",
        text("title"),
        ["id 4, title '\\t\\n"],
    ),
    ("update {} set description = ' ' where id = 4", text("description"), ["description ' '"]),
    (
        unfit("created_on", "yesterday"),
        there("created_on"),
        ["id 4, title 'Title 4', created_on null, in the source 'yesterday'", "a date like `2020-02-20 06:43:18`"],
    ),
    (unfit("id", "x12"), there("id"), ["title 'Title 4', id null, in the source 'x12'", "a whole number"]),
]
RAW_TAGS = [
    ("update {} set tag = ' ' where id = 4", text("tag"), ["id 4, tag ' '"]),
    (
        "update {} set tag = 'unheard-of' where id = 4",
        KNOWN,
        ["expected known=['mlops', 'computer-vision'], found 1 of", "id 4, tag 'unheard-of'", "labels.known"],
    ),
    ("update {} set tag = 'mlops2' where id = 4", KNOWN, ["tag 'mlops2'"]),
    (unfit("id", "9" * 20), there("id"), [f"tag 'mlops', id null, in the source '{'9' * 20}'"]),
]
LABELED = [
    *PROJECTS[:6],
    ("update {} set tag = null where id = 4", there("tag"), ["id 4, title 'Title 4', tag null"]),
    TAGS[4],
    PROJECTS[7],
    (
        "update {} set tag = 'unheard-of' where id = 4",
        KNOWN,
        ["expected known=['mlops', 'computer-vision']", "title 'Title 4', tag 'unheard-of'", "labels.known"],
    ),
]
TO_PREDICT = [
    *PROJECTS[:6],
    PROJECTS[7],
    ("update {} set is_labeled = null where id = 4", there("is_labeled"), ["id 4, title 'Title 4', is_labeled null"]),
    ("alter table {} alter is_labeled type integer using 1", typed("is_labeled"), ["found INTEGER."]),
]
BAD = [
    *(("projects", "raw.projects", *case) for case in PROJECTS + RAW_PROJECTS),
    *(("tags", "raw.tags", *case) for case in TAGS + RAW_TAGS),
    *(("labeled_projects", "candidate.labeled_projects", *case) for case in LABELED),
    *(("projects_to_predict", "candidate.projects_to_predict", *case) for case in TO_PREDICT),
]


def write_snapshot(place, folder, **changes):
    """A Parquet file as `tagifai extract` writes it."""
    columns = "id, created_on, title, description, tag"
    frame = pd.DataFrame(place.sql(f"select {columns} from candidate.labeled_projects"), columns=columns.split(", "))
    frame = frame.astype({"id": "Int64", "created_on": "datetime64[us]"})
    for column, value in changes.items():
        frame.loc[3, column] = value
    path = folder / "snapshot.parquet"
    frame.to_parquet(path)
    return str(path)


def write_predictions(folder, *changed):
    """A Parquet file as `tagifai predict` writes it, of five projects, with cells `(row, column, value)` changed."""
    frame = pd.DataFrame({"id": range(1, 6), "title": "Title", "is_labeled": True, "tag": "mlops", "probability": 0.5})
    frame = frame.assign(model_version="2").astype({"probability": float})
    for row, column, value in changed:
        frame.loc[row, column] = value
    frame.attrs["answers"] = ["mlops", "other"]
    frame.to_parquet(folder / "predictions.parquet")
    return str(folder / "predictions.parquet")


COUNTS = [("projects", 13), ("tags", 11), ("labeled_projects", 15), ("projects_to_predict", 11)]


@pytest.mark.parametrize(("checkpoint", "expectations"), COUNTS)
def test_good_rows_pass(place, checkpoint, expectations):
    gate = place.run(checkpoint)
    assert gate.success
    assert list(gate.failures()) == []
    assert len(gate.passed()) == expectations


@pytest.mark.parametrize(("checkpoint", "table", "change", "expectation", "said"), BAD)
def test_bad_rows_fail_their_expectation_and_the_message_shows_them(
    place, checkpoint, table, change, expectation, said
):
    place.sql(change.format(table))
    gate = place.run(checkpoint)
    assert not gate.success
    (failure,) = gate.failures()
    assert failure.startswith(f"{expectation}: ")
    assert [part for part in said if part not in failure] == []


def test_a_snapshot_is_checked_by_the_same_suite(place, tmp_path):
    assert place.run("snapshot", write_snapshot(place, tmp_path)).success
    path = write_snapshot(place, tmp_path, id=None, title="Title 3", description="Text 3", tag="unheard-of")
    failures = {failure.split(": ")[0]: failure for failure in place.run("snapshot", path).failures()}
    assert set(failures) == {there("id"), PAIR, KNOWN}
    assert "id 3, title 'Title 3', description 'Text 3'; id null" in failures[PAIR]
    path = write_snapshot(place, tmp_path, title=None)
    (failure,) = place.run("snapshot", path).failures()
    assert failure.startswith(there("title"))
    assert "id 4, title null" in failure


def test_texts_of_one_column_differ_in_a_snapshot(place, tmp_path):
    place.configure("columns", texts=["title"])
    assert place.run("snapshot", write_snapshot(place, tmp_path)).success
    (failure,) = place.run("snapshot", write_snapshot(place, tmp_path, title="Title 3")).failures()
    assert failure.startswith("expect_column_values_to_be_unique(title): ")
    assert "id 3, title 'Title 3'" in failure
    assert "Two rows with the same text" in failure


def test_predictions_of_every_project_by_one_version_with_its_tags_pass(place, tmp_path):
    gate = place.run("predictions", write_predictions(tmp_path, (0, "tag", "other"), (1, "probability", 1.0)))
    assert list(gate.failures()) == []
    assert len(gate.passed()) == 9


@pytest.mark.parametrize(
    ("changed", "expectation", "said"),
    [
        ([(3, "tag", None)], there("tag"), "id 4, title 'Title', tag null"),
        ([(3, "title", None)], there("title"), "id 4, title null"),
        ([(3, "id", None)], there("id"), "title 'Title', id null"),
        ([(3, "id", 3)], UNIQUE, "found 2 of 5 rows failing, such as title 'Title', id 3; "),
        ([(3, "tag", "unheard-of")], IN_SET, "expected value_set=['mlops', 'other'], found 1 of 5 rows failing"),
        ([(3, "probability", None)], there("probability"), "id 4, title 'Title', probability null"),
        ([(3, "probability", 1.01)], "expect_column_values_to_be_between(probability)", "probability 1.01"),
        ([(3, "probability", -0.01)], "expect_column_values_to_be_between(probability)", "probability -0.01"),
        ([(3, "model_version", None)], there("model_version"), "id 4, title 'Title', model_version null"),
        ([(3, "model_version", "3")], "expect_column_unique_value_count_to_be_between(model_version)", "found 2"),
    ],
)
def test_wrong_predictions_fail_their_expectation(place, tmp_path, changed, expectation, said):
    (failure,) = place.run("predictions", write_predictions(tmp_path, *changed)).failures()
    assert failure.startswith(f"{expectation}: ")
    assert said in failure


def test_without_known_tags_every_tag_passes(place):
    place.sql("update candidate.labeled_projects set tag = 'unheard-of' where id = 4")
    place.configure("labels", known=None)
    gate = place.run("labeled_projects")
    assert gate.success
    assert KNOWN not in gate.passed()


def test_a_raw_tag_is_known_in_any_case_and_with_white_space_around_it(place):
    place.sql(r"update raw.tags set tag = E'\u00a0 MLops\n' where id = 4")
    assert place.run("tags").success


@pytest.mark.parametrize(
    ("checkpoint", "section", "bound"),
    [
        ("projects", ["sources", "projects"], "min_rows"),
        ("tags", ["sources", "tags"], "min_rows"),
        ("labeled_projects", ["checks"], "min_labeled"),
        ("projects_to_predict", ["sources", "projects"], "min_rows"),
        ("tags", ["checks"], "min_distinct_labels"),
    ],
)
def test_bounds_come_from_the_config_when_the_checkpoint_runs(place, checkpoint, section, bound):
    place.configure(*section, **{bound: 6})
    (failure,) = place.run(checkpoint).failures()
    found = int(re.search(r"expected min_value=6, found (\d)\.", failure)[1])
    place.configure(*section, **{bound: found})
    assert place.run(checkpoint).success


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("drop table {}", ["15 expectations could not be checked: ", 'relation "candidate.labeled_projects" does not']),
        ("alter table {} drop tag", ["4 expectations could not be checked: ", 'column "tag"', "does not exist"]),
    ],
)
def test_a_common_reason_for_unchecked_expectations_is_given_once(place, change, said):
    place.sql(change.format("candidate.labeled_projects"))
    gate = place.run("labeled_projects")
    assert not gate.success
    (failure,) = gate.failures()
    assert [part for part in said if part not in failure] == []


def test_of_one_text_column_equal_texts_are_shown_with_their_ids(place):
    place.configure("columns", texts=["title"])
    place.sql("update raw.projects set title = 'Title 1' where id in (3, 5)")
    (failure,) = place.run("projects").failures()
    said = "found 3 of 5 rows failing, such as id 1, title 'Title 1'; id 3, title 'Title 1'; id 5, title 'Title 1'. Two"
    assert failure.startswith(f"expect_texts_to_differ(title): {said}")


def test_names_of_columns_may_have_any_characters_but_double_quotes(place):
    columns = {name: f"{name} it's :x {{100%}}" for name in ("id", "title", "description")}
    for name, odd in columns.items():
        place.sql(f'alter table raw.projects rename {name} to "{odd}"')
    named = {odd: "integer" if name == "id" else "text" for name, odd in columns.items()}
    named |= {"created_on": {"type": "timestamp", "required": True}}
    place.configure("sources", "projects", columns=named)
    place.configure("sources", "tags", columns={columns["id"]: "integer", "tag": "text"})
    place.configure("columns", id=columns["id"], texts=[columns["title"], columns["description"]])
    assert list(place.run("projects").failures()) == []
    place.sql("update raw.projects set created_on = null")
    place.sql("insert into raw.projects select * from raw.projects limit 1")
    failures = {failure.split("(")[0]: failure for failure in place.run("projects").failures()}
    assert failures.keys() == {
        "expect_column_values_to_not_be_null",
        "expect_column_values_to_be_unique",
        "expect_texts_to_differ",
    }
    said = f"{columns['title']} 'Title 1'"
    assert [failure for failure in failures.values() if said not in failure] == []


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"type": "expect_wonders"}, "expect_wonders: expect_wonders not found"),
        (
            {"type": "expect_column_values_to_be_between", "kwargs": {"column": "id", "least": 1}},
            "expect_column_values_to_be_between: 2 validation errors for ExpectColumnValuesToBeBetween least extra",
        ),
    ],
)
def test_an_expectation_that_great_expectations_does_not_know_is_named(place, own, said):
    place.configure("sources", "tags", expectations=[own])
    with pytest.raises(ValueError, match="Correct it in the file of config/applications") as refused:
        place.run("tags")
    assert f"sources.tags.expectations, number 1, {said}" in str(refused.value)
