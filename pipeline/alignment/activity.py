"""How much happens in a stream, and when: what two streams of one place can be compared by.

Whatever a stream shows, it becomes onsets per stretch of time: by how much it changes more than
just before. What changes of a picture is the mean brightness of its pixels from frame to frame,
less what the whole became darker by, of sound the level from one hundredth of a second to the
next, of a sensor the largest step among its channels. A lamp is so counted when it goes on and
not when it goes off, however long it was on, and a sound when it begins. Onsets are in units of
their own usual spread and end at `CEILING`, so that one loud moment does not outweigh all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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


def activity_of(info: StreamInfo, samples: Iterable[Sample]) -> Activity:
    """The activity of a stream.

    Args:
        info: The stream: video, audio or sensor.
        samples: Its samples in time order.

    Raises:
        AlignmentError: Text, or too few samples to tell.
    """
    if info.modality is Modality.VIDEO:
        steps = _picture_steps(samples)
    elif info.modality is Modality.AUDIO:
        steps = _sound_steps(info, list(samples))
    elif info.modality is Modality.SENSOR:
        steps = _sensor_steps(list(samples))
    else:
        raise AlignmentError("text has no activity to compare", where=info.name)
    begin_ns, end_ns, change = steps
    if len(change) < _LEAST:
        raise AlignmentError(f"only {len(change)} changes to compare by", where=info.name)
    return Activity(info.name, begin_ns, end_ns, _in_spreads(change))


def _picture_steps(samples: Iterable[Sample]) -> tuple[Times, Times, Floats]:
    times: list[int] = []
    changes: list[float] = []
    before: npt.NDArray[np.float32] | None = None
    for sample in samples:
        picture = _small(sample)
        if picture is None:
            continue
        times.append(sample.timestamp_ns)
        if before is not None:
            changes.append(_change(picture - before))
        before = picture
    edges = np.array(times, np.int64)
    return edges[:-1], edges[1:], _onsets(np.array(changes), _BEFORE)


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


def _sound_steps(info: StreamInfo, samples: Sequence[Sample]) -> tuple[Times, Times, Floats]:
    """Rise of the level per hop, chunk by chunk; across a gap there is none."""
    rate = info.rate_hz or 1.0
    hop = max(1, round(rate * _HOP_S))
    begins: list[Times] = []
    levels: list[Floats] = []
    for sample in samples:
        sound = np.asarray(sample.data)
        loud = sound.astype(np.float64) / (32768.0 if sound.dtype == np.int16 else 1.0)
        count = len(loud) // hop
        power = np.square(loud[: count * hop]).mean(axis=1).reshape(count, hop).mean(axis=1)
        begins.append(
            sample.timestamp_ns + np.rint(np.arange(count) * hop / rate * 1e9).astype(int)
        )
        levels.append(20.0 * np.log10(np.sqrt(power) + _QUIET))
    if not levels:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    begin_ns, level = np.concatenate(begins), np.concatenate(levels)
    return begin_ns, begin_ns + round(hop / rate * 1e9), _onsets(level, _BEFORE_SOUND)


def _onsets(values: Floats, before: int) -> Floats:
    """By how much each rises above the largest of those before it; none for the first."""
    earlier = np.full((before, len(values)), -np.inf)
    for back in range(1, before + 1):
        earlier[back - 1, back:] = values[:-back]
    found: Floats = np.maximum(values - earlier.max(axis=0, initial=-np.inf), 0.0)
    found[:before] = 0.0
    return found


def _sensor_steps(samples: Sequence[Sample]) -> tuple[Times, Times, Floats]:
    times = np.array([sample.timestamp_ns for sample in samples], np.int64)
    if len(times) < _LEAST:
        return times[:-1], times[1:], np.zeros(max(0, len(times) - 1))
    values = np.stack([np.asarray(sample.data, np.float64).ravel() for sample in samples])
    steps = np.abs(np.diff(values, axis=0))
    steps = np.nan_to_num(steps, nan=0.0)
    usual = np.array([_spread(column) for column in steps.T])
    return times[:-1], times[1:], _onsets((steps / usual).max(axis=1), _BEFORE)


def _in_spreads(change: Floats) -> Floats:
    return np.clip((change - np.median(change)) / _spread(change), 0.0, CEILING)


def _spread(values: Floats) -> float:
    """Median distance from the median; of values that hardly ever differ, their usual size."""
    spread = float(np.median(np.abs(values - np.median(values))))
    if spread > 0:
        return spread
    other = values[values > 0]
    return float(np.median(other)) if len(other) else 1.0
