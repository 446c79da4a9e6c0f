"""RECORD lines read together arrive as they do one by one, or are left to those who look at each."""

import re
from decimal import Decimal

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airbyte_local.columns import Column, Kind
from airbyte_local.sync import record_lines, text_lines
from source_files.records import frame

COLUMNS = [Column(kind.name, kind) for kind in Kind if kind is not Kind.JSON]
PLAIN = {
    Kind.INTEGER: st.integers(-(2**63), 2**63 - 1) | st.integers(-99, 99).map(str),
    Kind.NUMBER: st.floats(allow_nan=False, allow_infinity=False) | st.decimals(-99, 99, places=2).map(str),
    Kind.DOUBLE: st.floats(allow_nan=False, allow_infinity=False),
    Kind.BOOLEAN: st.booleans(),
    Kind.DATE: st.dates().map(str),
    Kind.TIME: st.times().map(str),
    Kind.TIME_TZ: st.times().map(str),
    Kind.TIMESTAMP: st.datetimes().map(lambda moment: moment.isoformat()),
    Kind.TIMESTAMP_TZ: st.datetimes().map(lambda moment: moment.isoformat() + "+02:00"),
    Kind.TEXT: st.text(),
}
HARD = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text("0123456789-+.:eTZ ") | st.text()
ROWS = st.lists(
    st.fixed_dictionaries({}, optional={c.name: st.none() | PLAIN[c.kind] for c in COLUMNS}), min_size=1, max_size=20
)
HARD_ROWS = st.lists(st.fixed_dictionaries({}, optional={c.name: HARD for c in COLUMNS}), min_size=1, max_size=3)


def line(data, stream="s", **more):
    return orjson.dumps({"type": "RECORD", "record": {"stream": stream, "data": data, "emitted_at": 1, **more}})


def read(lines, columns=COLUMNS):
    first = record_lines.first_record(lines)
    return first and record_lines.read(lines, first, columns)


def loaded(columns, values):
    """What is loaded, and what did not fit."""
    found = [(column, column.convert(given)) for column, given in zip(columns, values, strict=True)]
    return [
        (numbers(each.array) if column.kind is Kind.NUMBER else each.array.to_pylist(), each.unfit, each.cut)
        for column, each in found
    ]


def numbers(array):
    """Each may be written in several ways."""
    return [text if text is None else Decimal(text) for text in array.to_pylist()]


@given(rows=ROWS | HARD_ROWS)
@settings(deadline=None, derandomize=True)
def test_reading_lines_together_gives_the_same_as_parsing_each(rows):
    found = read(b"\n".join(map(line, rows)))
    if found:
        together = loaded(COLUMNS, found[0])
        assert together == loaded(COLUMNS, [[row.get(column.name) for row in rows] for column in COLUMNS])


def printed(rows):
    """Lines as our connector prints them."""
    before, behind = frame("s")
    return b"".join(before + orjson.dumps(row) + behind for row in rows)[:-1]


TEXTS = st.text() | st.sampled_from(
    ['"', "\\", '\\"', "\\\\n", '","b":"', "}}}", ":null", "a,b", " 007 ", "0x1F", "true"]
)
NAMES = st.lists(st.sampled_from(["a", "b", "", ":", ",", '"', "\\", "ü", "integer", "text"]), min_size=1, unique=True)


@given(names=NAMES, data=st.data())
@settings(deadline=None, derandomize=True)
def test_reading_lines_of_texts_together_gives_the_same_as_parsing_each(names, data):
    same = st.fixed_dictionaries(dict.fromkeys(names, TEXTS))
    other = st.dictionaries(st.sampled_from(names), st.none() | TEXTS) | same.map(
        lambda row: dict(reversed(row.items()))
    )
    rows = data.draw(st.lists(same, min_size=1, max_size=4)) + data.draw(st.lists(same | other, max_size=1))
    columns = [Column(name, Kind.INTEGER if name == "integer" else Kind.TEXT) for name in [*names, "absent"]]
    if found := read(printed(rows), columns):
        assert loaded(columns, found[0]) == loaded(columns, [[row.get(c.name) for row in rows] for c in columns])


@pytest.mark.parametrize(
    "other",
    [
        {"a": "1", "b": None},
        {"a": "1", "b": 2},
        {"a": "1"},
        {"b": "1", "a": "2"},
        {"a": "1", "c": "2"},
        {"a": {"1": "b"}},
        {"a": "1", "b": "\n"},
        {"a": "1", "b": "ü\0"},
        {"a": "1", "b": "2", "c": "3"},
    ],
)
def test_lines_of_texts_that_are_not_written_alike_are_left_to_others(other):
    rows, columns = [{"a": "x", "b": 'y\\"'}] * 2, [Column("a", Kind.TEXT), Column("b", Kind.TEXT)]
    found, at = text_lines.read(printed(rows), orjson.loads(printed(rows[:1]))["record"], columns)
    assert [array.to_pylist() for array in found] == [["x", "x"], ['y\\"', 'y\\"']]
    assert at.type == pa.int64()
    lines = printed([*rows, other])
    assert text_lines.read(lines, record_lines.first_record(lines), columns) is None


@pytest.mark.parametrize("moments", [["1", "1"], ["1", "2"], ["0", "9" * 18]])
def test_lines_of_texts_keep_the_moment_of_each(moments):
    lines, columns = b"\n".join(map(emitted, moments)), [Column("a", Kind.TEXT)]
    found, at = text_lines.read(lines, record_lines.first_record(lines), columns)
    assert (found[0].to_pylist(), at.to_pylist()) == (["x", "x"], [int(moment) for moment in moments])


@pytest.mark.parametrize("moments", [["-1", "-1"], ["1.5", "1.5"], ["1", "1.5"], ["1", "1e2"], ["1", "9" * 19]])
def test_moments_that_are_not_plain_numbers_are_left_to_others(moments):
    lines = b"\n".join(map(emitted, moments))
    assert text_lines.read(lines, record_lines.first_record(lines), [Column("a", Kind.TEXT)]) is None


def emitted(moment):
    """A line as our connector prints it, at another moment."""
    return re.sub(rb'(?<="emitted_at":)[0-9]+', moment.encode(), printed([{"a": "x"}]))


@given(kind=st.sampled_from([column.kind for column in COLUMNS]), data=st.data())
@settings(deadline=None, derandomize=True)
def test_ordinary_values_are_read_together(kind, data):
    values = data.draw(st.lists(PLAIN[kind].filter(lambda value: not isinstance(value, str)), max_size=5)) or data.draw(
        st.lists(PLAIN[kind].filter(lambda value: isinstance(value, str) and "\0" not in value), max_size=5)
    )
    small = [value for value in values if not isinstance(value, float) or abs(value) < 2**53]
    if small:
        assert read(b"\n".join(line({"x": value}) for value in small), [Column("x", kind)])


@pytest.mark.parametrize(
    "second",
    [
        line({"x": "a"}, stream="t"),
        line({"x": "a"}, namespace="n"),
        line({"x": "a"}, meta={"changes": []}),
        line({"x": "a\0"}),
        line({"x": 5}),
        line({"x": "a"}) + b" " + line({"x": "b"}),
        line({"x": "a"}).replace(b'"a"', b'"\xff"'),
        line({"x": "a"}).replace(b'"emitted_at":1', b'"emitted_at":1.5'),
        line({"x": "a"}).replace(b',"emitted_at":1', b""),
        line({"x": "a"})[:-1],
        b"no message",
        b'{"type":"STATE","state":{}}',
        b'{"type":"RECORD","record":{"stream":"s","data":null,"emitted_at":1}}',
    ],
)
def test_lines_that_differ_are_parsed_one_by_one(second):
    columns = [Column("x", Kind.TEXT)]
    assert read(line({"x": "a"}) + b"\n" + line({"x": "b"}), columns)
    assert not read(line({"x": "a"}) + b"\n" + second, columns)


@pytest.mark.parametrize("number", [b"NaN", b"9007199254740993", b"-1e300", b"-0.1234567890123456789"])
def test_lines_with_numbers_that_a_float_cannot_hold_are_parsed_one_by_one(number):
    assert not read(line({"x": 1.5}) + b"\n" + line({"x": 2.5}).replace(b"2.5", number), [Column("x", Kind.NUMBER)])


def test_streams_with_objects_are_parsed_one_by_one():
    assert not read(line({"x": {}}), [Column("x", Kind.JSON)])
