"""Times that name no zone: in whose zone they are, and which of two moments they mean."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from nodes.cli import run
from pipeline.core.time_zone import time_zone, zone_of
from pipeline.core.timestamps import TimeUnit, format_iso, iso_ns, parse_ns
from pipeline.recording.importing import ImportPlan
from pipeline.sources.csv_file import CsvFileSettings
from pipeline.sources.fields import ChannelSettings, ReadingParser, TimeFieldSettings
from pipeline.sources.text_log import TextLogSettings
from tests.import_samples import MS, imported, one, table
from tests.unit.sources import context, read_count

BERLIN = ZoneInfo("Europe/Berlin")
HOUR_NS = 3600 * 10**9
# The night of 2026-10-25: at 03:00 clocks go back to 02:00. On 2026-03-29 02:00 becomes 03:00.
AUTUMN = ("01:30:00", "02:15:00", "02:45:00", "02:15:00", "02:45:00", "03:15:00")
MEANT = ["23:30", "00:15", "00:45", "01:15", "01:45", "02:15"]


def test_a_time_without_a_zone_is_utc_unless_another_is_named() -> None:
    assert iso_ns("2026-07-01T12:00:00") == iso_ns("2026-07-01T12:00:00Z")
    assert iso_ns("2026-07-01T12:00:00", BERLIN) == iso_ns("2026-07-01T10:00:00Z")
    assert iso_ns("2026-01-01T12:00:00", BERLIN) == iso_ns("2026-01-01T11:00:00Z")
    assert iso_ns("2026-07-01T12:00:00+00:00", BERLIN) == iso_ns("2026-07-01T12:00:00Z")
    assert parse_ns("2026-07-01T12:00:00", TimeUnit.ISO, BERLIN) == iso_ns("2026-07-01T10:00:00Z")
    assert parse_ns("1000", zone=BERLIN) == 1000 * 10**9


def test_of_two_moments_that_show_one_time_the_nearer_is_meant() -> None:
    first_ns, again_ns = iso_ns("2026-10-25T00:30Z"), iso_ns("2026-10-25T01:30Z")
    written = "2026-10-25T02:30"
    assert iso_ns(written, BERLIN) == first_ns
    assert iso_ns(written, BERLIN, first_ns - HOUR_NS) == first_ns
    assert iso_ns(written, BERLIN, first_ns + HOUR_NS // 4) == first_ns
    assert iso_ns(written, BERLIN, again_ns - HOUR_NS // 4) == again_ns
    assert iso_ns(written, BERLIN, again_ns + 9 * HOUR_NS) == again_ns


def test_a_time_that_was_skipped_is_what_the_clock_of_before_would_have_shown() -> None:
    for near_ns in (None, iso_ns("2026-03-29T00:59Z"), iso_ns("2026-03-30T00:00Z")):
        assert iso_ns("2026-03-29T02:30", BERLIN, near_ns) == iso_ns("2026-03-29T01:30Z")


def test_zones_are_known_by_their_names() -> None:
    assert format_iso(iso_ns("2026-07-01", zone_of(None))) == "2026-07-01T00:00:00.000Z"
    assert zone_of("Europe/Berlin") == time_zone("Europe/Berlin") == BERLIN
    with pytest.raises(ValueError, match=r"'Europe/Berlim'; write Europe/Berlin"):
        time_zone("Europe/Berlim")


def minutes(stamps: list[int]) -> list[str]:
    return [format_iso(stamp)[11:16] for stamp in stamps]


def test_tables_and_logs_in_local_time_lie_right_beside_each_other(tmp_path: Path) -> None:
    """Across the hour that the clocks show twice, of which nothing is lost."""
    rows = "time,a\n" + "".join(f"2026-10-25 {clock},1\n" for clock in AUTUMN)
    log = "".join(f"Oct 25 {clock} host up\n" for clock in AUTUMN)
    zoned = "2026-10-25T02:15:00+01:00 up\n"
    plan = ImportPlan(
        scene="x",
        output=tmp_path / "o.mcap",
        sensors={"s": table(tmp_path / "s.csv", rows)},
        text={"l": table(tmp_path / "l.log", log), "z": table(tmp_path / "z.log", zoned)},
        zone=BERLIN,
    )
    report, streams = imported(plan)
    for name in ("s", "l"):
        assert minutes([a.sample.timestamp_ns for a in streams[name]]) == MEANT
    assert minutes([a.sample.timestamp_ns for a in streams["z"]]) == ["01:15"]
    assert not any(item.dropped or item.notes for item in report.inputs)


def test_who_names_no_zone_is_told_where_it_matters(tmp_path: Path) -> None:
    files = {
        "local": "time,a\n2026-07-01 12:00:00,1\n2026-07-01 12:00:01,1\n",
        "zoned": "time,a\n2026-07-01 12:00:00Z,1\n2026-07-01 12:00:01Z,1\n",
        "seconds": "time,a\n0,1\n1,1\n",
    }
    for name, text in files.items():
        file = table(tmp_path / f"{name}.csv", text)
        plan = ImportPlan(scene="x", output=tmp_path / f"{name}.mcap", sensors={"s": file})
        item = one(imported(plan)[0])
        assert any("--timezone" in note for note in item.notes) is (name == "local")


def test_the_command_takes_a_zone_for_what_names_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = table(tmp_path / "s.csv", "time,a\n2026-07-01 12:00:00,1\n2026-07-01 12:00:01,1\n")
    begin = ["import", "--scene", "x", "-o", str(tmp_path / "o.mcap"), "--sensors", str(file)]
    assert run([*begin, "--timezone", "Europe/Berlim"]) == 64
    assert "write Europe/Berlin" in " ".join(capsys.readouterr().err.replace("│", " ").split())
    start = ["--start", "2026-07-01T11:00:00", "--timezone", "Europe/Berlin"]
    assert run([*begin, *start]) == 0
    assert "starts at 2026-07-01T09:00:00.000Z" in " ".join(capsys.readouterr().out.split())


def test_times_files_of_footage_take_it_too(tmp_path: Path) -> None:
    from pipeline.recording.import_times import read_times

    rows = "index,time\n" + "".join(f"{n},2026-10-25 {t}\n" for n, t in enumerate(AUTUMN))
    times = read_times(table(tmp_path / "t.csv", rows), BERLIN)
    assert minutes([row.moment.ns for row in times.rows if row.moment]) == MEANT


def test_live_sources_take_it_for_devices_in_local_time(tmp_path: Path) -> None:
    meant_ns = iso_ns("2026-10-25T01:15:00Z")
    parser = ReadingParser(
        [ChannelSettings(name="t")], TimeFieldSettings(path="at", timezone="Europe/Berlin")
    )
    document = {"at": "2026-10-25 02:15:00", "t": 1}
    assert parser.time_ns(document, meant_ns + 30 * MS) == meant_ns
    assert parser.time_ns(document, meant_ns - HOUR_NS + 30 * MS) == meant_ns - HOUR_NS

    ctx, refused = context()
    rows = "time,a\n" + "".join(f"2026-10-25 {clock},1\n" for clock in AUTUMN)
    source = CsvFileSettings(
        path=table(tmp_path / "s.csv", rows), stream="s", times="own", speed=0,
        timezone="Europe/Berlin",
    ).build(ctx)  # fmt: skip
    source.open()
    samples = read_count(source, len(AUTUMN))
    source.close()
    assert minutes([sample.timestamp_ns for sample in samples]) == MEANT

    log = table(tmp_path / "l.log", "2026-07-01T12:00:00 up\n")
    source = TextLogSettings(
        stream="l", path=log, from_start=True, time_regex=r"^(?P<time>\S+) ",
        timezone="Europe/Berlin",
    ).build(ctx)  # fmt: skip
    source.open()
    (sample,) = read_count(source, 1)
    source.close()
    assert sample.timestamp_ns == iso_ns("2026-07-01T10:00:00Z")
    assert not refused
