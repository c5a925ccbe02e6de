"""A fusion node that is behind, or did not look, calls nobody silent; nor does a replay of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from nodes.arrival_turns import ArrivalTurns
from nodes.fair_queue import FairQueue
from pipeline.alignment.aligner import AlignerSettings
from pipeline.core.arrival import Arrival, SampleArrived, SamplesWait, StreamOpened
from pipeline.core.clock import ManualClock
from pipeline.core.event import Event
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.detection.engine import Engine
from pipeline.detection.engine_scene import Scene
from pipeline.detection.equipment import Equipment
from pipeline.detection.sight_health import SightScene
from pipeline.detection.sight_settings import SightSettings
from pipeline.recording.merge import read_many
from pipeline.recording.writer import RecordingWriter

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
COSTLY = tuple(f"press-{number}" for number in range(8))
QUICK = "gate"
NODES = {node: f"{node}-force" for node in (*COSTLY, QUICK)}
"""The stream of each node, of which each has a scene."""
SIGHT = SightSettings(after_s=5.0, startup_s=5.0)


def engine() -> Engine:
    streams = {scene: (scene,) for scene in NODES.values()}
    scenes = [
        Scene(name, AlignerSettings(scene=name, streams=s).build()) for name, s in streams.items()
    ]
    sight = {
        stream: SightScene(SIGHT, (stream,), {node: (stream,)}, 2 * SECOND, SECOND // 2)
        for node, stream in NODES.items()
    }
    return Engine(scenes, streams, None, health=Equipment(sight=sight))


def opened(node: str) -> StreamOpened:
    info = StreamInfo(NODES[node], Modality.SENSOR, 1.0, (1,), "float64", channels=("x",))
    return StreamOpened(START, node, info)


def reading(node: str, number: int) -> SampleArrived:
    at_ns = START + number * SECOND
    return SampleArrived(
        at_ns, node, Sample(NODES[node], number, at_ns, np.ones(1), Encoding.FLOAT)
    )


class Line:
    """Brings one reading a second of each node, of the first costly one until it dies."""

    def __init__(self, clock: ManualClock, dies_s: int) -> None:
        self._clock = clock
        self._left = [*map(opened, NODES)] + [
            reading(node, second)
            for second in range(200)
            for node in NODES
            if node != COSTLY[0] or second < dies_s
        ]

    def poll(self, _timeout_s: float, _waiting: object) -> list[Arrival]:
        now_ns = self._clock.now_ns()
        found = [one for one in self._left if one.arrival_ns <= now_ns]
        self._left = self._left[len(found) :]
        return found


def cost_s(node: str) -> float:
    """A reading of a costly node takes a second, so that there is time for every eighth."""
    return 0.001 if node == QUICK else 1.0


def run(machine: Engine, dies_s: int, until_s: float) -> tuple[list[Arrival], list[Event]]:
    """What a fusion node that is behind takes, and tells."""
    clock = ManualClock(START)
    turns = ArrivalTurns(Line(clock, dies_s), clock, FairQueue({}, {}), cost_s)
    arrivals: list[Arrival] = []
    events: list[Event] = []
    while clock.now_ns() < START + until_s * SECOND:
        for arrival in turns.take(0.0):
            machine.take(arrival)
            arrivals.append(arrival)
            if isinstance(arrival, SampleArrived):
                clock.advance(round(cost_s(arrival.node) * SECOND))
        machine.advance(turns.until_ns())
        events += machine.collect().events
        clock.advance(SECOND // 100)
    return arrivals, events


def told(machine: Engine, arrivals: Iterable[Arrival]) -> list[str]:
    found: list[str] = []
    for arrival in arrivals:
        machine.take(arrival)
        found += [event.alarm for event in machine.collect().events]
    return found


def test_whose_samples_wait_here_is_not_silent_and_a_replay_says_so_too(tmp_path: Path) -> None:
    arrivals, events = run(engine(), dies_s=200, until_s=60.0)
    assert events == []
    with RecordingWriter(tmp_path / "behind.mcap") as recording:
        for arrival in arrivals:
            recording.write(arrival)
    again = list(read_many([tmp_path / "behind.mcap"]))
    said = [one for one in arrivals if isinstance(one, SamplesWait)]
    assert said == [one for one in again if isinstance(one, SamplesWait)]
    assert told(engine(), again) == []
    unsaid = [one for one in again if not isinstance(one, SamplesWait)]
    assert set(told(engine(), unsaid)) >= {f"sight:{NODES[node]}" for node in COSTLY}  # so it was


def test_who_dies_is_told_of_once_nothing_of_it_waits_any_more() -> None:
    arrivals, events = run(engine(), dies_s=4, until_s=90.0)
    of_it = [a.arrival_ns for a in arrivals if isinstance(a, SampleArrived) and a.node == COSTLY[0]]
    assert len(of_it) == 4
    assert [event.alarm for event in events] == [f"sight:{NODES[COSTLY[0]]}"]
    waited = [a.until_ns for a in arrivals if isinstance(a, SamplesWait) and a.node == COSTLY[0]]
    assert of_it[-1] < waited[-1] == events[0].start_ns
    assert events[0].end_ns == waited[-1] + round(SIGHT.after_s * SECOND)


def test_a_turn_that_took_long_calls_nobody_silent_before_the_node_has_looked() -> None:
    clock, machine = ManualClock(START), engine()
    turns = ArrivalTurns(Line(clock, 120), clock, FairQueue({}, {}))
    found: list[Event] = []
    arrivals: list[Arrival] = []
    for turn_ns in (SECOND, 30 * SECOND, SECOND):
        taken = turns.take(0.0)
        arrivals += taken
        for arrival in taken:
            machine.take(arrival)
        clock.advance(turn_ns)  # what taking them took
        machine.advance(turns.until_ns())
        found += machine.collect().events
    assert found == []
    assert told(engine(), arrivals) == []
