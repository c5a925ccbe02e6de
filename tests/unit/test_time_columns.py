"""Which columns of a table say when."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.errors import RecordingError
from pipeline.core.timestamps import format_iso
from pipeline.recording.import_table import parse_moment, read_table
from pipeline.recording.time_columns import TimeColumn, time_column
from tests.import_samples import table


def times(tmp_path: Path, text: str) -> tuple[TimeColumn, list[str]]:
    """What was chosen, and what its rows say: to the second, or seconds after a start."""
    read = read_table(table(tmp_path / "s.csv", text))
    found = time_column(read)
    moments = [found.read(cells) for _, cells in read.rows]
    return found, [format_iso(m.ns)[:19] if m.absolute else f"{m.ns / 1e9:.10g}" for m in moments]


@pytest.mark.parametrize(
    ("text", "columns", "first", "last"),
    [
        (
            "Date;Time;Temp\n2024-05-01;9:30:00;1\n2024-05-01;13:00:00;2\n2024-05-02;1:00:00,5;3\n",
            (0, 1), "2024-05-01T09:30:00", "2024-05-02T01:00:00",
        ),
        (  # a row a day, and its time of day
            "value,date,time\n1,20240501,12:00\n2,20240502,12:30\n",
            (1, 2), "2024-05-01T12:00:00", "2024-05-02T12:30:00",
        ),
        (  # as Excel writes a day
            "date,clock,a\n2024-05-01 00:00:00,12:00,1\n2024-05-01 00:00:00,12:30,2\n",
            (0, 1), "2024-05-01T12:00:00", "2024-05-01T12:30:00",
        ),
        ("date,v\n20240531,1\n20240601,2\n", (0,), "2024-05-31T00:00:00", "2024-06-01T00:00:00"),
        (
            "timestamp,v\n20240501123000,1\n20240501123059,2\n",
            (0,), "2024-05-01T12:30:00", "2024-05-01T12:30:59",
        ),
        (
            "timestamp,v\n202405012330,1\n202405012359,2\n",
            (0,), "2024-05-01T23:30:00", "2024-05-01T23:59:00",
        ),
        (  # a channel is called time
            "timestamp,time,v\n2024-05-01T00:00:00Z,0,1\n2024-05-01T00:00:01Z,3,1\n",
            (0,), "2024-05-01T00:00:00", "2024-05-01T00:00:01",
        ),
        (  # the newest row first, beside readings that are called t
            "timestamp,t,v\n"
            "2024-05-01T00:00:03Z,20,1\n2024-05-01T00:00:02Z,19,1\n2024-05-01T00:00:01Z,20,2\n",
            (0,), "2024-05-01T00:00:03", "2024-05-01T00:00:01",
        ),
        ("date,t,v\n2024-05-01,0,1\n2024-05-01,5,1\n2024-05-01,9,2\n", (1,), "0", "9"),
        ("timestamp,v\n20241399,1\n20241400,2\n", (0,), "20241399", "20241400"),
        ("time,v\n7,1\n", (0,), "7", "7"),
    ],
)  # fmt: skip
def test_columns_that_are_called_so_say_when(
    tmp_path: Path, text: str, columns: tuple[int, ...], first: str, last: str
) -> None:
    found, said = times(tmp_path, text)
    assert found.columns == columns
    assert found.sure
    assert (said[0], said[-1]) == (first, last)


def test_dates_are_found_where_no_column_is_called_so(tmp_path: Path) -> None:
    station = "STATIONS_ID;MESS_DATUM;TT\n 4419;2024050100;1.5\n 4419;2024050101;1.25\n"
    found, said = times(tmp_path, station)
    assert (found.columns, found.sure) == ((1,), False)
    assert said == ["2024-05-01T00:00:00", "2024-05-01T01:00:00"]
    found, said = times(tmp_path, "2024-05-01;13:00:00;20\n2024-05-01;14:00:00;21\n")
    assert (found.columns, found.sure) == ((0, 1), True)
    assert said == ["2024-05-01T13:00:00", "2024-05-01T14:00:00"]


def test_a_date_that_seldom_changes_does_not_say_when_rows_were_taken(tmp_path: Path) -> None:
    boots = ["2024-05-01T08:00:00Z"] * 4 + ["2024-05-01T09:00:00Z"] * 4
    rows = "".join(f"{n / 2},{boot},7\n" for n, boot in enumerate(boots))
    found, said = times(tmp_path, f"uptime,last_boot,v\n{rows}")
    assert (found.columns, found.sure) == ((0,), False)
    assert (said[0], said[-1]) == ("0", "3.5")


def test_a_column_that_never_grows_is_no_time(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no column holds times"):
        times(tmp_path, "station,temp\n4419,1\n4419,2\n")


@pytest.mark.parametrize(
    "text",
    [
        "date,v\n2024-05-01,1\n2024-05-01,2\n2024-05-01,3\n2024-05-02,3\n",
        # seconds after midnight, or a clock without colons
        "date,time,v\n20240501,1200,1\n20240501,2300,2\n20240501,2330,2\n20240502,100,2\n",
    ],
)
def test_a_day_of_several_rows_needs_a_clock(tmp_path: Path, text: str) -> None:
    with pytest.raises(RecordingError, match=r"'date' tells only the day.*13:00:00"):
        times(tmp_path, text)


@pytest.mark.parametrize("text", ["1e30", "-1e30", "1e999999999", "9999-12-31", "nan"])
def test_what_64_bits_cannot_hold_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=text.split("e", maxsplit=1)[0]):
        parse_moment(text)
