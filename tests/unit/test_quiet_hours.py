from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from pydantic import ValidationError

from pipeline.config import load_deployment
from pipeline.core.errors import ConfigError
from pipeline.core.event import Severity
from pipeline.sinks.quiet_hours import QuietHours

SECOND = 10**9


def quiet(start: str = "22:00", end: str = "06:30", **more: object) -> QuietHours:
    said = {"start": start, "end": end, "timezone": "Europe/Berlin"} | more
    return QuietHours.model_validate(said)


def at(text: str, zone: str = "Europe/Berlin", fold: int = 0) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)
    return int(moment.timestamp()) * SECOND


def utc(text: str) -> int:
    return at(text, "UTC")


def test_a_night_is_one_span_over_midnight_closed_at_its_start_and_open_at_its_end() -> None:
    night, end = quiet(), at("2026-01-15 06:30")
    assert night.end_ns(at("2026-01-14 22:00") - 1) is None
    assert night.end_ns(at("2026-01-14 22:00")) == end
    assert night.end_ns(at("2026-01-15 03:00")) == end
    assert night.end_ns(end - 1) == end
    assert night.end_ns(end) is None
    assert night.end_ns(at("2026-01-15 12:00")) is None


def test_a_span_within_a_day_ends_on_that_day() -> None:
    noon = quiet("12:00", "13:00")
    assert noon.end_ns(at("2026-01-15 12:30")) == at("2026-01-15 13:00")
    assert noon.end_ns(at("2026-01-15 13:00")) is None


def test_a_span_belongs_to_the_day_on_which_it_begins() -> None:
    friday = quiet(days=["fri"])  # 2026-01-16 is a Friday
    assert friday.end_ns(at("2026-01-16 02:00")) is None
    assert friday.end_ns(at("2026-01-16 23:00")) == at("2026-01-17 06:30")
    assert friday.end_ns(at("2026-01-17 02:00")) == at("2026-01-17 06:30")
    assert friday.end_ns(at("2026-01-17 23:00")) is None


def test_from_and_to_the_same_time_is_the_whole_day() -> None:
    weekend = quiet("00:00", "00:00", days=["sat", "sun"])
    assert weekend.end_ns(at("2026-01-16 23:59")) is None
    assert weekend.end_ns(at("2026-01-17 00:00")) == at("2026-01-18 00:00")
    assert weekend.end_ns(at("2026-01-18 12:00")) == at("2026-01-19 00:00")
    assert weekend.end_ns(at("2026-01-19 00:00")) is None


def test_the_night_in_which_clocks_go_forward_is_an_hour_shorter() -> None:
    begin, end = utc("2026-03-28 21:00"), utc("2026-03-29 04:30")
    assert end - begin == (8 * 60 + 30 - 60) * 60 * SECOND
    assert quiet().end_ns(begin - 1) is None
    assert quiet().end_ns(begin) == end
    assert quiet().end_ns(end - 1) == end
    assert quiet().end_ns(end) is None


def test_the_night_in_which_clocks_go_back_is_an_hour_longer() -> None:
    begin, end = utc("2026-10-24 20:00"), utc("2026-10-25 05:30")
    assert end - begin == (8 * 60 + 30 + 60) * 60 * SECOND
    assert quiet().end_ns(begin - 1) is None
    assert quiet().end_ns(begin) == end
    assert quiet().end_ns(at("2026-10-25 02:30", fold=0)) == end
    assert quiet().end_ns(at("2026-10-25 02:30", fold=1)) == end
    assert quiet().end_ns(end) is None


def test_a_time_that_clocks_skip_means_the_moment_they_would_have_shown_it() -> None:
    assert quiet("22:00", "02:30").end_ns(at("2026-03-28 23:00")) == utc("2026-03-29 01:30")
    early = quiet("02:30", "05:00")
    assert early.end_ns(utc("2026-03-29 01:29")) is None
    assert early.end_ns(utc("2026-03-29 01:30")) == utc("2026-03-29 03:00")


def test_a_time_that_clocks_show_twice_means_the_first() -> None:
    assert quiet("22:00", "02:30").end_ns(at("2026-10-24 23:00")) == utc("2026-10-25 00:30")
    assert quiet("22:00", "02:30").end_ns(at("2026-10-25 02:30", fold=1)) is None
    early = quiet("02:30", "05:00")
    assert early.end_ns(utc("2026-10-25 00:30")) == utc("2026-10-25 04:00")
    assert early.end_ns(at("2026-10-25 02:10", fold=1)) == utc("2026-10-25 04:00")


def test_half_hours_and_the_southern_half_of_the_world_are_right_too() -> None:
    adelaide = quiet(timezone="Australia/Adelaide")
    begin = utc("2026-01-14 11:30")  # 22:00 at UTC+10:30
    assert adelaide.end_ns(begin - 1) is None
    assert adelaide.end_ns(begin) == utc("2026-01-14 20:00")


@pytest.mark.parametrize(
    "wrong",
    [{"start": "24:00"}, {"end": "6:30"}, {"days": []}, {"days": ["monday"]}, {"timezone": "../x"}],
)
def test_what_is_no_time_day_or_zone_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        quiet(**wrong)


SITE = """name: site
nodes: {edge: {sources: [{type: csv_file, path: readings.csv, stream: readings}]}}
scenes: {hall: {streams: [readings]}}
alert:
  sinks:
    - type: console
      quiet:
        start: 22:00
        end: 06:30
        timezone: Europe/Berlin
        at_least: critical
"""


def site(folder: Path, text: str) -> Path:
    (folder / "site.yaml").write_text(text)
    return folder / "site.yaml"


def test_times_need_no_quotes_in_a_deployment(tmp_path: Path) -> None:
    (sink,) = load_deployment(site(tmp_path, SITE)).alert.sinks
    assert sink.quiet == quiet(at_least=Severity.CRITICAL)


def test_an_unknown_zone_is_refused_at_its_line_with_the_nearest_that_there_is(tmp_path) -> None:
    with pytest.raises(ConfigError) as told:
        load_deployment(site(tmp_path, SITE.replace("Berlin", "Berlim")))
    (said,) = told.value.problems
    assert "site.yaml:10" in said
    assert "no time zone 'Europe/Berlim'" in said
    assert "write Europe/Berlin" in said


def test_a_kind_that_cannot_tell_answers_is_not_asked_to(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as told:
        load_deployment(site(tmp_path, SITE + "      answers: true\n"))
    (said,) = told.value.problems
    assert "answers: unknown key" in said


def test_a_machine_without_time_zones_is_told_what_it_lacks(monkeypatch) -> None:
    def unknown(name: str) -> ZoneInfo:
        raise ZoneInfoNotFoundError(name)

    monkeypatch.setattr("pipeline.core.time_zone.ZoneInfo", unknown)
    monkeypatch.setattr("pipeline.core.time_zone.available_timezones", set)
    with pytest.raises(ValidationError, match="install its package tzdata"):
        quiet()
