"""What `make init` proposes for rows, and that the file that it writes says the same."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.labels import normal_form
from pipeline.settings import ADDED, MAX_NAME
from stack import strict_yaml
from stack.applications.files import File
from stack.errors import StackError

TYPES = {"key": "text", "body": "text", "queue": "text"}


def rows(labels, body=lambda number: f"The body of ticket {number}"):
    return [{"key": f"k{number}", "body": body(number), "queue": label} for number, label in enumerate(labels)]


@pytest.mark.parametrize(
    "labels",
    [
        ["yes", "no"],
        ["1", "2"],
        ["2020-01-01", "1e5", "007"],
        ["null", "~", "true"],
        ["- x", "a: b", "#x"],
        ["a\nb", "c\r\nd"],
        ["x" * 300, "y" * 300],
        ["😀", "🚀 go"],
        ["it's", 'say "hi"', "a\\b"],
        ["{a}", "[b]", "{{ c }}", "{% d %}"],
        ["%a", "@b", "`c", "&d", "*e", "!f", "|", ">"],
        ["c++", "q&a", "news (eu)", "a//b"],
        ["a\x85b", "c\u2028d", "e\ufefff"],
        ["İSTANBUL", "ΟΔΟΣ"],
    ],
    ids=str,
)
def test_labels_are_in_the_file_as_the_data_has_them(proposed, labels):
    found, _ = proposed(TYPES, rows(labels * 10), label="queue")
    assert sorted(found["labels"]["known"]) == sorted(labels)


def is_possible(column):
    """Whether a run takes a name of a column."""
    return column.strip() and '"' not in column and len(column.encode()) <= MAX_NAME and column.lower() not in ADDED


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    labels=st.lists(NAMES.filter(normal_form), min_size=2, max_size=5, unique_by=normal_form),
    columns=st.lists(NAMES.filter(is_possible), min_size=4, max_size=4, unique_by=str.casefold),
)
def test_any_label_and_any_name_of_a_column_survives(propose_for, labels, columns):
    key, text, label, other = columns
    made = [
        {key: f"k{number}", text: f"text {number}", label: each, other: "x"} for number, each in enumerate(labels * 10)
    ]
    proposal, content = propose_for(dict.fromkeys(columns, "text"), made, id=key, texts=[text], label=label)
    found = strict_yaml.load(content)
    assert found["columns"] == {"id": key, "texts": [text], "label": label, "date": None}
    assert found["sources"]["a"]["columns"].keys() == {key, text, label}
    if not proposal.settings["separator"]:
        assert sorted(map(normal_form, found["labels"]["known"])) == sorted(map(normal_form, labels))


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("Tickets 2024.CSV", "tickets_2024"),
        ("2024.csv.gz", "data_2024"),
        ("a/b/größe.parquet", "gr_e"),
        ("数据.jsonl", "data"),
        # A run has checks of these names.
        ("predictions.csv", "data_predictions"),
        ("snapshot.parquet", "data_snapshot"),
        ("a" * 50 + ".csv", "a" * 40),
    ],
)
def test_a_table_has_the_name_of_its_file_as_far_as_a_table_can(name, table):
    assert File("/data", name, {}, {}).table == table


def test_spellings_of_one_label_and_rare_labels_are_told(proposed):
    labels = ["Billing"] * 20 + ["billing"] * 5 + ["sales"] * 20 + ["odd"]
    found, proposal = proposed(TYPES, rows(labels), label="queue")
    assert found["labels"]["known"] == ["Billing", "odd", "sales"]
    assert "these count as one label: Billing (20), billing (5)" in proposal.warnings
    assert proposal.warnings[1].startswith("1 labels with fewer than 10 rows each, 1 rows together, are one class: odd")


def test_several_labels_in_one_cell_are_told_with_their_separator(proposed):
    found, proposal = proposed(TYPES, rows(["a;b"] * 10 + ["a"] * 10 + ["b"] * 10), label="queue")
    assert (found["labels"]["separator"], found["labels"]["several"]) == (";", "first")
    assert found["labels"]["known"] == ["a", "b"]
    assert proposal.warnings[0].startswith("10 rows have several labels, separated by ';'")


def test_the_class_of_the_rest_has_a_name_that_no_label_has(proposed):
    found, _ = proposed(TYPES, rows(["other", "Other ", "b"] * 10), label="queue")
    assert found["labels"]["rest"] == "the rest"


def test_equal_texts_are_told_and_the_first_is_kept(proposed):
    found, proposal = proposed(TYPES, rows(["a", "b"] * 10, body=lambda number: f"text {number // 2}"), label="queue")
    assert found["equal_texts"] == "first"
    said = "10 rows have the texts of another row, such as k1: the first of them is kept; 10 of them have another label"
    assert any(said in each for each in proposal.warnings)


def test_too_many_labels_are_not_listed(proposed):
    found, _ = proposed(TYPES, rows([f"label {number}" for number in range(101)] * 2), label="queue")
    assert found["labels"]["known"] is None


def test_what_a_run_would_refuse_today_is_told(proposed):
    bad = [{"key": "k1", "body": "", "queue": "x" * 301}, {"key": None, "body": "b", "queue": "a"}]
    bad = rows(["a", "b"] * 10) + bad
    _, proposal = proposed(TYPES, bad, id="key", texts=["body"], label="queue")
    assert proposal.refused == [
        "a.csv: 1 rows without key",
        "a.csv: 1 values of key in several rows, such as k1",
        "a.csv: 1 rows without body, the first text",
        f"1 labels of more than 300 characters, such as {'x' * 40}…",
    ]


def test_a_named_column_of_lists_is_refused(proposed):
    with pytest.raises(StackError, match="column 'queue' has lists, objects or values of several types"):
        proposed({"body": "text", "queue": None}, [{"body": "a b", "queue": ["x"]}], label="queue")


@pytest.mark.parametrize("kind", ["integer", "boolean"])
def test_texts_and_labels_of_other_types_are_loaded_as_texts(proposed, kind):
    values = [True, False] if kind == "boolean" else [1, 2]
    made = [{"body": number, "queue": values[number % 2]} for number in range(20)]
    found, _ = proposed({"body": "integer", "queue": kind}, made, texts=["body"], label="queue")
    assert found["sources"]["a"]["columns"] == {"body": "text", "queue": "text"}
    assert found["labels"]["known"] == (["false", "true"] if kind == "boolean" else ["1", "2"])


def test_a_label_stays_a_class_if_copies_are_removed_or_the_next_load_has_fewer(proposed):
    found, _ = proposed(TYPES, rows(["a"] * 30 + ["b"] * 6), label="queue")
    assert found["labels"]["min_freq"] == 3


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [
        ("views", lambda number: 7 * number, None),
        ("row", lambda number: 100 + number, "row"),
        ("created_utc", lambda number: 1_700_000_000 + 60 * number, None),
        ("ticket", lambda number: f"T{number}", "ticket"),
        ("标题", lambda number: f"标题{number}", None),
        ("id", lambda number: 7 * number, "id"),
    ],
)
def test_a_column_is_the_id_if_its_name_says_so_or_it_looks_like_one(proposed, name, value, key):
    made = [{name: value(number), "body": f"Body {number} of it", "queue": "ab"[number % 2]} for number in range(20)]
    kind = "text" if isinstance(value(0), str) else "integer"
    found, _ = proposed({name: kind, "body": "text", "queue": "text"}, made)
    assert found["columns"]["id"] == key
    assert found["columns"]["date"] == ("created_utc" if name == "created_utc" else None)


def test_as_many_labelled_rows_are_demanded_as_half_of_those_that_are_published(proposed):
    made = rows(["a", "b"] * 10 + [None] * 80, body=lambda number: f"body {number // 2 if number < 20 else number}")
    found, proposal = proposed(TYPES, made, label="queue")
    assert (proposal.labelled, found["checks"]["min_labeled"]) == (10, 5)
