"""Streams whose stamps are wrong, and scenes that fall silent where little time is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nodes.assembly import build_engine
from nodes.replay import drive
from pipeline.config import load_deployment
from pipeline.core.arrival import Arrival, LedgerReport, StreamEnded
from pipeline.core.event import Event
from pipeline.core.sample import Sample
from tests.unit.test_sight_engine import DEPLOYMENT, FROM_S, SECOND, START_NS, TO_S, arrivals, at_s


def told(tmp_path: Path, scene: str, steps: Sequence[Arrival]) -> list[Event]:
    config = tmp_path / "d.yaml"
    config.write_text(DEPLOYMENT + scene)
    machine = build_engine(load_deployment(config)).engine
    return [event for arrival in steps for event in drive(machine, arrival).events]


def since_power_came_back(sample: Sample) -> Sample:
    """A clock without a battery begins at 1970."""
    if sample.stream != "plc":
        return sample
    return replace(sample, timestamp_ns=sample.timestamp_ns - START_NS)


def test_a_device_whose_clock_begins_at_1970_is_told_by_what_is_wrong_and_is_back_by_itself(
    tmp_path: Path,
) -> None:
    events = told(tmp_path, "", arrivals(since_power_came_back))
    assert [(e.alarm, e.phase, e.degraded) for e in events] == [
        ("sight:plc", "raised", {"plc": "late"}),
        ("sight:plc", "cleared", {"plc": "late"}),
    ]
    said = "What comes from the sensor plc comes too late, or with wrong times, since "
    assert events[0].summary.startswith(said)
    assert FROM_S - 2 <= at_s(events[0].start_ns) <= FROM_S + 2
    assert abs(at_s(events[1].end_ns) - TO_S) <= 2


def test_a_silent_scene_is_told_once_though_its_last_windows_are_cut_when_it_is_back(
    tmp_path: Path,
) -> None:
    steps = [a for a in arrivals(lambda sample: None) if not isinstance(a, StreamEnded)]
    reports = [LedgerReport(START_NS + n * SECOND + 1, "pi", {}) for n in range(FROM_S, TO_S)]
    whole = sorted([*steps, *reports], key=lambda arrival: arrival.arrival_ns)
    events = told(tmp_path, "    sight: {after_s: 2, clear_after_s: 1}\n", whole)
    assert [(e.alarm, e.phase) for e in events] == [
        ("node:pi", "raised"),
        ("sight:plc", "raised"),
        ("node:pi", "cleared"),
        ("sight:plc", "cleared"),
    ]
