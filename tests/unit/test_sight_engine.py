"""A camera covered or moved, a microphone unplugged, a sensor stuck or broken, a node gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from nodes.assembly import build_engine
from nodes.replay import drive, replay
from pipeline.alignment.aligner import AlignerSettings
from pipeline.alignment.settings import StreamOptions
from pipeline.config import load_deployment
from pipeline.core.arrival import (
    Arrival,
    LedgerReport,
    SampleArrived,
    StreamEnded,
    StreamOpened,
    fusion_began,
)
from pipeline.core.event import Event, Phase, to_json
from pipeline.core.sample import Encoding, Sample
from pipeline.detection.alarm import Alarm, AlarmSettings
from pipeline.detection.engine import Engine, Scene
from pipeline.detection.equipment import Equipment
from pipeline.detection.outcome import SceneState
from pipeline.detection.score import WindowScore
from pipeline.detection.scorer import Scorer
from pipeline.detection.sight_health import SightScene
from pipeline.detection.sight_settings import SightSettings
from pipeline.recording.reader import Recording
from pipeline.recording.writer import RecordingWriter
from tests.toy_site import CAMERA, HOP_NS, LENGTH_NS, MICROPHONE, SENSORS, commissioned
from tests.toy_stream import live

SECOND = 1_000_000_000
START_NS = 3_400_000_000 * HOP_NS
STREAMS = (CAMERA, MICROPHONE, SENSORS)
NAMES = tuple(info.name for info in STREAMS)
NODES = {"pi": ("cam", "mic"), "cabinet": ("plc",)}
FROM_S, TO_S, HOPS = 10, 30, 90
Spoil = Callable[[Sample], Sample | None]


def cover(sample: Sample) -> Sample:
    if sample.stream != "cam":
        return sample
    noise = np.random.default_rng(sample.sequence).normal(0, 2, sample.data.shape)
    return replace(sample, data=(90 + noise).astype(np.uint8))


def unplug(sample: Sample) -> Sample | None:
    return None if sample.stream == "mic" else sample


def hang(sample: Sample) -> Sample:
    if sample.stream != "plc":
        return sample
    return replace(sample, data=np.array([4.0, 31.0, 0.0]))


def turn(sample: Sample) -> Sample:
    return (
        replace(sample, data=np.roll(sample.data, 20, axis=1)) if sample.stream == "cam" else sample
    )


def snap(sample: Sample) -> Sample:
    """The wire of the thermometer breaks: its amplifier says the greatest number it knows."""
    if sample.stream != "plc":
        return sample
    return replace(sample, data=np.array([sample.data[0], 327.67, sample.data[2]]))


def kill(sample: Sample) -> Sample | None:
    return sample if sample.stream == "plc" else None


def arrivals(spoil: Spoil, hops: int = HOPS) -> list[Arrival]:
    """A live run of the toy site, spoilt from `FROM_S` to `TO_S`."""
    found: list[Arrival] = [StreamOpened(START_NS, "n", info) for info in STREAMS]
    for at_ns, sample in live(hops, START_NS):
        wrong = FROM_S * SECOND <= sample.timestamp_ns - START_NS < TO_S * SECOND
        shown = spoil(sample) if wrong else sample
        if shown is not None:
            found.append(SampleArrived(at_ns, "n", shown))
    return [*found, *(StreamEnded(found[-1].arrival_ns, "n", name) for name in NAMES)]


def engine() -> Engine:
    scorer = Scorer({"hall": commissioned()[0]}, "cpu")
    settings = AlarmSettings(budget="1/week")
    alarm = Alarm(settings, "hall", scorer.budget("hall", settings).threshold, HOP_NS)
    ranges = {"plc": StreamOptions(channel_range={"heat": (-40.0, 125.0)})}
    aligner = AlignerSettings(scene="hall", streams=NAMES, options=ranges).build()
    sight = {"hall": SightScene(SightSettings(), NAMES, NODES, LENGTH_NS, HOP_NS)}
    scenes, streams = [Scene("hall", aligner, alarm)], {"hall": NAMES}
    return Engine(scenes, streams, scorer, health=Equipment(sight=sight))


@dataclass
class Run:
    machine: Engine = field(default_factory=engine)
    events: list[Event] = field(default_factory=list)
    scores: list[WindowScore] = field(default_factory=list)
    states: dict[str, SceneState] = field(default_factory=dict)

    def take(self, steps: Sequence[Arrival]) -> Run:
        for arrival in steps:
            self.machine.take(arrival)
            self.collect()
        return self

    def collect(self) -> None:
        outcome = self.machine.collect()
        self.events += outcome.events
        self.scores += outcome.scores
        self.states.update(outcome.states)

    @property
    def equipment(self) -> list[Event]:
        return [event for event in self.events if event.health]


def at_s(time_ns: int) -> float:
    return (time_ns - START_NS) / SECOND


@pytest.mark.parametrize(
    ("spoil", "alarm", "streams", "said"),
    [
        (cover, "sight:cam", {"cam"}, "The camera cam has shown an empty picture"),
        (unplug, "sight:mic", {"mic"}, "Nothing has come from the microphone mic"),
        (hang, "sight:plc", {"plc"}, "The sensor plc has been stuck (current, heat)"),
        (
            turn,
            "sight:cam",
            {"cam"},
            "The camera cam has been moved by about 20 % of the width to the left",
        ),
        (snap, "sight:plc", {"plc"}, "The sensor plc has been out of range (heat) since"),
        (kill, "node:pi", {"cam", "mic"}, "Nothing has come from node pi (cam, mic)"),
    ],
)
def test_what_cannot_see_is_told_and_the_scene_is_scored_by_what_is_left(
    spoil: Spoil, alarm: str, streams: set[str], said: str
) -> None:
    run = Run().take(arrivals(spoil))
    raised, *_, cleared = run.equipment
    assert {(event.id, event.alarm) for event in run.equipment} == {(raised.id, alarm)}
    assert [e.phase for e in run.equipment].count(Phase.RAISED) == 1
    assert cleared.phase is Phase.CLEARED
    assert raised.summary.startswith(said)
    left = [name for name in NAMES if name not in streams]
    assert raised.summary.endswith(f"; scoring goes on with {', '.join(left)}.")
    assert FROM_S - 2 <= at_s(raised.start_ns) <= FROM_S + 2
    assert 9 <= at_s(raised.end_ns) - FROM_S <= 13
    assert abs(at_s(cleared.end_ns) - TO_S) <= 2
    during = [s for s in run.scores if FROM_S + 3 < at_s(s.end_ns) < TO_S]
    assert len(during) >= 2 * (TO_S - FROM_S) - 8
    for score in during:
        assert score.detectors
        assert streams == {*score.missing, *score.degraded} - {"log"}  # the model has one


def test_a_site_that_is_well_is_told_nothing_of() -> None:
    assert Run().take(arrivals(lambda sample: sample)).equipment == []


@pytest.fixture(scope="module")
def unplugged() -> tuple[list[Arrival], list[bytes]]:
    steps = arrivals(unplug)
    return steps, [to_json(event) for event in Run().take(steps).events]


def test_a_recording_tells_the_same_byte_for_byte_however_it_is_shared_out(
    unplugged: tuple[list[Arrival], list[bytes]], tmp_path: Path
) -> None:
    steps, told = unplugged
    path = tmp_path / "a.mcap"
    with RecordingWriter(path, deployment="d", scenes={"hall": list(NAMES)}) as writer:
        for arrival in steps:
            writer.write(arrival)
    again = Run()
    with Recording(path) as recording:
        for number, arrival in enumerate(recording.arrivals()):
            again.machine.take(arrival)
            if number % 61 == 0:
                again.collect()
    again.collect()
    assert [to_json(event) for event in again.events] == told


@pytest.mark.parametrize("crash_s", [6, 15, 25, 33])
def test_after_a_crash_nothing_is_told_twice_and_nothing_is_forgotten(
    unplugged: tuple[list[Arrival], list[bytes]], crash_s: float
) -> None:
    steps, told = unplugged
    crash_ns = START_NS + round(crash_s * SECOND)
    first = Run().take([a for a in steps if a.arrival_ns <= crash_ns])
    released = first.machine.newly_released()
    second = Run()
    second.machine.restore(first.states, crash_ns)
    second.machine.health.restore(first.events)
    again = [
        a if a.arrival_ns > crash_ns else replace(a, arrival_ns=crash_ns)
        for a in steps
        if not isinstance(a, SampleArrived) or a.sample.sequence > released.get(a.sample.stream, -1)
    ]
    second.take(again)
    assert [to_json(event) for event in first.events + second.events] == told


# a scene without a model, as a deployment sets it up

DEPLOYMENT = """
name: d
nodes:
  pi: {sources: [{type: media, url: "rtsp://camera", video: cam, audio: mic}]}
  cabinet: {sources: [{type: csv_file, stream: plc, path: plc.csv}]}
scenes:
  hall:
    streams: [cam, mic, plc]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "d.yaml"
    path.write_text(DEPLOYMENT)
    return path


def test_a_deployment_tells_of_its_nodes_before_it_is_commissioned(
    config: Path, tmp_path: Path
) -> None:
    steps = arrivals(kill)
    path = tmp_path / "a.mcap"
    with RecordingWriter(path, deployment="d", scenes={"hall": list(NAMES)}) as writer:
        for arrival in steps:
            writer.write(arrival)
    machine = build_engine(load_deployment(config)).engine
    events = [event for arrival in steps for event in drive(machine, arrival).events]
    assert [(e.alarm, e.phase) for e in events] == [
        ("node:pi", Phase.RAISED),
        ("node:pi", Phase.CLEARED),
    ]
    again = replay([path], load_deployment(config)).events
    assert [to_json(event) for event in again] == [to_json(event) for event in events]


def test_the_part_of_a_recording_that_is_left_out_is_no_silence(
    config: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.mcap"
    with RecordingWriter(path, deployment="d", scenes={"hall": list(NAMES)}) as writer:
        for arrival in arrivals(lambda sample: sample, hops=180):
            writer.write(arrival)
    replayed = replay([path], load_deployment(config), from_s=40, to_s=45)
    assert replayed.windows == 7
    assert replayed.events == []


def test_switched_off_nothing_is_told(config: Path) -> None:
    config.write_text(DEPLOYMENT + "    sight: {enabled: false}\n")
    machine = build_engine(load_deployment(config)).engine
    assert [e for a in arrivals(kill) for e in drive(machine, a).events] == []
    assert machine.health.next_ns is None


def test_a_scene_that_falls_silent_as_a_whole_is_told_by_time_alone(config: Path) -> None:
    steps = [a for a in arrivals(lambda s: None, hops=100) if not isinstance(a, StreamEnded)]
    reports: list[Arrival] = [
        LedgerReport(START_NS + n * SECOND + 1, "pi", {}) for n in range(FROM_S, TO_S)
    ]
    calm = build_engine(load_deployment(config)).engine
    told = [e for a in sorted([*steps, *reports], key=_when) for e in drive(calm, a).events]
    restless = build_engine(load_deployment(config)).engine
    for before, after in pairwise(steps):
        restless.take(before)
        while (due_ns := restless.next_deadline_ns()) is not None and due_ns < after.arrival_ns:
            restless.advance(due_ns)
    restless.take(steps[-1])
    again = restless.collect().events
    assert [to_json(event) for event in told] == [to_json(event) for event in again]
    assert [(e.alarm, e.phase) for e in told] == [
        ("node:pi", Phase.RAISED),
        ("sight:plc", Phase.RAISED),
        ("node:pi", Phase.CLEARED),
        ("sight:plc", Phase.CLEARED),
    ]
    assert at_s(told[0].end_ns) == pytest.approx(FROM_S + 10, abs=0.3)
    assert at_s(told[2].end_ns) < TO_S + 2


@pytest.mark.parametrize(("period_s", "told_after_s"), [(4, 10), (60, 120)])
def test_a_scene_of_slow_readings_is_silent_when_two_are_missing(
    config: Path, period_s: int, told_after_s: int
) -> None:
    slow = replace(SENSORS, rate_hz=1 / period_s)
    scene = DEPLOYMENT.replace("[cam, mic, plc]", "[plc]") + f"    window_s: {2 * period_s}\n"
    config.write_text(f"{scene}streams: {{plc: {{interpolation: previous, max_gap_s: 300}}}}\n")
    machine = build_engine(load_deployment(config)).engine
    machine.take(StreamOpened(START_NS, "cabinet", slow))
    for number in range(10):
        at_ns = START_NS + number * period_s * SECOND
        reading = Sample("plc", number, at_ns, np.zeros(3), Encoding.FLOAT)
        machine.take(SampleArrived(at_ns, "cabinet", reading))
    assert [e.summary for e in machine.collect().events] == []
    machine.advance(at_ns + told_after_s * SECOND - 1)
    assert machine.collect().events == []
    machine.advance(at_ns + told_after_s * SECOND)
    assert [event.alarm for event in machine.collect().events] == ["sight:plc"]


def test_a_slow_stream_is_told_after_the_fast_ones_when_all_fall_silent(config: Path) -> None:
    slow = replace(SENSORS, rate_hz=1 / 60)
    config.write_text(DEPLOYMENT + "    window_s: 60\n")
    machine = build_engine(load_deployment(config)).engine
    for info in (CAMERA, MICROPHONE, slow):
        machine.take(StreamOpened(START_NS, "n", info))
    told = {}
    for wait_s in (10, 30, 119, 120):
        machine.advance(START_NS + wait_s * SECOND)
        told[wait_s] = [event.alarm for event in machine.collect().events]
    assert told == {10: [], 30: ["node:pi"], 119: [], 120: ["sight:plc"]}


def test_what_was_told_of_a_silent_scene_is_committed_with_what_is_remembered_of_it(
    config: Path,
) -> None:
    machine = build_engine(load_deployment(config)).engine
    for arrival in arrivals(lambda s: None):
        if isinstance(arrival, SampleArrived) and at_s(arrival.arrival_ns) > FROM_S + 1:
            break
        machine.take(arrival)
    machine.collect()
    machine.advance(START_NS + (FROM_S + 15) * SECOND)
    outcome = machine.collect()
    assert [event.phase for event in outcome.events] == [Phase.RAISED] * 2
    assert outcome.states["hall"].sight == machine.health.sight.state("hall")
    after = build_engine(load_deployment(config)).engine
    after.restore(outcome.states, START_NS + 20 * SECOND)
    after.health.restore(outcome.events)
    back = [
        (at_s(arrival.arrival_ns), event.phase)
        for arrival in arrivals(lambda s: None)
        if not isinstance(arrival, SampleArrived) or at_s(arrival.sample.timestamp_ns) >= TO_S
        for event in drive(after, arrival).events
    ]
    assert [phase for _, phase in back] == [Phase.CLEARED] * 2
    assert min(told_s for told_s, _ in back) >= TO_S + SightSettings().clear_after_s


def test_while_the_fusion_node_itself_was_away_nobody_else_was_silent(config: Path) -> None:
    gone_ns, back_ns = START_NS + FROM_S * SECOND, START_NS + TO_S * SECOND
    steps = [  # what could not be sent is sent when it is back
        replace(a, arrival_ns=back_ns + 1) if gone_ns <= a.arrival_ns <= back_ns else a
        for a in arrivals(lambda sample: sample)
    ]
    whole = sorted([*steps, fusion_began(back_ns)], key=_when)
    machine = build_engine(load_deployment(config)).engine
    assert [event for arrival in whole for event in drive(machine, arrival).events] == []
    gone = [arrival for arrival in whole if arrival.arrival_ns <= back_ns]
    machine = build_engine(load_deployment(config)).engine
    assert [event for arrival in gone for event in drive(machine, arrival).events] == []
    machine.advance(back_ns + 30 * SECOND)
    told = machine.collect().events
    assert [event.alarm for event in told] == ["node:pi", "sight:plc"]
    assert told[0].start_ns == back_ns


def test_a_deployment_that_nothing_ever_reaches_says_so_when_its_time_is_over(
    config: Path,
) -> None:
    machine = build_engine(load_deployment(config)).engine
    machine.take(fusion_began(START_NS))
    machine.advance(START_NS + 30 * SECOND - 1)
    assert machine.collect().events == []
    assert machine.next_deadline_ns() == START_NS + 30 * SECOND
    machine.advance(START_NS + 30 * SECOND)
    assert [e.alarm for e in machine.collect().events] == ["node:pi", "sight:plc"]


def _when(arrival: Arrival) -> int:
    return arrival.arrival_ns
