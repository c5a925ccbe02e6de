"""What there is of events that are raised long after they began, and of slow scenes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from nodes.assembly import raised_within_s
from pipeline.alignment.aligner import AlignerSettings
from pipeline.config.deployment import SceneSettings
from pipeline.core.arrival import Arrival, SampleArrived, StreamEnded, StreamOpened
from pipeline.core.event import Event, Phase
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.detection.alarm import Alarm
from pipeline.detection.engine import Engine
from pipeline.detection.engine_scene import Scene
from pipeline.detection.evidence import EvidenceKeeper
from pipeline.detection.evidence_files import EvidenceFiles
from pipeline.recording.reader import Recording
from tests.unit.test_detection_engine import START, LevelScorer

SECOND = 1_000_000_000
BEFORE_S = 5.0


def arrivals(period_s: float, seconds: float, level: Callable[[float], float]) -> list[Arrival]:
    """Readings so far apart; a little late, as ever."""
    info = StreamInfo(
        "a", Modality.SENSOR, 1 / period_s, (1,), "float64", channels=("x",), stamp="exact"
    )
    found: list[Arrival] = [StreamOpened(START, "n", info)]
    for i in range(round(seconds / period_s)):
        stamp_ns = START + round(i * period_s * SECOND)
        value = np.array([level(i * period_s)])
        sample = Sample("a", i, stamp_ns, value, Encoding.FLOAT)
        found.append(SampleArrived(stamp_ns + 20_000_000, "n", sample))
    return [*found, StreamEnded(found[-1].arrival_ns, "n", "a")]


def lived(folder: Path, steps: Sequence[Arrival], **scene: object) -> list[Event]:
    """Events of a scene, whose evidence is written."""
    settings = SceneSettings.model_validate({"streams": ["a"], **scene})
    hop_ns, window_ns = round(settings.hop_s * SECOND), round(settings.window_s * SECOND)
    alarm = Alarm(settings.alarm, "room", 3.0, hop_ns)
    aligner = AlignerSettings(scene="room", streams=("a",), window_ns=window_ns, hop_ns=hop_ns)
    files, waits_s = EvidenceFiles(folder), {"room": raised_within_s(settings)}
    streams = {"room": ("a",)}
    keeper = EvidenceKeeper(BEFORE_S, files, streams, waits_s)
    machine = Engine([Scene("room", aligner.build(), alarm)], streams, LevelScorer(), keeper)  # type: ignore[arg-type]
    events: list[Event] = []
    for arrival in steps:
        machine.take(arrival)
        events += machine.collect().events
    files.close()
    assert files.failed == 0
    return events


def shown_s(folder: Path, event: Event) -> list[float]:
    """Stamps of what the recording of an event holds, seconds from its start."""
    with Recording(folder / event.evidence.recording) as recording:
        held = [one.sample for one in recording.arrivals() if isinstance(one, SampleArrived)]
    return sorted((sample.timestamp_ns - event.start_ns) / SECOND for sample in held)


@pytest.mark.parametrize("min_duration_s", [1.0, 30.0, 60.0])
def test_an_event_that_is_raised_late_shows_its_beginning_and_goes_on_for_as_long_as_any(
    tmp_path: Path, min_duration_s: float
) -> None:
    steps = arrivals(0.1, 150.0, lambda at_s: 5.0 if 20.0 <= at_s < 120.0 else 0.1)
    events = lived(tmp_path, steps, alarm={"min_duration_s": min_duration_s})
    raised_s = (events[0].end_ns - events[0].start_ns) / SECOND
    shown = shown_s(tmp_path, events[-1])
    assert raised_s == pytest.approx(min_duration_s, abs=0.6)
    assert shown[0] == pytest.approx(-BEFORE_S, abs=0.11)
    assert shown[-1] == pytest.approx(raised_s + 30.0, abs=0.11)
    assert len(shown) == pytest.approx(10 * (shown[-1] - shown[0]), abs=2)


def test_an_event_that_the_cooldown_held_back_shows_its_beginning(tmp_path: Path) -> None:
    def level(at_s: float) -> float:
        return 6.0 if 10.0 <= at_s < 14.0 else 5.0 if 20.0 <= at_s < 90.0 else 0.1

    events = lived(tmp_path, arrivals(0.1, 120.0, level), alarm={"cooldown_s": 50.0})
    late = [event for event in events if event.id == events[-1].id]
    assert (late[0].end_ns - late[0].start_ns) / SECOND > 40.0
    assert [event.phase for event in events if event.phase is not Phase.UPDATED] == [
        *(Phase.RAISED, Phase.CLEARED),
        *(Phase.RAISED, Phase.CLEARED),
    ]
    assert shown_s(tmp_path, late[-1])[0] == pytest.approx(-BEFORE_S, abs=0.11)


def test_an_event_of_a_slow_scene_shows_the_window_that_raised_it_and_as_much_after_it(
    tmp_path: Path,
) -> None:
    steps = arrivals(60.0, 7200.0, lambda at_s: 5.0 if 2400.0 <= at_s < 3600.0 else 0.1)
    events = lived(tmp_path, steps, window_s=600.0, hop_s=60.0)
    raised_s = (events[0].end_ns - events[0].start_ns) / SECOND
    shown = shown_s(tmp_path, events[-1])
    assert raised_s - 600.0 <= shown[0] < raised_s - 540.0
    assert shown == pytest.approx([shown[0] + 60.0 * i for i in range(20)])
