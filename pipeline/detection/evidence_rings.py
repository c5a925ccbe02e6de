"""The latest of each stream and scene, until an event wants it.

Samples are held as they arrived, full size, not the small pictures that the model works on.

An event is raised, and asks for what was before it, some time after its start: its alarm waits, or
its windows are long. A ring goes back as far as that needs, and `RING_EXTRA_S` beyond
`before_s` at least. Samples further back are held only while those of their stream take no more
memory than one event may keep of pictures.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from pipeline.core.arrival import SampleArrived
from pipeline.detection.evidence_material import PICTURES
from pipeline.recording.scores import RecordedScore

RING_EXTRA_S = 15.0
SECOND_NS = 1_000_000_000
_SAMPLE_BYTES = 512  # what a sample takes beside its payload


@dataclass(slots=True)
class _Ring:
    """Of one stream.

    Attributes:
        reach_ns: So far it goes back.
        arrived: Its samples.
        size: Bytes that they take.
    """

    reach_ns: int
    arrived: deque[SampleArrived] = field(default_factory=deque)
    size: int = 0

    def append(self, arrived: SampleArrived) -> None:
        self.arrived.append(arrived)
        self.size += _size_of(arrived)

    def age_ns(self) -> int:
        """How far the oldest is from the latest, whichever way the clock was set."""
        return abs(self.arrived[-1].sample.timestamp_ns - self.arrived[0].sample.timestamp_ns)

    def drop(self) -> None:
        self.size -= _size_of(self.arrived.popleft())


class EvidenceRings:
    """See the module.

    Args:
        before_s: Seconds before the start of an event that it shows.
        streams: Streams of each scene, by scene name.
        waits_s: Longest from the start of an event to its raising, by scene name, seconds.
        limit_mb: Most that is kept of one event, MiB.
    """

    def __init__(
        self,
        before_s: float,
        streams: Mapping[str, Sequence[str]],
        waits_s: Mapping[str, float],
        limit_mb: float,
    ) -> None:
        self._least_ns = round((before_s + RING_EXTRA_S) * SECOND_NS)
        self._limit = round(PICTURES * limit_mb * 2**20)
        self._scenes_ns = {
            scene: max(self._least_ns, round((before_s + wait_s) * SECOND_NS))
            for scene, wait_s in waits_s.items()
        }
        self._reaches_ns: dict[str, int] = {}
        for scene, used in streams.items():
            for stream in used:
                longest_ns = max(self._reach_ns(scene), self._reaches_ns.get(stream, 0))
                self._reaches_ns[stream] = longest_ns
        self._rings: dict[str, _Ring] = {}
        self._scores: dict[str, deque[RecordedScore]] = {}

    def keep(self, arrived: SampleArrived) -> None:
        """Remember a sample for a while."""
        stream = arrived.sample.stream
        ring = self._rings.get(stream)
        if ring is None:
            reach_ns = self._reaches_ns.get(stream, self._least_ns)
            ring = self._rings[stream] = _Ring(reach_ns)
        ring.append(arrived)
        while (age_ns := ring.age_ns()) > self._least_ns:
            if age_ns <= ring.reach_ns and ring.size <= self._limit:
                return
            ring.drop()

    def scored(self, told: RecordedScore) -> None:
        """Remember what a window scored for a while."""
        ring = self._scores.setdefault(told.scene, deque())
        ring.append(told)
        while abs(told.end_ns - ring[0].end_ns) > self._reach_ns(told.scene):
            ring.popleft()

    def of(self, stream: str) -> Sequence[SampleArrived]:
        """What is remembered of a stream, in order of arrival."""
        ring = self._rings.get(stream)
        return () if ring is None else ring.arrived

    def since(self, from_ns: int, streams: Sequence[str]) -> list[SampleArrived]:
        """Samples of these streams with stamps from then on, in order of arrival."""
        ringed = chain.from_iterable(self.of(stream) for stream in streams)
        samples = [arrived for arrived in ringed if arrived.sample.timestamp_ns >= from_ns]
        return sorted(samples, key=lambda arrived: arrived.arrival_ns)

    def scores_since(self, from_ns: int, scene: str) -> list[RecordedScore]:
        """Scores of windows that ended after then."""
        return [told for told in self._scores.get(scene, ()) if told.end_ns > from_ns]

    def _reach_ns(self, scene: str) -> int:
        """How far back from now what an event of a scene shows may begin."""
        return self._scenes_ns.get(scene, self._least_ns)


def _size_of(arrived: SampleArrived) -> int:
    return arrived.sample.nbytes + _SAMPLE_BYTES
