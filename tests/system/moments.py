"""What a recording holds of the flashes and beeps of `tests.system.witnesses`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import simplejpeg

from pipeline.core.arrival import LedgerReport, SampleArrived
from pipeline.core.ledger import StreamAccount
from pipeline.core.sample import Encoding, Sample
from pipeline.recording import Recording
from tests.system.witnesses import CHUNK, DARK, FRAME_HZ, LIT, LOUDNESS, SECOND_NS, SOUND_HZ

FRAME_NS = SECOND_NS // FRAME_HZ
FLASH_READING_NS = 2 * FRAME_NS // (LIT - DARK)  # two grey levels: rounding and JPEG
BEEP_READING_NS = SECOND_NS // SOUND_HZ
_LOUD = LOUDNESS // 3
_WHOLLY = 0.98


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that was seen or heard.

    Attributes:
        time_ns: When, site time.
        unsure_ns: The uncertainty of the sample that tells it.
    """

    time_ns: int
    unsure_ns: int


@dataclass(slots=True)
class Kept:
    """What was recorded.

    Attributes:
        arrivals: Samples of each stream, as they came.
        accounts: The last account of each stream.
    """

    arrivals: dict[str, list[SampleArrived]] = field(default_factory=dict)
    accounts: dict[str, StreamAccount] = field(default_factory=dict)

    @staticmethod
    def read(path: Path) -> Kept:
        found = Kept()
        with Recording(path) as recording:
            for arrival in recording.arrivals():
                if isinstance(arrival, SampleArrived):
                    found.arrivals.setdefault(arrival.sample.stream, []).append(arrival)
                elif isinstance(arrival, LedgerReport):
                    found.accounts.update(arrival.accounts)
        return found

    def samples(self, stream: str) -> list[Sample]:
        """Samples of a stream, as they came."""
        return [arrival.sample for arrival in self.arrivals[stream]]


def flashes(frames: Sequence[Sample]) -> list[Moment]:
    """Each flash, exact to `FLASH_READING_NS` but for the stamp of its frame.

    The frame before the first that is wholly lit tells by its brightness for how much of its
    exposure, which its stamp ends, the light was on.
    """
    lit = [lit_share(frame) for frame in frames]
    found = []
    for number in range(1, len(lit)):
        if lit[number] > _WHOLLY and lit[number - 1] <= _WHOLLY:
            last_dark = frames[number - 1]
            since_ns = round(lit[number - 1] * FRAME_NS)
            found.append(Moment(last_dark.timestamp_ns - since_ns, last_dark.uncertainty_ns))
    return found


def lit_share(frame: Sample) -> float:
    """For how much of its exposure a frame was lit, 0 to 1."""
    picture = frame.data
    if frame.encoding is Encoding.JPEG:
        picture = simplejpeg.decode_jpeg(bytes(frame.data), colorspace="GRAY")
    return float(np.clip((np.mean(picture) - DARK) / (LIT - DARK), 0.0, 1.0))


def beeps(chunks: Sequence[Sample]) -> list[Moment]:
    """Each beep, exact to `BEEP_READING_NS` but for the stamp of its chunk."""
    found = []
    quiet = CHUNK  # samples since the last loud one
    for chunk in chunks:
        for place in np.flatnonzero(np.abs(np.asarray(chunk.data)[:, 0].astype(int)) > _LOUD):
            if place + quiet >= CHUNK:
                time_ns = chunk.timestamp_ns + int(place) * SECOND_NS // SOUND_HZ
                found.append(Moment(time_ns, chunk.uncertainty_ns))
            quiet = -int(place)
        quiet += CHUNK
    return found
