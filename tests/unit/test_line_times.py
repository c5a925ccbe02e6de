"""Times in the lines of real programs' logs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from pipeline.core.timestamps import format_iso
from pipeline.recording.line_times import times_of, without_time

WRITTEN = datetime(2026, 1, 2, 3, 0, tzinfo=UTC)


def read(*lines: str) -> list[tuple[str, str] | None]:
    times = times_of(lines, WRITTEN)
    assert times is not None
    found = [times.split(line) for line in lines]
    return [one and (format_iso(one[0].ns).removesuffix(".000Z"), one[1]) for one in found]


@pytest.mark.parametrize(
    ("line", "when", "said"),
    [
        (
            "2026-01-02T01:02:03: New client connected",
            "2026-01-02T01:02:03",
            "New client connected",
        ),
        ("1767315723: New client connected", "2026-01-02T01:02:03", "New client connected"),
        ("2026-01-02 01:02:03,250 INFO up", "2026-01-02T01:02:03.250Z", "INFO up"),
        ("[2026-01-02 01:02:03] local.ERROR: no", "2026-01-02T01:02:03", "local.ERROR: no"),
        ("[2026-01-02T01:02:03Z]: up", "2026-01-02T01:02:03", "up"),
        ("2026/01/02 01:02:03 [error] 7#7: no", "2026-01-02T01:02:03", "[error] 7#7: no"),
        ("2026-01-02T01:02:03+01:00 host sshd[1]: no", "2026-01-02T00:02:03", "host sshd[1]: no"),
        ("Jan  2 01:02:03 host sshd[1]: no", "2026-01-02T01:02:03", "host sshd[1]: no"),
        ("[Fri Jan 02 01:02:03.5 2026] [core:notice]", "2026-01-02T01:02:03.500Z", "[core:notice]"),
        ("Fri Jan  2 01:02:03 2026 up", "2026-01-02T01:02:03", "up"),
        ("<34>Jan  2 01:02:03 host su: no", "2026-01-02T01:02:03", "host su: no"),
        ("<34>1 2026-01-02T01:02:03.5Z host su - no", "2026-01-02T01:02:03.500Z", "host su - no"),
        (
            '10.0.0.1 - - [02/Jan/2026:01:02:03 +0100] "GET / HTTP/1.1" 200 12',
            "2026-01-02T00:02:03",
            '10.0.0.1 - - "GET / HTTP/1.1" 200 12',
        ),
        ('{"event": "up", "at": "2026-01-02T01:02:03Z"}', "2026-01-02T01:02:03", None),
        ("[INFO] 2026-01-02 01:02:03 up", "2026-01-02T01:02:03", "[INFO]  up"),
        ("2026-01-02 01:02:03.250 UTC [7] LOG: up", "2026-01-02T01:02:03.250Z", "[7] LOG: up"),
        ("02-Jan-2026 01:02:03.250 INFO [main] up", "2026-01-02T01:02:03.250Z", "INFO [main] up"),
        ("7:M 02 Jan 2026 01:02:03.250 * up", "2026-01-02T01:02:03.250Z", "7:M * up"),
        ("I0102 01:02:03.250000 7 main.go:9] up", "2026-01-02T01:02:03.250Z", "I 7 main.go:9] up"),
        ("01-02 01:02:03.250  7  9 D Window: up", "2026-01-02T01:02:03.250Z", "7  9 D Window: up"),
        ("2026-01-02T01:02:03.250123456Z up", "2026-01-02T01:02:03.250Z", "up"),
        (
            '{"level":"info","ts":1767315723.25,"msg":"up"}',
            "2026-01-02T01:02:03.250Z",
            '{"level":"info","msg":"up"}',
        ),
        (
            '{"level":30,"time":1767315723250,"msg":"up"}',
            "2026-01-02T01:02:03.250Z",
            '{"level":30,"msg":"up"}',
        ),
        (
            '{"__REALTIME_TIMESTAMP":"1767315723250000","MESSAGE":"up"}',
            "2026-01-02T01:02:03.250Z",
            '{"MESSAGE":"up"}',
        ),
        ("ts=1767315723 level=info msg=up", "2026-01-02T01:02:03", "level=info msg=up"),
    ],
)
def test_lines_of_real_programs_tell_when_and_what(line: str, when: str, said: str | None) -> None:
    (found,) = read(line)
    assert found is not None
    assert found[0] == when
    assert found[1] == ('{"event": "up", "at": ""}' if said is None else said)
    assert without_time(line) == found[1]  # live lines are compared with imported ones


def test_a_file_writes_times_in_one_way() -> None:
    """A number or a date in what a line says is no time of it."""
    lines = (
        "2026-01-02 01:02:03 retrying",
        "42 items are left since 2020-01-01 00:00:00",
        "  the oldest of 2019-01-01 00:00:00",
        "  of 2019-01-01 00:00:00",
        "2026-01-02 01:02:04 done",
    )
    assert [one is None for one in read(*lines)] == [False, True, True, True, False]


def test_a_time_of_day_and_a_version_are_no_seconds() -> None:
    assert times_of(("12:30:00 up", "12:30:01 down"), WRITTEN) is None
    assert times_of(("1.2.3 is out",), WRITTEN) is None
    assert times_of((), WRITTEN) is None


def test_years_that_are_not_written_are_those_before_the_file_was() -> None:
    lines = ("Feb 29 10:00:00 a", "Dec 31 23:59:59 b", "Jan  1 00:00:00 c", "Jan  2 03:00:01 d")
    found = [one and one[0] for one in read(*lines)]
    assert found[1:] == ["2025-12-31T23:59:59", "2026-01-01T00:00:00", "2026-01-02T03:00:01"]
    assert found[0] is None  # 2025 has no such day
    (late,) = read("Jan  3 04:00:00 e")  # later than a zone can make it
    assert late is not None
    assert late[0] == "2025-01-03T04:00:00"


@pytest.mark.parametrize("head", ["Jul  1 12:00:00", "07-01 12:00:00.000", "I0701 12:00:00.000"])
def test_times_of_no_year_are_read_in_the_zone_that_is_named(head: str) -> None:
    times = times_of([f"{head} up"], datetime(2026, 7, 2, tzinfo=UTC), ZoneInfo("Europe/Berlin"))
    found = times and times.split(f"{head} up")
    assert found is not None
    assert format_iso(found[0].ns) == "2026-07-01T10:00:00.000Z"
    assert found[0].local


def test_seconds_since_the_machine_began_count_from_the_start_that_is_given() -> None:
    lines = ("[    0.250000] up", "[   12.500000] usb 1-1: new device")
    times = times_of(lines, WRITTEN)
    assert times is not None
    found = [times.split(line) for line in lines]
    assert [one and (one[0].ns, one[0].absolute, one[1]) for one in found] == [
        (250_000_000, False, "up"),
        (12_500_000_000, False, "usb 1-1: new device"),
    ]


def many(line: str, numbers: Sequence[int] = range(60)) -> tuple[str, ...]:
    return tuple(line.format(n=n, head=head) for n, head in enumerate(numbers))


@pytest.mark.parametrize(
    "head", ["{head}", "[{head}]", "140213"], ids=["process", "in brackets", "thread"]
)
def test_a_number_before_a_date_is_no_time(head: str) -> None:
    lines = many(head + " 2026-01-02 01:02:{n:02} done", [4100 + n % 3 for n in range(60)])
    found = read(*lines)
    assert found[59] is not None
    assert found[59][0] == "2026-01-02T01:02:59"


@pytest.mark.parametrize(
    ("line", "numbers"),
    [
        ("[10.30 16:49:{n:02}] close", range(60)),
        ("7 workers are idle", range(60)),
        ("{head} Thu Jan 1 done", [4100 + n % 3 for n in range(60)]),
    ],
)
def test_a_number_that_does_not_go_on_is_no_time(line: str, numbers: Sequence[int]) -> None:
    assert times_of(many(line, numbers), WRITTEN) is None


def test_seconds_may_stand_before_some_lines_with_dates_and_wait_at_first() -> None:
    lines = [f"[{max(0.0, n - 40.0):12.6f}] up" for n in range(60)]
    lines[3] = "[    0.000000] rtc: setting system clock to 2026-01-02T01:02:03 UTC"
    times = times_of(lines, WRITTEN)
    found = times and times.split(lines[-1])
    assert found is not None
    assert (found[0].ns, found[0].absolute) == (19 * 10**9, False)


@pytest.mark.parametrize(
    ("line", "when"),
    [
        ("081109 203615 148 INFO up", "2008-11-09T20:36:15"),
        ("260102 01:02:03 [Note] up", "2026-01-02T01:02:03"),
        ("20260102-010203,250 up", "2026-01-02T01:02:03.250Z"),
        ("[20260102 010203] up", "2026-01-02T01:02:03"),
    ],
)
def test_dates_in_digits_are_read_and_stay_in_their_lines(line: str, when: str) -> None:
    assert read(line) == [(when, line)]
    assert without_time(line) == line  # live lines keep them
