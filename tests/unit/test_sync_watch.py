"""Streams that drift apart are told once, with how far, and that they agree again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from nodes.assembly import build_engine
from nodes.replay import replay
from pipeline.alignment.activity import ActivityMeter
from pipeline.alignment.sync_offset import SyncOffset
from pipeline.alignment.sync_watch import SyncLook, SyncWatch
from pipeline.alignment.sync_watch_settings import SyncWatchSettings
from pipeline.config import load_deployment
from pipeline.core.arrival import Arrival, SampleArrived, StreamEnded, StreamOpened
from pipeline.core.event import Event, Phase, to_json
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.detection.accounts import Accounts
from pipeline.detection.sync_health import SyncHealth
from pipeline.recording.writer import RecordingWriter

RATE, FPS = 4000, 10
START_NS = 1_700_000_000 * 10**9
MS, SECOND = 1_000_000, 1_000_000_000
CAM = StreamInfo("cam", Modality.VIDEO, float(FPS), (12, 16, 3), "uint8")
MIC = StreamInfo("mic", Modality.AUDIO, float(RATE), (1,), "int16")
SECONDS = 330

DEPLOYMENT = """
name: d
nodes: {n: {sources: [{type: media, url: "rtsp://camera", video: cam, audio: mic}]}}
scenes:
  hall:
    streams: [cam, mic]
    sync_watch: {enabled: true, limit_ms: 100, window_s: 30, span_s: 0.6}
"""


def drift_s(second: float) -> float:
    """Nothing for a minute, then growing to 0.4 s within 80 s, mended after 200 s."""
    return 0.0 if second > 200 else min(max(second - 60, 0) * 0.005, 0.4)


def no_drift_s(second: float) -> float:
    return 0.0


def arrivals(late_s: Callable[[float], float], *, together: bool = True) -> list[Arrival]:
    """A lamp that flashes and a click at once, the picture as late as is said."""
    chance = np.random.default_rng(4)
    happened = np.cumsum(chance.uniform(0.8, 4.0, SECONDS // 2))
    happened = happened[happened < SECONDS - 3]
    heard = happened if together else np.sort(chance.uniform(1, SECONDS - 3, len(happened)))
    lit = np.zeros(SECONDS * FPS, bool)
    lit[[int(np.ceil((t + late_s(t)) * FPS)) for t in happened]] = True
    sound = chance.normal(0, 20, SECONDS * RATE)
    for moment in heard:
        at = round(moment * RATE)
        sound[at : at + 100] += chance.normal(0, 6000, 100)
    found: list[Arrival] = [StreamOpened(START_NS, "n", info) for info in (CAM, MIC)]
    for n in range(SECONDS * FPS):
        time_ns = START_NS + n * SECOND // FPS
        grey = chance.normal(80 + 120 * lit[n], 3, CAM.shape).clip(0, 255).astype(np.uint8)
        picture = Sample("cam", n, time_ns, grey, Encoding.RAW)
        first = n * RATE // FPS
        piece = sound[first : first + RATE // FPS, None].clip(-32768, 32767).astype(np.int16)
        chunk = Sample("mic", n, time_ns, piece, Encoding.PCM, position=first)
        found += [SampleArrived(time_ns + 150 * MS, "n", one) for one in (picture, chunk)]
    return found


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sync") / "d.yaml"
    path.write_text(DEPLOYMENT)
    return path


@pytest.fixture(scope="module")
def drifting() -> list[Arrival]:
    return arrivals(drift_s)


def events_of(config: Path, steps: Sequence[Arrival], every: int = 1) -> list[Event]:
    engine = build_engine(load_deployment(config)).engine
    events: list[Event] = []
    for number, arrival in enumerate(steps, 1):
        engine.take(arrival)
        if number % every == 0:
            events += engine.collect().events
    return events + engine.collect().events


def told_ms(event: Event) -> float:
    """The offset in a summary, milliseconds."""
    return float(event.summary.split(" ± ")[0].split()[-1])


def test_a_growing_drift_is_raised_once_with_what_was_measured_and_cleared(
    config: Path, drifting: list[Arrival]
) -> None:
    events = events_of(config, drifting)
    phases = [event.phase for event in events]
    assert phases.count(Phase.RAISED) == phases.count(Phase.CLEARED) == 1
    assert (phases[0], phases[-1]) == (Phase.RAISED, Phase.CLEARED)
    assert len({event.id for event in events}) == 1
    assert [event.revision for event in events] == list(range(len(events)))
    raised = events[0]
    assert (raised.scene, raised.alarm, raised.health) == ("hall", "sync:cam", True)
    assert "cam shows things" in raised.summary
    assert "later than mic" in raised.summary
    at_s = (raised.end_ns - START_NS) / SECOND
    assert 80 < at_s < 160  # the limit is passed at 80 s; a window and two looks follow
    true_ms = 1000 * drift_s(at_s - 15)  # at the middle of what was looked at
    assert told_ms(raised) == pytest.approx(true_ms, abs=raised.clock_uncertainty_ns / MS + 50)
    assert (events[-1].end_ns - START_NS) / SECOND > 200


def test_how_often_events_are_collected_changes_nothing(
    config: Path, drifting: list[Arrival]
) -> None:
    lines = [[to_json(e) for e in events_of(config, drifting, n)] for n in (1, 10_000_000)]
    assert lines[0] == lines[1] != []


def test_a_replay_tells_the_same_and_the_end_of_the_streams_clears_what_stands(
    config: Path, drifting: list[Arrival], tmp_path: Path
) -> None:
    until_ns = START_NS + 190 * SECOND  # while it stands
    steps = [arrival for arrival in drifting if arrival.arrival_ns < until_ns]
    steps += [StreamEnded(until_ns, "n", name) for name in ("cam", "mic")]
    path = tmp_path / "a.mcap"
    with RecordingWriter(path, deployment="d", scenes={"hall": ["cam", "mic"]}) as writer:
        for arrival in steps:
            writer.write(arrival)
    live = events_of(config, steps)
    again = replay([path], load_deployment(config)).events
    assert [to_json(event) for event in again] == [to_json(event) for event in live]
    assert live[-1].phase is Phase.CLEARED
    assert "cam has ended" in live[-1].summary


@pytest.mark.parametrize("together", [True, False])
def test_streams_that_agree_or_have_nothing_in_common_raise_nothing(
    config: Path, together: bool
) -> None:
    assert events_of(config, arrivals(no_drift_s, together=together)) == []


def test_without_the_setting_nothing_is_watched(config: Path, tmp_path: Path) -> None:
    (tmp_path / "d.yaml").write_text(DEPLOYMENT.replace("enabled: true", "enabled: false"))
    engine = build_engine(load_deployment(tmp_path / "d.yaml")).engine
    assert not engine.health.sync.watches


def test_a_window_too_short_for_its_span_is_refused() -> None:
    with pytest.raises(ValidationError, match="ten times"):
        SyncWatchSettings(window_s=30, span_s=4)


# the rules of the row, on looks that are made up

SETTINGS = SyncWatchSettings(enabled=True, limit_ms=100, window_s=30)


class Looks:
    """Stands in for the watch: says what it is told to."""

    def __init__(self) -> None:
        self.now_ns = START_NS
        self.health = SyncHealth({"hall": SETTINGS}, {"hall": ["cam", "mic"]})
        self.health._scenes["hall"].watch.look = self._look  # type: ignore[method-assign]
        self._next: SyncLook | None = None

    def _look(self, now_ns: int) -> SyncLook | None:
        return self._next

    def see(self, *offsets_ms: float, agreement: float = 0.6, after_s: float = 15) -> list[Event]:
        """One look after the other; what was told."""
        told: list[Event] = []
        for ms in offsets_ms:
            self.now_ns += round(after_s * SECOND)
            none = np.zeros(0)
            found = SyncOffset("mic", "cam", round(ms * MS), 20 * MS, agreement, 0.1, none, none)
            self._next = SyncLook(self.now_ns, "mic", (found,))
            told += self.health.look(self.now_ns, Accounts())
        return told


def test_one_look_or_two_are_not_believed() -> None:
    looks = Looks()
    assert looks.see(200, 210) == []
    assert [event.phase for event in looks.see(205)] == [Phase.RAISED]
    assert looks.see(200, 210, 190) == []


def test_looks_that_contradict_each_other_are_not_believed() -> None:
    looks = Looks()
    assert looks.see(200, -200, 200, 400, -300, 200, 900) == []


def test_looks_that_saw_nothing_neither_count_nor_break_a_row_until_it_is_old() -> None:
    looks = Looks()
    assert looks.see(200, 210) == []
    assert looks.see(-500, 700, agreement=0.15) == []
    assert [event.phase for event in looks.see(205)] == [Phase.RAISED]
    old = Looks()
    assert old.see(200, 210) == []
    assert old.see(205, after_s=5 * SETTINGS.window_s + 1) == []


def test_what_lies_beyond_the_limit_by_less_than_its_uncertainty_is_neither() -> None:
    looks = Looks()
    assert looks.see(*[115] * 10) == []
    looks.see(200, 200, 200)
    assert looks.see(*[115] * 10) == []
    assert [event.phase for event in looks.see(50, 60, 40)] == [Phase.CLEARED]


def test_a_drift_that_goes_on_is_updated_when_it_moved_by_more_than_the_limit() -> None:
    looks = Looks()
    raised = looks.see(200, 210, 220)[0]
    updates = looks.see(290, 310, 330, 340)
    assert [event.phase for event in updates] == [Phase.UPDATED]
    assert (updates[0].id, updates[0].revision) == (raised.id, 1)
    assert told_ms(updates[0]) == 330


def test_after_a_restart_what_stands_is_neither_raised_again_nor_forgotten() -> None:
    before, after = Looks(), Looks()
    told = before.see(200, 210, 220)
    after.now_ns = before.now_ns
    after.health.restore(told)
    assert after.health.stands("hall")
    assert after.see(*[220] * 6) == []
    cleared = after.see(10, 20, 10)
    assert [(event.id, event.revision) for event in cleared] == [(told[0].id, 1)]
    again = Looks()
    again.health.restore([*told, *cleared])
    assert not again.health.stands("hall")


# what is kept


def noise(seconds: int, first: int = 0) -> list[Sample]:
    chance = np.random.default_rng(first)
    return [
        Sample(
            "mic",
            n,
            START_NS + (first * 10 + n) * 100 * MS,
            chance.integers(-99, 99, (400, 1), np.int16),
            Encoding.PCM,
        )
        for n in range(seconds * 10)
    ]


def test_a_meter_keeps_no_more_than_it_was_told() -> None:
    meter, whole = ActivityMeter(MIC, keep_ns=20 * SECOND), ActivityMeter(MIC)
    for sample in noise(100):
        meter.take(sample)
        whole.take(sample)
    assert len(whole.activity().amount) == 100 * 100
    kept = meter.activity()
    assert 20 * 100 <= len(kept.amount) <= 20.2 * 100
    assert kept.end_ns[-1] == START_NS + 100 * SECOND


def test_a_sample_whose_stamp_goes_back_is_passed_over_and_counted() -> None:
    samples = noise(10)
    meter, orderly = ActivityMeter(MIC), ActivityMeter(MIC)
    for sample in [*samples[:50], samples[3], *samples[50:]]:
        meter.take(sample)
    for sample in samples:
        orderly.take(sample)
    assert (meter.passed_over, orderly.passed_over) == (1, 0)
    assert np.array_equal(meter.activity().amount, orderly.activity().amount)


def test_a_stream_that_fell_silent_is_not_compared_any_more() -> None:
    watch = SyncWatch(SETTINGS, ["cam", "mic", "other"])
    for info in (MIC, replace(MIC, name="other"), replace(CAM, name="elsewhere")):
        watch.open(info)
    for sample in noise(40):
        watch.take(sample)
        watch.take(replace(sample, stream="other"))
    assert watch.look(START_NS) is None
    found = watch.look(START_NS + 40 * SECOND)
    assert found is not None
    assert [one.second for one in found.offsets] == ["other"]
    for sample in noise(100, first=40):
        watch.take(sample)
    later = watch.look(START_NS + 140 * SECOND)
    assert later is not None
    assert not later.offsets
    assert later.unusable == {"other": "silent"}
