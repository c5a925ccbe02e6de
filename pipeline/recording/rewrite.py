"""Part of a recording, or several as one, as a new recording.

A cut begins with the streams that are open then and holds what *arrived* in its span, so that
it replays as that time did live; second 0 of it is where it was cut. Several recordings are
merged by arrival; an announcement that only repeats an earlier file's is left out. Events and
clock offsets go along. The new file is removed again when it cannot be finished.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.core.arrival import SampleArrived
from pipeline.core.errors import RecordingError
from pipeline.recording.layout import ORIGIN
from pipeline.recording.merge import RecordingSet
from pipeline.recording.reader import Recording
from pipeline.recording.writer import RecordingWriter

Step = tuple[int, int, int, Callable[[], None]]
"""Time, kind and number of what is to be written, and what writes it."""

_SAMPLE, _CLOCK, _EVENT = range(3)  # at the same time in this order


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What is in the new recording.

    Attributes:
        samples: Samples.
        events: Events.
        faults: What of the old ones could not be read, in words.
    """

    samples: int
    events: int
    faults: tuple[str, ...]


def rewrite(
    paths: Sequence[Path],
    output: Path,
    *,
    from_ns: int | None = None,
    to_ns: int | None = None,
    overwrite: bool = False,
) -> Rewritten:
    """Make a recording of others.

    Args:
        paths: The recordings.
        output: The new one.
        from_ns: Only what arrived from this site time on.
        to_ns: Only what arrived before this.
        overwrite: Replace an existing file.

    Raises:
        RecordingError: One cannot be read, the new one not be written, or it would be empty.
    """
    if any(path.resolve() == output.resolve() for path in paths):
        raise RecordingError("the new recording would replace an old one", where=str(output))
    with RecordingSet(paths) as recordings:
        origin_ns = min(part.origin_ns for part in recordings.parts)
        notes = {ORIGIN: str(origin_ns if from_ns is None else from_ns)}
        name = recordings.parts[0].deployment
        writer = RecordingWriter(
            output, deployment=name, scenes=recordings.scenes, notes=notes, overwrite=overwrite
        )
        try:
            with writer:
                samples, events = _copy(recordings, writer, from_ns, to_ns)
            if not samples:
                raise RecordingError("nothing in this span", where=", ".join(map(str, paths)))
        except BaseException:
            output.unlink(missing_ok=True)
            raise
        cut = recordings.truncated
        return Rewritten(samples, events, (*recordings.faults, *([cut] if cut else ())))


def _copy(
    recordings: RecordingSet, writer: RecordingWriter, from_ns: int | None, to_ns: int | None
) -> tuple[int, int]:
    """Write all in one order of time; how many samples and events there were."""

    def inside(time_ns: int) -> bool:
        return (from_ns is None or time_ns >= from_ns) and (to_ns is None or time_ns < to_ns)

    counts = [0, 0]

    def arrivals() -> Iterator[Step]:
        for number, arrival in enumerate(recordings.arrivals(from_ns, to_ns)):
            counts[0] += isinstance(arrival, SampleArrived)
            yield arrival.arrival_ns, _SAMPLE, number, partial(writer.write, arrival)

    def offsets(part: Recording) -> Iterator[Step]:
        for number, one in enumerate(part.clock_offsets()):
            if inside(one.arrival_ns):
                values = one.node, one.offset_ns, one.uncertainty_ns, one.arrival_ns
                yield one.arrival_ns, _CLOCK, number, partial(writer.clock_offset, *values)

    def events() -> Iterator[Step]:
        for number, (time_ns, event) in enumerate(recordings.events()):
            if inside(time_ns):
                counts[1] += 1
                yield time_ns, _EVENT, number, partial(writer.event, event, time_ns)

    parts = [arrivals(), *map(offsets, recordings.parts), events()]
    for _, _, _, write in heapq.merge(*parts, key=lambda step: step[:3]):
        write()
    return counts[0], counts[1]
