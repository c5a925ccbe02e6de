"""How much happens in a stream, and when: what two streams of one place can be compared by.

Whatever a stream shows, it becomes onsets per stretch of time: by how much it changes more than
just before. What changes of a picture is the mean brightness of its pixels from frame to frame,
less what the whole became darker by, of sound the level from one hundredth of a second to the
next, of a sensor the largest step among its channels, of a fast one in a hundredth of a second. A
lamp is so counted when it goes on and not when it goes off, however long it was on, and a sound
when it begins. What rises on in the next stretch counts where it was first noticed: a picture
that is exposed while a lamp goes on is lit in part, and the rest of the rise is seen in the one
after it. Onsets are in units of their own usual spread and end at `CEILING`, so that one loud
moment does not outweigh all others.

It is gathered sample by sample: no picture and no sound is kept, only how much changed. A sample
whose stamp goes back has no place in what was gathered before it; it is passed over and counted.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from pipeline.core.errors import AlignmentError
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]

CEILING = 30.0
_SIDE = 64  # pixels of the small picture
_HOP_S = 0.01
_BEFORE_SOUND, _BEFORE = 4, 2  # stretches whose largest is what an onset rises above
_QUIET = 1e-4  # level below which sound is silence
_NOTICED = 6.0  # spreads, which noise seldom rises by
_LEAST = 3  # stretches


@dataclass(frozen=True, slots=True)
class Activity:
    """Change per stretch of time.

    Attributes:
        name: The stream.
        begin_ns: Begin of each stretch, ``(n,)``.
        end_ns: Its end; stretches grow and do not overlap.
        amount: How much more changed in it than just before, 0 to `CEILING`, ``(n,)``.
    """

    name: str
    begin_ns: Times
    end_ns: Times
    amount: Floats

    @property
    def stretch_ns(self) -> int:
        """Usual length of a stretch: how exactly a moment is known."""
        return int(np.median(self.end_ns - self.begin_ns))

    def between(self, first_ns: int, last_ns: int) -> Activity:
        """Only what lies in a span."""
        kept = (self.begin_ns >= first_ns) & (self.end_ns <= last_ns)
        return Activity(self.name, self.begin_ns[kept], self.end_ns[kept], self.amount[kept])


class ActivityMeter:
    """Gathers the activity of one stream.

    Args:
        info: The stream: video, audio or sensor.
        keep_ns: What is older than this before the newest is forgotten; None: nothing is.

    Attributes:
        passed_over: Samples whose stamp went back.

    Raises:
        AlignmentError: Text.
    """

    def __init__(self, info: StreamInfo, keep_ns: int | None = None) -> None:
        self._info = info
        self._probe = _probe_of(info)
        self._keep_ns = keep_ns
        self._newest_ns: int | None = None
        self._pieces: deque[_Piece] = deque()
        self.passed_over = 0

    def take(self, sample: Sample) -> None:
        """Take in one sample."""
        if self._newest_ns is not None and sample.timestamp_ns < self._newest_ns:
            self.passed_over += 1
            return
        self._newest_ns = sample.timestamp_ns
        piece = self._probe.take(sample)
        if piece is not None:
            self._pieces.append(piece)
        if self._keep_ns is not None:
            self._forget(self._newest_ns - self._keep_ns)

    def activity(self) -> Activity:
        """The activity of what was gathered.

        Raises:
            AlignmentError: Too few samples to tell.
        """
        count = sum(len(piece.values) for piece in self._pieces)
        if count < _LEAST:
            raise AlignmentError(f"only {count} changes to compare by", where=self._info.name)
        values = np.concatenate([piece.values for piece in self._pieces])
        rises = _in_spreads(_rises(self._probe.change(values), self._probe.before))
        begin_ns = np.concatenate([piece.begin_ns for piece in self._pieces])
        end_ns = np.concatenate([piece.end_ns for piece in self._pieces])
        amount = np.minimum(_where_begun(rises), CEILING)
        return Activity(self._info.name, begin_ns, end_ns, amount)

    def _forget(self, before_ns: int) -> None:
        while self._pieces and self._pieces[0].end_ns[-1] < before_ns:
            self._pieces.popleft()


@dataclass(frozen=True, slots=True)
class _Piece:
    """What one sample adds.

    Attributes:
        begin_ns: Begin of each stretch, ``(k,)``.
        end_ns: Its end.
        values: What was seen in it, ``(k, channels)``.
    """

    begin_ns: Times
    end_ns: Times
    values: Floats


class _Probe(Protocol):
    """What is looked at in the samples of a modality."""

    before: int

    def take(self, sample: Sample) -> _Piece | None:
        """What a sample adds; None when nothing."""
        ...

    def change(self, values: Floats) -> Floats:
        """One number per stretch, ``(n,)``, of what was seen, ``(n, channels)``."""
        ...


def _probe_of(info: StreamInfo) -> _Probe:
    if info.modality is Modality.VIDEO:
        return _PictureProbe()
    if info.modality is Modality.AUDIO:
        return _SoundProbe(info.rate_hz or 1.0)
    if info.modality is Modality.SENSOR:
        return _SensorProbe()
    raise AlignmentError("text has no activity to compare", where=info.name)


class _PictureProbe:
    """Mean change of brightness from one picture to the next."""

    before = _BEFORE

    def __init__(self) -> None:
        self._last: tuple[int, npt.NDArray[np.float32]] | None = None

    def take(self, sample: Sample) -> _Piece | None:
        picture = _small(sample)
        if picture is None:
            return None
        last, self._last = self._last, (sample.timestamp_ns, picture)
        if last is None:
            return None
        return _between(last[0], sample.timestamp_ns, [_change(picture - last[1])])

    def change(self, values: Floats) -> Floats:
        # What became darker is taken off, to less than usual; that it is usual again is no rise.
        return np.maximum(values[:, 0], np.median(values[:, 0]))


class _SoundProbe:
    """Level of each hop, chunk by chunk; what is left of a chunk is left out.

    Args:
        rate_hz: Samples a second.
    """

    before = _BEFORE_SOUND

    def __init__(self, rate_hz: float) -> None:
        self._rate_hz = rate_hz
        self._hop = max(1, round(rate_hz * _HOP_S))

    def take(self, sample: Sample) -> _Piece | None:
        sound, hop = np.asarray(sample.data), self._hop
        loud = sound.astype(np.float64) / (32768.0 if sound.dtype == np.int16 else 1.0)
        count = len(loud) // hop
        if not count:
            return None
        power = np.square(loud[: count * hop]).mean(axis=1).reshape(count, hop).mean(axis=1)
        begins = np.rint(np.arange(count) * hop / self._rate_hz * 1e9).astype(np.int64)
        begin_ns = sample.timestamp_ns + begins
        level = 20.0 * np.log10(np.sqrt(power) + _QUIET)
        return _Piece(begin_ns, begin_ns + round(hop / self._rate_hz * 1e9), level[:, None])

    def change(self, values: Floats) -> Floats:
        return values[:, 0]


class _SensorProbe:
    """Largest step of each channel from one reading to the next, per stretch.

    A stretch lasts from one reading to the next, or as near to a hop as readings allow: kept each
    by itself, those of a fast sensor would take more memory than all other streams together.
    """

    before = _BEFORE

    def __init__(self) -> None:
        self._begin_ns = 0
        self._steps: Floats | None = None  # of the stretch that is not yet long enough
        self._last: tuple[int, Floats] | None = None

    def take(self, sample: Sample) -> _Piece | None:
        reading = np.asarray(sample.data, np.float64).ravel()
        last, self._last = self._last, (sample.timestamp_ns, reading)
        if last is None:
            return None
        step = np.nan_to_num(np.abs(reading - last[1]), nan=0.0)
        if self._steps is None:
            self._begin_ns, self._steps = last[0], step
        else:
            self._steps = np.maximum(self._steps, step)
        half_ns = (sample.timestamp_ns - last[0]) / 2
        if sample.timestamp_ns - self._begin_ns + half_ns < _HOP_S * 1e9:
            return None
        steps, self._steps = self._steps, None
        return _between(self._begin_ns, sample.timestamp_ns, steps)

    def change(self, values: Floats) -> Floats:
        usual = np.array([_spread(column) for column in values.T])
        return np.asarray((values / usual).max(axis=1))


def _between(begin_ns: int, end_ns: int, values: npt.ArrayLike) -> _Piece:
    """One stretch."""
    times = np.array([begin_ns, end_ns], np.int64)
    return _Piece(times[:1], times[1:], np.asarray(values, np.float64)[None, :])


def _change(difference: npt.NDArray[np.float32]) -> float:
    """Mean change of the pixels, less what the whole became darker by."""
    return float(np.abs(difference).mean() + min(0.0, float(difference.mean())))


def _small(sample: Sample) -> npt.NDArray[np.float32] | None:
    """A small grey picture; None of a frame that is damaged."""
    if sample.encoding is Encoding.JPEG:
        try:
            found = simplejpeg.decode_jpeg(
                bytes(sample.data),  # type: ignore[arg-type]
                colorspace="GRAY",
                min_height=_SIDE,
                min_width=_SIDE,
            )[..., 0]
        except ValueError:
            return None
    else:
        found = cv2.cvtColor(np.ascontiguousarray(sample.data), cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.resize(found, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.float32)


def _rises(values: Floats, before: int) -> Floats:
    """By how much each rises above the largest of those before it; none for the first."""
    earlier = np.full((before, len(values)), -np.inf)
    for back in range(1, before + 1):
        earlier[back - 1, back:] = values[:-back]
    found: Floats = np.maximum(values - earlier.max(axis=0, initial=-np.inf), 0.0)
    found[:before] = 0.0
    return found


def _in_spreads(change: Floats) -> Floats:
    return np.maximum((change - np.median(change)) / _spread(change), 0.0)


def _where_begun(rises: Floats) -> Floats:
    """A rise that goes on in the stretch after the one where it was noticed counts wholly there."""
    noticed = rises >= _NOTICED
    begun = np.flatnonzero(noticed[:-1] & ~np.append(False, noticed[:-2]))
    onsets = rises.copy()
    onsets[begun] += rises[begun + 1]
    onsets[begun + 1] = 0.0
    return onsets


def _spread(values: Floats) -> float:
    """Median distance from the median; of values that hardly ever differ, their usual size."""
    spread = float(np.median(np.abs(values - np.median(values))))
    if spread > 0:
        return spread
    other = values[values > 0]
    return float(np.median(other)) if len(other) else 1.0
