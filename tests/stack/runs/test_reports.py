"""Reports are read tolerantly: what is malformed counts as missing, and the rest is kept."""

import pytest

from stack.runs import page, reports
from stack.runs.reports import Report, merged, read


@pytest.mark.parametrize("value", [None, "a text", 7, [], ["note"], {}, {"unknown": 1}])
def test_what_is_no_report_is_an_empty_one(value):
    assert read(value) == Report()


@pytest.mark.parametrize("malformed", [None, "text", 1.5, [1], {"a": []}, [[1]], True])
@pytest.mark.parametrize("key", sorted(set(Report.model_fields) - {"note"}))
def test_a_malformed_value_leaves_the_other_keys_as_they_are(key, malformed):
    report = read({key: malformed, "note": "kept"})
    assert report.note == "kept"
    assert isinstance(getattr(report, key), type(getattr(Report(), key)) | int | reports.Checks | dict)


def test_a_malformed_item_of_a_list_is_left_out_alone():
    failed = [None, {"subject": "unique(number)", "observed": 3, "expected": None, "examples": [7, {"a": None}]}]
    report = read(
        {
            "links": {"log": "/log", "run": None},
            "headlines": {"champion": "version 4", "candidate": 4},
            "sections": ["text", {"title": "Rounds", "rows": "none", "columns": ["a"], "colour": "red"}],
            "checks": {"page": None, "failed": failed, "passed": "all"},
        }
    )
    assert (report.links, report.headlines) == ({"log": "/log"}, {"champion": "version 4"})
    assert [(each.title, each.columns, each.rows) for each in report.sections] == [("Rounds", ["a"], [])]
    (check,) = report.checks.failed
    assert (check.subject, check.observed, check.expected) == ("unique(number)", "3", "")
    assert check.examples == [{"a": None}]
    assert (report.checks.page, report.checks.passed) == ("", [])


def test_cells_are_texts_numbers_nothing_or_bars():
    (section,) = read(
        {"sections": [{"rows": [["a", 1, 0.5, None, True, ["b"], {"text": "x", "share": "much"}]]}]}
    ).sections
    *plain, bar = section.rows[0]
    assert plain == ["a", 1, 0.5, None, "True", "['b']"]
    assert (bar.text, bar.share) == ("x", 0)


def test_a_column_is_numeric_if_it_has_numbers_and_nothing_else():
    rows = [["a", 1, "0.310", None, {"text": "1", "share": 1}], ["1", None, "-7%", None], ["2", 2.5]]
    (section,) = read({"sections": [{"columns": list("abcde"), "rows": rows}]}).sections
    assert section.numeric == [False, True, True, False, False]


def test_of_several_reports_the_later_value_of_a_name_counts():
    first = read({"headlines": {"candidate": "none yet", "trials": "2"}, "summary": {"candidate": {"version": None}}})
    second = read({"headlines": {"candidate": "version 4"}, "summary": {"candidate": {"version": "4"}, "gate": 1}})
    both = merged([first, Report(), second])
    assert list(both.headlines.items()) == [("candidate", "version 4"), ("trials", "2")]
    assert both.summary == {"candidate": {"version": "4"}, "gate": 1}


def test_tables_with_the_same_title_text_and_columns_become_one():
    section = {"title": "Rounds", "columns": ["a"], "rows": [[1]]}
    found = merged(read({"sections": [section | more]}) for more in ({}, {"rows": [[2]]}, {"text": "others"}))
    assert [(each.text, each.rows) for each in found.sections] == [("", [[1], [2]]), ("others", [[1]])]


@pytest.mark.parametrize(
    ("number", "text"), [(1234567, "1,234,567"), (10**400, f"{10**400:,}"), (0.123456, "0.1235"), (1250.6, "1,251")]
)
def test_numbers_are_shown_with_the_digits_that_matter(number, text):
    assert page._digits(number) == text
