"""Which values fit which declared types, and what becomes of them."""

from decimal import Decimal

import pytest

import exact_json
from airbyte_local.columns import Column, Kind, columns
from airbyte_local.sync.outcome import as_text
from exact_json import Number

NAIVE = {"type": "string", "format": "date-time", "airbyte_type": "timestamp_without_timezone"}


def shown(value):
    """The beginning of a value, for the name of a test."""
    return repr(value)[:40]


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "integer"}, Kind.INTEGER),
        ({"type": ["null", "integer"]}, Kind.INTEGER),
        ({"type": "number", "airbyte_type": "integer"}, Kind.INTEGER),
        ({"type": "number"}, Kind.NUMBER),
        ({"type": "number", "format": "double"}, Kind.DOUBLE),
        ({"type": "boolean"}, Kind.BOOLEAN),
        ({"type": "object"}, Kind.JSON),
        ({"type": ["array", "null"]}, Kind.JSON),
        ({"type": "string"}, Kind.TEXT),
        ({"type": "string", "format": "email"}, Kind.TEXT),
        ({"type": "string", "format": "date"}, Kind.DATE),
        ({"type": "string", "format": "date-time"}, Kind.TIMESTAMP_TZ),
        (NAIVE, Kind.TIMESTAMP),
        ({"type": "string", "format": "time"}, Kind.TIME),
        ({"type": "string", "format": "time", "airbyte_type": "time_with_timezone"}, Kind.TIME_TZ),
        ({"type": ["string", "integer"]}, Kind.TEXT),
        ({}, Kind.TEXT),
    ],
)
def test_a_declared_type_gives_its_kind(schema, kind):
    assert columns({"properties": {"x": schema}}) == (Column("x", kind),)


@pytest.mark.parametrize(
    ("kind", "value", "loaded"),
    [
        (Kind.INTEGER, 7, 7),
        (Kind.INTEGER, "7", 7),
        (Kind.INTEGER, "-007", -7),
        (Kind.INTEGER, 7.0, 7),
        (Kind.INTEGER, "7.0", 7),
        (Kind.INTEGER, "+7", 7),
        (Kind.INTEGER, " 7\t", 7),
        (Kind.INTEGER, "7e2", 700),
        (Kind.INTEGER, Number("9007199254740993.0"), 9007199254740993),
        (Kind.INTEGER, "-9223372036854775808.00", -(2**63)),
        (Kind.INTEGER, str(2**63 - 1), 2**63 - 1),
        (Kind.NUMBER, 0.1, "0.1"),
        (Kind.NUMBER, 2.0, "2"),
        (Kind.NUMBER, 2**70, str(2**70)),
        (Kind.NUMBER, "0.10000000000000000000000001", "0.10000000000000000000000001"),
        (Kind.NUMBER, "-1e5", "-1e5"),
        (Kind.NUMBER, " 1.5 ", "1.5"),
        (Kind.NUMBER, Number("90071992547409.93"), "90071992547409.93"),
        (Kind.NUMBER, "9" * 131_072, "9" * 131_072 + "e0"),
        (Kind.NUMBER, Number("1e131071"), "1e131071"),
        (Kind.NUMBER, Number("-1e-16383"), "-1e-16383"),
        (Kind.NUMBER, "1." + "0" * 20_000, "1e0"),
        (Kind.NUMBER, "0e999999999", "0"),
        (Kind.BOOLEAN, True, True),
        *((Kind.BOOLEAN, text, True) for text in ("t", "T", "yes", "y", "on", "1", " true ", 1)),
        *((Kind.BOOLEAN, text, False) for text in ("f", "F", "no", "n", "off", "0", "FALSE ", 0)),
        (Kind.BOOLEAN, "False", False),
        (Kind.DATE, "2020-02-29", "2020-02-29"),
        (Kind.DATE, " 2020-02-29 ", "2020-02-29"),
        (Kind.DATE, "2024-01-01T00:00:00", "2024-01-01"),
        (Kind.DATE, "2024-01-01 00:00:00.000Z", "2024-01-01"),
        (Kind.DOUBLE, 1, 1.0),
        (Kind.DOUBLE, " 0.1 ", 0.1),
        (Kind.DOUBLE, "0.10000000000000001", 0.1),
        (Kind.DOUBLE, "0.1000000000000000055511151231257827", 0.1),
        (Kind.DOUBLE, Number("123456789012345680000"), 123456789012345680000.0),
        (Kind.DOUBLE, Number("1e23"), 1e23),
        (Kind.DOUBLE, Number("5e-324"), 5e-324),
        (Kind.DOUBLE, "0e999", 0.0),
        (Kind.DOUBLE, "1e5", 1e5),
        (Kind.DOUBLE, "-Infinity", float("-inf")),
        (Kind.TIME, "06:43:18.5", "06:43:18.500000"),
        (Kind.TIME_TZ, "06:43:18+02:00", "06:43:18+02:00"),
        (Kind.TIME_TZ, "06:43", "06:43:00+00:00"),
        (Kind.TIMESTAMP, "2020-02-20 06:43:18", "2020-02-20 06:43:18"),
        (Kind.TIMESTAMP, " 2020-02-20t06:43:18 ", "2020-02-20T06:43:18"),
        (Kind.TIMESTAMP, "2020-02-20T06:43:18.123456000", "2020-02-20T06:43:18.123456"),
        (Kind.TIMESTAMP, "2020-W08-4", "2020-02-20T00:00:00"),
        (Kind.TIMESTAMP, "2020-02-20T06:43:18.123456", "2020-02-20T06:43:18.123456"),
        (Kind.TIMESTAMP_TZ, "2020-02-20T06:43:18Z", "2020-02-20T06:43:18Z"),
        (Kind.TIMESTAMP_TZ, "2020-02-20T06:43:18+02:00", "2020-02-20T06:43:18+02:00"),
        (Kind.TIMESTAMP_TZ, "2020-02-20 06:43:18", "2020-02-20 06:43:18Z"),
        (Kind.TIMESTAMP_TZ, "2020-02-20T06:43:18+23:00", "2020-02-19T07:43:18+00:00"),
        (Kind.JSON, {"a": [1, None]}, '{"a":[1,null]}'),
        (Kind.JSON, '["a"]', '["a"]'),
        (Kind.JSON, {"wei": Number("123456789012345678901234567890")}, '{"wei":123456789012345678901234567890}'),
        (Kind.JSON, '{"wei":[123456789012345678901234567890]}', '{"wei":[123456789012345678901234567890]}'),
        (Kind.JSON, "[1e400,-90071992547409.93]", "[1e400,-90071992547409.93]"),
        (Kind.JSON, f"[1.{'0' * 20_000}]", "[1.0]"),
        (Kind.JSON, f"[123456789012345678.{'0' * 20_000}]", "[123456789012345678e0]"),
        (Kind.JSON, r'["\ud83d\ude00"]', '["😀"]'),
        (Kind.TEXT, "00123", "00123"),
        (Kind.TEXT, " 1e5\t\n", " 1e5\t\n"),
        (Kind.TEXT, "", ""),
        (Kind.TEXT, 5, "5"),
        (Kind.TEXT, Number("90071992547409.93"), "90071992547409.93"),
        (Kind.TEXT, {"wei": Number("123456789012345678901234567890")}, '{"wei":123456789012345678901234567890}'),
        (Kind.TEXT, {"a": "ü"}, '{"a":"ü"}'),
    ],
    ids=shown,
)
def test_a_value_that_fits_is_loaded_without_loss(kind, value, loaded):
    converted = Column("x", kind).convert([value])
    (result,) = converted.array.to_pylist()
    assert (type(result), result, converted.unfit, converted.cut) == (type(loaded), loaded, {}, {})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.INTEGER, "abc"),
        (Kind.INTEGER, ""),
        (Kind.INTEGER, "1_000"),
        (Kind.INTEGER, "٣"),
        (Kind.INTEGER, 7.5),
        (Kind.INTEGER, "7.5"),
        (Kind.INTEGER, "1e999999999999"),
        (Kind.INTEGER, True),
        (Kind.INTEGER, str(2**63)),
        (Kind.INTEGER, "9" * 5000),
        (Kind.NUMBER, "nan"),
        (Kind.NUMBER, "1,5"),
        (Kind.NUMBER, "1e131072"),
        (Kind.NUMBER, Number("1e-16384")),
        (Kind.NUMBER, "1e" + "9" * 5000),
        (Kind.NUMBER, False),
        (Kind.DATE, "2020-02-30"),
        (Kind.DATE, "2020-02-20 06:43:18"),
        (Kind.DATE, 20200220),
        (Kind.DATE, "2020-02-20T00:00:00+01:00"),
        (Kind.DATE, "2020-02-20T00:00:00.0000001"),
        (Kind.BOOLEAN, 2),
        (Kind.BOOLEAN, "ja"),
        (Kind.BOOLEAN, 1.5),
        (Kind.DOUBLE, "inf"),
        (Kind.DOUBLE, Number("1e400")),
        (Kind.DOUBLE, "-1e400"),
        (Kind.DOUBLE, Number("1e-400")),
        (Kind.DOUBLE, Number("90071992547409.93")),
        (Kind.DOUBLE, 9007199254740993),
        (Kind.DOUBLE, "123456789012345678901234567890"),
        (Kind.TIME, "25:00"),
        (Kind.TIME, "06:43:18+02:00"),
        (Kind.TIMESTAMP, "yesterday"),
        (Kind.TIMESTAMP, "2020-13-01 00:00:00"),
        # Milliseconds since 1970, which Python reads as 24 October 1712.
        (Kind.TIMESTAMP, "1712102400000"),
        (Kind.TIMESTAMP_TZ, "1712102400000"),
        (Kind.TIMESTAMP, "1712102400"),
        (Kind.DATE, "17121024.5"),
        (Kind.TIMESTAMP, "2020-02-20T06:43:18Z"),
        (Kind.TIMESTAMP_TZ, "now"),
        (Kind.TIMESTAMP_TZ, "0001-01-01T00:00:00+23:00"),
        (Kind.TIMESTAMP_TZ, "2020-02-20T06:43:18+05:99"),
        (Kind.TIME_TZ, "06:43:18+0560"),
        (Kind.TIME_TZ, "06:43:18-16:00"),
        (Kind.JSON, "[1"),
        (Kind.JSON, "7"),
        (Kind.JSON, 7),
        (Kind.JSON, [Number("1e131072")]),
        (Kind.JSON, "[1e-16384]"),
        (Kind.JSON, "[NaN]"),
        (Kind.JSON, r'["\ud800"]'),
        (Kind.JSON, "[" * 300 + "]" * 300),
        (Kind.JSON, "[" * 100_000),
    ],
    ids=shown,
)
def test_a_value_that_does_not_fit_is_refused(kind, value):
    converted = Column("x", kind).convert([None, value])
    assert (converted.array.to_pylist(), converted.unfit) == ([None, None], {1: value})


def test_a_value_that_does_not_fit_does_not_affect_others():
    values = ["1", None, "x", 2, "1"]
    converted = Column("x", Kind.INTEGER).convert(values)
    assert (converted.array.to_pylist(), converted.unfit) == ([1, None, None, 2, 1], {2: "x"})


@pytest.mark.parametrize(
    ("kind", "value", "loaded"),
    [
        (Kind.TIMESTAMP, "2024-01-01T00:00:00.1234567", "2024-01-01T00:00:00.123456"),
        (Kind.TIMESTAMP_TZ, "2024-01-01T00:00:00.123456789Z", "2024-01-01T00:00:00.123456+00:00"),
        (Kind.TIME, "00:00:00.000000001", "00:00:00"),
        (Kind.TIME_TZ, "00:00:00.1234567+01:00", "00:00:00.123456+01:00"),
    ],
)
def test_nanoseconds_are_cut_and_told(kind, value, loaded):
    converted = Column("x", kind).convert([None, value])
    assert (converted.array.to_pylist(), converted.unfit, converted.cut) == ([None, loaded], {}, {1: value})


@pytest.mark.parametrize("kind", [Kind.INTEGER, Kind.NUMBER, Kind.DOUBLE, Kind.BOOLEAN, Kind.JSON, Kind.TEXT])
def test_a_number_is_the_same_beside_one_that_needs_more_digits(kind):
    """Otherwise a text could change with the records around it."""

    def converted(values):
        found = Column("x", kind).convert(values)
        array = found.array.to_pylist()
        is_number = kind is Kind.NUMBER  # equal ones may be spelt in several ways
        return [value and Decimal(value) for value in array] if is_number else array, found.unfit.keys()

    values = b'[1.50,1.0,1E2,0,-0.0,{"a":[1.50,1.0,1E2]}]'
    assert converted(exact_json.loads(values)) == converted(exact_json.loads(b"[%b,1e400]" % values)[0])


def test_a_note_on_a_value_that_is_nested_too_deeply_says_so():
    value = []
    for _ in range(1_000):
        value = [value]
    assert as_text(value) == "nested too deeply"
