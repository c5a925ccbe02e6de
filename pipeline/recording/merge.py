"""Several recordings read as one: the files of a folder, or of several nodes."""

from __future__ import annotations

import heapq
import resource
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.core.arrival import Arrival, HopSet, StreamEnded, StreamOpened
from pipeline.core.errors import RecordingError
from pipeline.core.event import Event
from pipeline.core.sample import StreamInfo
from pipeline.recording.decoding import Recorded
from pipeline.recording.layout import StreamTotal
from pipeline.recording.reader import Recording
from pipeline.recording.standing import standing

_OTHER_FILES = 256
"""What else a process may have open."""


class RecordingSet:
    """Recordings opened together; has the face of a single `Recording`.

    Args:
        paths: The MCAP files, in any order.

    Raises:
        RecordingError: No file was named, or one of them is no recording.
    """

    def __init__(self, paths: Sequence[Path | str]) -> None:
        if not paths:
            raise RecordingError("no recording was named")
        _allow_open(len(paths))
        with ExitStack() as opened:
            self.parts = tuple(opened.enter_context(Recording(path)) for path in paths)
            self._opened = opened.pop_all()

    @property
    def streams(self) -> Mapping[str, StreamInfo]:
        """What each stream is; where files differ, as the last of them says."""
        return {name: info for part in self.parts for name, info in part.streams.items()}

    @property
    def control(self) -> Iterator[StreamOpened | StreamEnded | HopSet]:
        """Every announcement and end of a stream, every change of a hop, in order of arrival."""
        return heapq.merge(*(part.control for part in self.parts), key=lambda c: c.arrival_ns)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the nodes that announced streams."""
        return tuple(dict.fromkeys(node for part in self.parts for node in part.nodes))

    @property
    def scenes(self) -> Mapping[str, tuple[str, ...]]:
        """Streams of each scene, those of all files together."""
        scenes: dict[str, tuple[str, ...]] = {}
        for part in self.parts:
            for name, streams in part.scenes.items():
                scenes[name] = tuple(dict.fromkeys((*scenes.get(name, ()), *streams)))
        return scenes

    @property
    def totals(self) -> Mapping[str, StreamTotal]:
        """Samples, span and bytes of each stream over all files."""
        totals: dict[str, StreamTotal] = {}
        for part in self.parts:
            for name, new in part.totals.items():
                old = totals.get(name)
                totals[name] = _joined(old, new) if old else new
        return totals

    @property
    def start_ns(self) -> int:
        """Earliest stamp of any sample, nanoseconds; 0 when there is none."""
        return min((total.start_ns for total in self.totals.values()), default=0)

    @property
    def end_ns(self) -> int:
        """Latest stamp of any sample, nanoseconds; 0 when there is none."""
        return max((total.end_ns for total in self.totals.values()), default=0)

    @property
    def truncated(self) -> str | None:
        """What is missing at the end of any of the files; None when all are whole."""
        cut = [f"{part.path}: {part.truncated}" for part in self.parts if part.truncated]
        return "; ".join(cut) or None

    @property
    def faults(self) -> tuple[str, ...]:
        """What could not be read so far, in words, file by file."""
        return tuple(f"{part.path}: {fault}" for part in self.parts for fault in part.faults)

    def arrivals(self, from_ns: int | None = None, to_ns: int | None = None) -> Iterator[Arrival]:
        """What arrived in ``[from_ns, to_ns)`` by arrival time, files merged in that order.

        At the same time the file named first comes first. An announcement that only repeats
        what an earlier file said is left out, so the files of one run give that run.
        """
        opened: list[StreamOpened | HopSet] = []
        if from_ns is not None:
            opened = list(standing(self.control, from_ns))
        yield from opened
        parts = (part.recorded(from_ns, to_ns) for part in self.parts)
        if len(self.parts) == 1:
            yield from (recorded.arrival for recorded in next(parts))
            return
        merged = heapq.merge(*parts, key=lambda recorded: recorded.arrival.arrival_ns)
        yield from _without_repeats(merged, opened)

    def events(self) -> Iterator[tuple[int, Event]]:
        """Events of all files in order of the time they were recorded at."""
        return heapq.merge(*(part.events() for part in self.parts), key=lambda item: item[0])

    def close(self) -> None:
        """Let go of all files; may be called twice."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read_many(
    paths: Sequence[Path | str], from_ns: int | None = None, to_ns: int | None = None
) -> Iterator[Arrival]:
    """Arrivals of several recordings in one order of time, see `RecordingSet.arrivals`.

    Raises:
        RecordingError: No file was named, or one of them is no recording.
    """
    with RecordingSet(paths) as recordings:
        yield from recordings.arrivals(from_ns, to_ns)


def _allow_open(files: int) -> None:
    """See that so many files may be open at once, as far as this process may say so itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(files + _OTHER_FILES, hard if hard != resource.RLIM_INFINITY else sys.maxsize)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _joined(first: StreamTotal, second: StreamTotal) -> StreamTotal:
    return StreamTotal(
        second.node,
        first.samples + second.samples,
        min(first.start_ns, second.start_ns),
        max(first.end_ns, second.end_ns),
        first.nbytes + second.nbytes,
    )


def _without_repeats(
    merged: Iterable[Recorded], opened: Iterable[StreamOpened | HopSet]
) -> Iterator[Arrival]:
    known = {(o.node, o.info.name): o.info for o in opened if isinstance(o, StreamOpened)}
    hops = {said.scene: said.times for said in opened if isinstance(said, HopSet)}
    for recorded in merged:
        arrival = recorded.arrival
        if isinstance(arrival, StreamOpened):
            key = (arrival.node, arrival.info.name)
            if recorded.repeated and known.get(key) == arrival.info:
                continue
            known[key] = arrival.info
        elif isinstance(arrival, StreamEnded):
            known.pop((arrival.node, arrival.stream), None)
        elif isinstance(arrival, HopSet):
            if recorded.repeated and hops.get(arrival.scene) == arrival.times:
                continue
            hops[arrival.scene] = arrival.times
        yield arrival
