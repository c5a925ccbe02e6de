"""A room with two sensors on two nodes, watched by a scorer that remembers: quick to run.

It is loud for a while, so an alarm is raised, updated and cleared, and one sensor is silent for
a while, so that it cannot be seen. The p-value depends on what came before, as with a context
over windows, so a state that is not committed with its window shows in every later score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from nodes.assembly import Assembly
from pipeline.alignment.aligner import AlignerSettings
from pipeline.alignment.settings import StreamOptions
from pipeline.config import load_deployment
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.window import Window
from pipeline.detection.alarm import Alarm, AlarmSettings
from pipeline.detection.engine import Engine, Scene
from pipeline.detection.equipment import Equipment
from pipeline.detection.evidence import EvidenceKeeper
from pipeline.detection.evidence_writer import EvidenceWriter
from pipeline.detection.score import WindowScore
from pipeline.detection.sight_health import SightScene
from pipeline.detection.sight_settings import SightSettings
from tests.crash.link import CaptureNode
from tests.crash.world import Turn, World

SECOND = 1_000_000_000
HOP_NS = SECOND // 2
START_NS = 1_700_000_000 * SECOND
HZ = 2
SECONDS = 11
LOUD_S, SILENT_S = (2.0, 4.0), (4.5, 8.5)
STREAMS = {"a": "one", "b": "two"}

DEPLOYMENT = """
name: room
nodes:
  one: {sources: [{type: csv_file, stream: a, path: a.csv}]}
  two: {sources: [{type: csv_file, stream: b, path: b.csv}]}
scenes:
  room: {streams: [a, b]}
"""


def info(name: str) -> StreamInfo:
    """A sensor of the room."""
    return StreamInfo(name, Modality.SENSOR, float(HZ), (1,), "float64", stamp="exact")


class RememberingScorer:
    """p falls with a running mean of the highest value; the mean is its state."""

    def __init__(self) -> None:
        self.spent_s: dict[str, float] = {}
        self._mean = 0.0

    def prepare(self, sample: Sample) -> Sample:
        return sample

    def check(self, _scene: str, _infos: Sequence[StreamInfo]) -> None:
        return None

    def live(self, _scene: str) -> None:
        return None

    def score(self, windows: Sequence[Window]) -> list[WindowScore]:
        return [self._one(window) for window in windows]

    def state(self, _scene: str) -> bytes:
        return msgspec.json.encode(self._mean)

    def restore(self, _scene: str, state: bytes) -> None:
        self._mean = msgspec.json.decode(state, type=float)

    def _one(self, window: Window) -> WindowScore:
        cells = [s.values for s in window.slices.values() if np.isfinite(s.values).any()]  # type: ignore[union-attr]
        self._mean = 0.3 * self._mean + 0.7 * max((float(np.nanmax(c)) for c in cells), default=0.0)
        missing = tuple(n for n, s in window.slices.items() if not s.coverage)
        span = (window.start_ns, window.end_ns)
        p = 10.0**-self._mean
        detectors = {f"sensor:{name}": p for name in window.slices}
        return WindowScore("room", window.index, *span, p, detectors, missing=missing)


def build(_deployment: object, *, writer: EvidenceWriter | None = None, **_rest: Any) -> Assembly:
    """The engine of the room."""
    settings = AlarmSettings(clear_after_s=1.0, update_every_s=1.0)
    options = {name: StreamOptions(grid_hz=float(HZ), max_gap_ns=SECOND) for name in STREAMS}
    aligner = AlignerSettings(scene="room", streams=tuple(STREAMS), options=options).build()
    alarm = Alarm(settings, "room", threshold=3.0, hop_ns=HOP_NS)
    rules = SightSettings(after_s=2.5, clear_after_s=1.0, startup_s=4.0)
    nodes = {node: (stream,) for stream, node in STREAMS.items()}
    sight = {"room": SightScene(rules, tuple(STREAMS), nodes, 4 * HOP_NS, HOP_NS)}
    engine = Engine(
        [Scene("room", aligner, alarm)],
        {"room": tuple(STREAMS)},
        RememberingScorer(),  # type: ignore[arg-type]
        EvidenceKeeper(5.0, writer, {"room": tuple(STREAMS)}),
        health=Equipment(sight=sight),
    )
    return Assembly(engine, {})


def room(folder: Path) -> World:
    """The room, its data in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "d.yaml").write_text(DEPLOYMENT)
    deployment = load_deployment(folder / "d.yaml")
    nodes = {node: CaptureNode(node, [info(stream)]) for stream, node in STREAMS.items()}
    return World(deployment, nodes, build)


def script(turn_s: float = 0.5, seconds: float = SECONDS) -> list[Turn]:
    """What happens in the room, in turns of the loop."""
    turns = []
    for number in range(round(seconds / turn_s)):
        first, last = round(number * turn_s * HZ), round((number + 1) * turn_s * HZ)
        samples: Mapping[str, list[Sample]] = {node: [] for node in STREAMS.values()}
        for place in range(first, last):
            for stream, node in STREAMS.items():
                sample = _reading(stream, place)
                if sample is not None:
                    samples[node].append(sample)
        turns.append(Turn(START_NS + last * SECOND // HZ + 20_000_000, samples))
    return turns


def _reading(stream: str, place: int) -> Sample | None:
    at_s = place / HZ
    if stream == "b" and SILENT_S[0] <= at_s < SILENT_S[1]:
        return None
    level = 5.0 + place % 5 if LOUD_S[0] <= at_s < LOUD_S[1] else 0.1
    stamp_ns = START_NS + place * SECOND // HZ
    return Sample(stream, 0, stamp_ns, np.array([level]), Encoding.FLOAT)
