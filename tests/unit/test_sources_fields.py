import math

import numpy as np
import pytest

from pipeline.core.errors import BadReading
from pipeline.core.timestamps import TimeUnit, iso_ns, parse_ns
from pipeline.sources.fields import (
    ChannelSettings,
    LineSettings,
    ReadingParser,
    TimeFieldSettings,
    at_path,
    number,
    parse_json,
)


def test_a_path_goes_through_objects_and_lists():
    document = {"data": {"values": [1, {"deep": 7}]}}
    assert at_path(document, "data.values[1].deep") == 7
    assert at_path(document, "") is document


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("PM2.5", 3.0),
        ("SDS0X1.PM2.5", 4.0),
        ("rooms[1].PM2.5", 5.0),
        ("sensor.hall.state", 6.0),
        ("temp[C]", 7.0),
        ("a.b", 8.0),
        ("a.b.c", 9.0),
    ],
)
def test_names_may_have_dots_and_brackets_of_their_own(path, value):
    document = {
        "PM2.5": 3.0,
        "SDS0X1": {"PM2.5": 4.0},
        "rooms": [{}, {"PM2.5": 5.0}],
        "sensor.hall": {"state": 6.0},
        "temp[C]": 7.0,
        "a.b": "only where the path leads nowhere",
        "a": {"b": 8.0, "b.c": 9.0},
    }
    assert at_path(document, path) == value


@pytest.mark.parametrize("path", ["nothing", "data[0]", "data.values[9]", "data.values.x"])
def test_a_path_to_nothing_is_a_key_error(path):
    with pytest.raises(KeyError):
        at_path({"data": {"values": [1]}}, path)


@pytest.mark.parametrize("value", ["12.5", 12.5])
def test_numbers_and_texts_of_numbers_are_read(value):
    assert number(value) == 12.5


@pytest.mark.parametrize("value", ["on fire", None, [], "nan", math.inf])
def test_what_is_no_finite_number_is_refused(value):
    with pytest.raises(BadReading):
        number(value)


def test_a_bad_cell_is_missing_and_its_neighbours_are_kept():
    parser = ReadingParser(
        [
            ChannelSettings(name="t", path="temp", scale=0.1, offset=1.0),
            ChannelSettings(name="h"),
            ChannelSettings(name="absent"),
        ]
    )
    values, faults = parser.values({"temp": 215, "h": "wet"})
    np.testing.assert_array_equal(values, [22.5, np.nan, np.nan])
    assert len(faults) == 1
    assert faults[0].startswith("h:")


def test_a_reading_without_any_cell_is_refused():
    with pytest.raises(BadReading, match="none of the channels"):
        ReadingParser([ChannelSettings(name="t")]).values({"other": 1})


def test_a_line_is_read_by_named_groups():
    line = LineSettings(regex=r"T=(?P<t>[-0-9.]+)(?: H=(?P<h>\d+))?")
    assert line.fields("xx T=21.5 C") == {"t": "21.5"}
    with pytest.raises(BadReading):
        line.fields("garbage")


@pytest.mark.parametrize("regex", ["(", "no groups"])
def test_an_expression_that_cannot_work_is_refused_with_the_settings(regex):
    with pytest.raises(ValueError, match=r"regular expression|name its groups"):
        LineSettings(regex=regex)


def test_deeply_nested_json_is_refused_not_crashed_on():
    with pytest.raises(BadReading):
        parse_json("[" * 100_000)


def test_times_are_exact_to_the_nanosecond():
    assert parse_ns("1700000000.123456789") == 1_700_000_000_123_456_789
    assert parse_ns(1_700_000_000_123, TimeUnit.MILLISECONDS) == 1_700_000_000_123_000_000
    assert iso_ns("1970-01-01T00:00:01.5+00:00") == 1_500_000_000
    assert iso_ns("1970-01-01 01:00:00+01:00") == 0


@pytest.mark.parametrize("text", ["", "yesterday", "nan", "inf"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError):
        parse_ns(text)


def test_a_message_without_its_time_is_refused():
    parser = ReadingParser([ChannelSettings(name="t")], TimeFieldSettings(path="ts"))
    assert parser.time_ns({"ts": "2026-01-01T00:00:00Z", "t": 1}, 0) == iso_ns("2026-01-01")
    with pytest.raises(BadReading, match="ts"):
        parser.time_ns({"t": 1}, 0)
