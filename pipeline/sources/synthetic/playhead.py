"""Going through a site in time: samples of all its streams, merged by their stamps.

Frame *k* stands at ``k / fps`` and reading *k* at ``k / sensor_hz``, counted from scene
second 0; audio chunks lie on their own grid from second 0 and are cut at the span's ends. A
frame or a reading is due at its stamp, a chunk when its last sample is over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.core.sample import Encoding, Sample
from pipeline.sources.synthetic.reel import Reel
from pipeline.sources.synthetic.settings import SiteSettings

SECOND_NS = 1_000_000_000


@dataclass(slots=True)
class _Head:
    """Where one stream stands.

    Attributes:
        stream: Its name.
        kind: ``video``, ``audio`` or ``sensor``.
        rate_hz: Frames, samples or readings a second.
        index: Next frame, sample or reading.
        end: First one that is not wanted; None for no end.
        chunk: Samples in an audio chunk, else 1.
        first: First index of this epoch, from which audio positions count.
    """

    stream: str
    kind: str
    rate_hz: float
    index: int
    end: int | None
    chunk: int
    first: int

    @property
    def done(self) -> bool:
        """Whether the span is over."""
        return self.end is not None and self.index >= self.end

    def count(self) -> int:
        """Samples in the next audio chunk, up to the grid or the end."""
        count = self.chunk - self.index % self.chunk
        return count if self.end is None else min(count, self.end - self.index)

    def stamp_ns(self) -> int:
        """Stamp of what comes next, nanoseconds after scene second 0."""
        return _ns(self.index, self.rate_hz)

    def due_ns(self) -> int:
        """When what comes next is complete, nanoseconds after scene second 0."""
        return _ns(self.index + self.count(), self.rate_hz) if self.chunk > 1 else self.stamp_ns()


class Playhead:
    """Gives the samples of a span in the order of their stamps.

    Args:
        reel: The site.
        start_ns: Site time of scene second 0.
        from_s: First scene second.
        to_s: End, exclusive; None for no end.
    """

    def __init__(self, reel: Reel, start_ns: int, from_s: float, to_s: float | None) -> None:
        self._reel = reel
        self._start_ns = start_ns
        self._heads = _heads(reel.settings, from_s, to_s)

    @property
    def done(self) -> bool:
        """Whether everything was given."""
        return not self._heads

    def next_stamp_ns(self) -> int:
        """Stamp of the next sample, nanoseconds after scene second 0."""
        return min(head.stamp_ns() for head in self._heads)

    def next_due_ns(self) -> int:
        """When the next sample of any stream is complete, nanoseconds after scene second 0."""
        return min(head.due_ns() for head in self._heads)

    def take(self) -> Sample:
        """The sample with the earliest stamp."""
        return self._advance(min(self._heads, key=_Head.stamp_ns))

    def take_due(self, now_ns: int) -> list[Sample]:
        """All samples that are complete at a time, by their stamps."""
        samples = []
        while due := [head for head in self._heads if head.due_ns() <= now_ns]:
            samples.append(self._advance(min(due, key=_Head.stamp_ns)))
        return sorted(samples, key=lambda sample: sample.timestamp_ns)

    def _advance(self, head: _Head) -> Sample:
        sample = self._sample(head)
        head.index += head.count() if head.chunk > 1 else 1
        if head.done:
            self._heads.remove(head)
        return sample

    def _sample(self, head: _Head) -> Sample:
        stamp = self._start_ns + head.stamp_ns()
        if head.kind == "audio":
            pcm = self._reel.sound(head.index, head.count())
            return Sample(
                head.stream, 0, stamp, pcm, Encoding.PCM, position=head.index - head.first
            )
        if head.kind == "video":
            data, encoding = self._reel.image(head.index)
            return Sample(head.stream, 0, stamp, data, encoding)
        return Sample(head.stream, 0, stamp, self._reel.reading(head.index), Encoding.FLOAT)


def samples(
    settings: SiteSettings, start_ns: int, *, from_s: float, to_s: float
) -> Iterator[Sample]:
    """All samples of scene seconds ``[from_s, to_s)`` in the order of their stamps.

    No clock is involved. What comes out is the same however the span is cut; only audio
    positions count from the first sample given.

    Args:
        settings: The site; its own `start`, `from_s`, `duration_s` and `speed` play no part.
        start_ns: Site time of scene second 0.
        from_s: First scene second.
        to_s: End, exclusive.
    """
    playhead = Playhead(Reel(settings), start_ns, from_s, to_s)
    while not playhead.done:
        yield playhead.take()


def _heads(settings: SiteSettings, from_s: float, to_s: float | None) -> list[_Head]:
    chunk = settings.audio_hz * settings.audio_chunk_ms // 1_000
    wanted = (
        (settings.video, "video", settings.fps, 1),
        (settings.audio, "audio", float(settings.audio_hz), chunk),
        (settings.sensor, "sensor", settings.sensor_hz, 1),
    )
    heads = []
    for stream, kind, rate_hz, size in wanted:
        if stream is None:
            continue
        first = _index(from_s, rate_hz)
        end = None if to_s is None else _index(to_s, rate_hz)
        head = _Head(stream, kind, rate_hz, first, end, size, first)
        if not head.done:
            heads.append(head)
    return heads


def _index(t_s: float, rate_hz: float) -> int:
    """The first index at or after a scene second, forgiving the rounding of decimals."""
    return math.ceil(round(t_s * rate_hz, 6))


def _ns(index: int, rate_hz: float) -> int:
    if rate_hz.is_integer():
        return index * SECOND_NS // int(rate_hz)
    return round(index * SECOND_NS / rate_hz)
