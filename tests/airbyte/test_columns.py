"""Which values fit which declared types, and what becomes of them."""

import pytest

from airbyte_local.columns import Column, Kind, columns

NAIVE = {"type": "string", "format": "date-time", "airbyte_type": "timestamp_without_timezone"}


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
        (Kind.INTEGER, str(2**63 - 1), 2**63 - 1),
        (Kind.NUMBER, 0.1, "0.1"),
        (Kind.NUMBER, 2.0, "2"),
        (Kind.NUMBER, 2**70, str(2**70)),
        (Kind.NUMBER, "0.10000000000000000000000001", "0.10000000000000000000000001"),
        (Kind.NUMBER, "-1e5", "-1e5"),
        (Kind.BOOLEAN, True, True),
        (Kind.BOOLEAN, "False", False),
        (Kind.DATE, "2020-02-29", "2020-02-29"),
        (Kind.DOUBLE, 1, 1.0),
        (Kind.DOUBLE, "1e5", 1e5),
        (Kind.DOUBLE, "-Infinity", float("-inf")),
        (Kind.TIME, "06:43:18.5", "06:43:18.500000"),
        (Kind.TIME_TZ, "06:43:18+02:00", "06:43:18+02:00"),
        (Kind.TIME_TZ, "06:43", "06:43:00+00:00"),
        (Kind.TIMESTAMP, "2020-02-20 06:43:18", "2020-02-20 06:43:18"),
        (Kind.TIMESTAMP, "2020-W08-4", "2020-02-20T00:00:00"),
        (Kind.TIMESTAMP, "2020-02-20T06:43:18.123456", "2020-02-20T06:43:18.123456"),
        (Kind.TIMESTAMP_TZ, "2020-02-20T06:43:18Z", "2020-02-20T06:43:18Z"),
        (Kind.TIMESTAMP_TZ, "2020-02-20T06:43:18+02:00", "2020-02-20T06:43:18+02:00"),
        (Kind.TIMESTAMP_TZ, "2020-02-20 06:43:18", "2020-02-20 06:43:18Z"),
        (Kind.TIMESTAMP_TZ, "2020-02-20T06:43:18+23:00", "2020-02-19T07:43:18+00:00"),
        (Kind.JSON, {"a": [1, None]}, '{"a":[1,null]}'),
        (Kind.JSON, '["a"]', '["a"]'),
        (Kind.TEXT, "00123", "00123"),
        (Kind.TEXT, " 1e5\t\n", " 1e5\t\n"),
        (Kind.TEXT, "", ""),
        (Kind.TEXT, 5, "5"),
        (Kind.TEXT, {"a": "ü"}, '{"a":"ü"}'),
    ],
)
def test_a_value_that_fits_is_loaded_without_loss(kind, value, loaded):
    array, wrong = Column("x", kind).convert([value])
    (result,) = array.to_pylist()
    assert (type(result), result, wrong) == (type(loaded), loaded, {})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.INTEGER, "abc"),
        (Kind.INTEGER, ""),
        (Kind.INTEGER, "1_000"),
        (Kind.INTEGER, " 7"),
        (Kind.INTEGER, "٣"),
        (Kind.INTEGER, "7.0"),
        (Kind.INTEGER, 7.5),
        (Kind.INTEGER, True),
        (Kind.INTEGER, str(2**63)),
        (Kind.INTEGER, "9" * 5000),
        (Kind.NUMBER, "nan"),
        (Kind.NUMBER, "1,5"),
        (Kind.NUMBER, "1e99999"),
        (Kind.NUMBER, False),
        (Kind.BOOLEAN, 1),
        (Kind.BOOLEAN, "yes"),
        (Kind.DATE, "2020-02-30"),
        (Kind.DATE, "2020-02-20 06:43:18"),
        (Kind.DATE, 20200220),
        (Kind.DOUBLE, "inf"),
        (Kind.TIME, "25:00"),
        (Kind.TIME, "06:43:18+02:00"),
        (Kind.TIMESTAMP, "yesterday"),
        (Kind.TIMESTAMP, "2020-13-01 00:00:00"),
        (Kind.TIMESTAMP, "2020-02-20T06:43:18Z"),
        (Kind.TIMESTAMP_TZ, "now"),
        (Kind.TIMESTAMP_TZ, "0001-01-01T00:00:00+23:00"),
        (Kind.JSON, "[1"),
        (Kind.JSON, "7"),
        (Kind.JSON, 7),
    ],
)
def test_a_value_that_does_not_fit_is_refused(kind, value):
    array, wrong = Column("x", kind).convert([None, value])
    assert (array.to_pylist(), wrong) == ([None, None], {1: value})


def test_a_value_that_does_not_fit_does_not_affect_others():
    values = ["1", None, "x", 2, "1"]
    array, wrong = Column("x", Kind.INTEGER).convert(values)
    assert (array.to_pylist(), wrong) == ([1, None, None, 2, 1], {2: "x"})
