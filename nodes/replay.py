"""Replay: recordings through the very engine that ran live.

Each arrival is taken at the time at which it was recorded, so the same windows, scores and
events come out. Where a recording stops without saying that its streams ended, they are ended
there.
"""

from __future__ import annotations

import csv
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from nodes.assembly import build_engine
from nodes.turn_span import TURN_NS, TurnSpan
from pipeline.config.deployment import Deployment
from pipeline.core.arrival import Arrival, SampleArrived, StreamEnded, StreamOpened, fusion_began
from pipeline.core.event import Event, to_json
from pipeline.detection.calibration import Budget
from pipeline.detection.engine import Engine
from pipeline.detection.evidence_writer import EvidenceWriter
from pipeline.detection.outcome import Outcome
from pipeline.detection.score import WindowScore
from pipeline.recording.merge import read_many
from pipeline.recording.reader import Recording

log = structlog.get_logger(__name__)

SECOND_NS = 1_000_000_000


@dataclass(slots=True)
class Replayed:
    """What a replay gave.

    Attributes:
        start_ns: Site time that second 0 stands for.
        events: Every phase, in order.
        scores: One per scored window, in order.
        budgets: Threshold per scene.
        windows: How many windows were cut, scored or not.
    """

    start_ns: int
    events: list[Event] = field(default_factory=list)
    scores: list[WindowScore] = field(default_factory=list)
    budgets: Mapping[str, Budget] = field(default_factory=dict)
    windows: int = 0


def replay(
    recordings: Sequence[Path],
    deployment: Deployment,
    *,
    models: Mapping[str, Path] | None = None,
    from_s: float | None = None,
    to_s: float | None = None,
    writer: EvidenceWriter | None = None,
    pace: Callable[[int], None] | None = None,
) -> Replayed:
    """Replay recordings of one run.

    Args:
        recordings: Files, in any order; they are read as one.
        deployment: Scenes and alarms.
        models: Model file per scene instead of the deployment's.
        from_s: Begin at this second of the recording.
        to_s: End at this second of the recording.
        writer: Writes evidence files; None: none are written.
        pace: Called with each sample's arrival time before it is taken; None: as fast as it
            goes.

    Raises:
        RecordingError: A recording cannot be read.
        ModelError: A model cannot be used.
    """
    assembly = build_engine(deployment, models=models, writer=writer)
    start_ns = start_of(recordings)
    result = Replayed(start_ns, budgets=assembly.budgets)
    arrivals = arrivals_of(recordings, start_ns, from_s, to_s)
    for _, outcome in driven(assembly.engine, arrivals if pace is None else paced(arrivals, pace)):
        _gather(result, outcome)
    return result


def paced(arrivals: Iterable[Arrival], pace: Callable[[int], None]) -> Iterator[Arrival]:
    """Arrivals, each sample of which waits for its time."""
    for arrival in arrivals:
        # What is not a sample is kept outside the span too, and must not be waited for.
        if isinstance(arrival, SampleArrived):
            pace(arrival.arrival_ns)
        yield arrival


def driven(
    engine: Engine, arrivals: Iterable[Arrival], bounds_ns: Sequence[int] = ()
) -> Iterator[tuple[int, Outcome]]:
    """Give the engine arrivals, a few seconds of them at a time, and score what they completed.

    What comes of them is what `drive` gives of one after the other, for less: windows in a row
    are scored together. The engine may be some seconds ahead of what is asked for.

    Args:
        engine: The engine.
        arrivals: In their order.
        bounds_ns: Times at which a new turn begins.

    Yields:
        When the first of these arrivals came, and what came of them.
    """
    bounds, span = sorted(bounds_ns), TurnSpan()
    first_ns: int | None = None
    for arrival in arrivals:
        now_ns = arrival.arrival_ns
        apart = first_ns is not None and _apart(first_ns, now_ns, bounds)
        if apart:
            span.begin()
        if first_ns is not None and (span.over(arrival) or apart):
            yield first_ns, engine.collect()
            first_ns = None
        first_ns = now_ns if first_ns is None else first_ns
        engine.take(arrival)
    if first_ns is not None:
        yield first_ns, engine.collect()


def _apart(first_ns: int, now_ns: int, bounds_ns: Sequence[int]) -> bool:
    """Whether an arrival belongs to another turn than an earlier one."""
    if not 0 <= now_ns - first_ns < TURN_NS:
        return True
    return bisect(bounds_ns, first_ns) != bisect(bounds_ns, now_ns)


def drive(engine: Engine, arrival: Arrival) -> Outcome:
    """Give the engine one arrival and score what it completed."""
    engine.take(arrival)
    return engine.collect()


def start_of(recordings: Sequence[Path]) -> int:
    """Site time of second 0, see `Recording.origin_ns`; the earliest of all files."""
    starts = []
    for path in recordings:
        with Recording(path) as recording:
            if recording.totals:
                starts.append(recording.origin_ns)
            if recording.truncated:
                log.warning("recording is cut off", file=str(path), what=recording.truncated)
    return min(starts, default=0)


def arrivals_of(
    recordings: Sequence[Path], start_ns: int, from_s: float | None, to_s: float | None
) -> Iterator[Arrival]:
    """Arrivals of one run, with the end of every stream at its end."""
    from_ns = None if from_s is None else start_ns + round(from_s * SECOND_NS)
    to_ns = None if to_s is None else start_ns + round(to_s * SECOND_NS)
    return ended(spanned(read_many(recordings), from_ns, to_ns))


def spanned(
    arrivals: Iterable[Arrival], from_ns: int | None, to_ns: int | None
) -> Iterator[Arrival]:
    """Arrivals without the samples stamped outside ``[from_ns, to_ns)``.

    The time of those is none in which nothing came: about every second of it stands for the
    fusion node not being there yet, or any more.
    """
    told_ns = 0
    for arrival in arrivals:
        if not isinstance(arrival, SampleArrived) or _within(arrival, from_ns, to_ns):
            yield arrival
        elif arrival.arrival_ns - told_ns >= SECOND_NS:
            told_ns = arrival.arrival_ns
            yield fusion_began(told_ns)


def _within(arrival: SampleArrived, from_ns: int | None, to_ns: int | None) -> bool:
    time_ns = arrival.sample.timestamp_ns
    return (from_ns is None or time_ns >= from_ns) and (to_ns is None or time_ns < to_ns)


def ended(arrivals: Iterable[Arrival]) -> Iterator[Arrival]:
    """Arrivals, and at the end an end for each stream that had none."""
    standing: dict[str, str] = {}
    last_ns = 0
    for arrival in arrivals:
        last_ns = arrival.arrival_ns
        if isinstance(arrival, StreamOpened):
            standing[arrival.info.name] = arrival.node
        elif isinstance(arrival, StreamEnded):
            standing.pop(arrival.stream, None)
        yield arrival
    for stream, node in standing.items():
        yield StreamEnded(last_ns, node, stream)


def write_events(path: Path, events: Iterable[Event]) -> None:
    """One line of canonical JSON per phase, as the jsonl sink writes them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out:
        for event in events:
            out.write(to_json(event) + b"\n")


def write_scores(path: Path, scores: Sequence[WindowScore], start_ns: int) -> None:
    """One row a window: scene, start_s, end_s, p, and one p per detector (empty: not seen)."""
    detectors = sorted({name for score in scores for name in score.detectors})
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["start_s", "end_s", "p", *detectors, "scene"])
        for score in scores:
            span = (score.start_ns - start_ns, score.end_ns - start_ns)
            rows.writerow(
                [
                    *(f"{t / SECOND_NS:.3f}" for t in span),
                    repr(score.p),
                    *(repr(score.detectors[d]) if d in score.detectors else "" for d in detectors),
                    score.scene,
                ]
            )


def _gather(result: Replayed, outcome: Outcome) -> None:
    result.events.extend(outcome.events)
    result.scores.extend(outcome.scores)
    result.windows += len(outcome.windows)
