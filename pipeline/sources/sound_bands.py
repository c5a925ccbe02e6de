"""Sound reduced to what cannot be heard again: levels of third-octave bands, four a second.

The stream keeps its name and becomes one of readings: a channel per band, in dB of full scale.
Every reading is the power of half a second under a Hann window, which overlaps half of the one
before. Phase is gone, and of what changes in a band four or more times a second a sixth is left.

Just those changes, 4 to 16 a second, are what speech is understood by (Drullman, Festen and Plomp,
J. Acoust. Soc. Am. 95, 1994). Gontier et al., Sensors 17 (12), 2758, 2017, found speech that was
made again from third-octave levels not to be intelligible. That somebody speaks, how long and how
loud, can still be seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import BadReading
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo

RATE_HZ = 4
LOWEST_HZ, HIGHEST_HZ = 100.0, 10_000.0
BANDS_PER_DECADE = 10  # third octaves, as IEC 61260 counts them
FLOOR = 1e-10  # power; -100 dB of full scale
SECOND_NS = 1_000_000_000


def band_info(info: StreamInfo) -> StreamInfo:
    """The stream of readings that a stream of sound becomes."""
    names = tuple(f"sound at {_spoken(hz)}" for hz in centres_hz(info.rate_hz or 0.0))
    return StreamInfo(
        name=info.name,
        modality=Modality.SENSOR,
        rate_hz=float(RATE_HZ),
        shape=(len(names),),
        dtype="float64",
        unit="dB",
        channels=names,
        stamp=info.stamp,
    )


def centres_hz(rate_hz: float) -> tuple[float, ...]:
    """Middles of the third octaves that sound of this rate holds whole."""
    edge = 10 ** (0.5 / BANDS_PER_DECADE)
    steps = range(round(BANDS_PER_DECADE * np.log10(HIGHEST_HZ / LOWEST_HZ)) + 1)
    every = (LOWEST_HZ * 10 ** (step / BANDS_PER_DECADE) for step in steps)
    return tuple(hz for hz in every if hz * edge <= rate_hz / 2)


@dataclass(slots=True)
class _Stretch:
    """Sound without a gap that is not used up.

    Attributes:
        epoch: Its epoch.
        next_position: Where the next chunk must begin.
        sound: Samples ``(N, channels)`` from the first that is still needed.
        start: Position of the first of them.
        stamp_ns: Time of the last chunk's first sample ...
        stamp_position: ... and its position.
        uncertainty_ns: Of that time.
    """

    epoch: int
    next_position: int
    sound: npt.NDArray[np.float64]
    start: int
    stamp_ns: int
    stamp_position: int
    uncertainty_ns: int


class SoundBands:
    """Makes readings of the chunks of one stream; used by one thread.

    What lies before a gap and is not whole is left out.

    Args:
        info: The stream of sound.
    """

    def __init__(self, info: StreamInfo) -> None:
        self._rate = Fraction(info.rate_hz or 0.0)
        self._hop = int(self._rate / RATE_HZ)
        self._window = np.hanning(2 * self._hop + 1)[:-1]
        self._weights = _weights(self._window, float(self._rate))
        self._stretch: _Stretch | None = None

    def take(self, chunk: Sample) -> Iterator[Sample]:
        """Readings that a chunk completes, oldest first.

        Raises:
            BadReading: The chunk is no sound ``(N, channels)``.
        """
        stretch = self._joined(chunk, _as_floats(chunk))
        while len(stretch.sound) >= 2 * self._hop:
            yield self._reading(stretch, chunk.stream)
            stretch.sound = stretch.sound[self._hop :]
            stretch.start += self._hop

    def _joined(self, chunk: Sample, sound: npt.NDArray[np.float64]) -> _Stretch:
        """The chunk behind what is left, or alone where it does not follow."""
        before = self._stretch
        follows = (
            before is not None
            and (before.epoch, before.next_position) == (chunk.epoch, chunk.position)
            and before.sound.shape[1] == sound.shape[1]
        )
        left, start = sound, chunk.position
        if before is not None and follows:
            left, start = np.concatenate([before.sound, sound]), before.start
        self._stretch = _Stretch(
            chunk.epoch,
            chunk.position + len(sound),
            left,
            start,
            chunk.timestamp_ns,
            chunk.position,
            chunk.uncertainty_ns,
        )
        return self._stretch

    def _reading(self, stretch: _Stretch, stream: str) -> Sample:
        """The levels of the first two hops, at the time of the middle between them."""
        middle = stretch.start + self._hop - stretch.stamp_position
        frame = stretch.sound[: 2 * self._hop] * self._window[:, None]  # (2 hop, channels)
        power = np.square(np.abs(np.fft.rfft(frame, axis=0))).mean(axis=1)  # (bins,)
        levels = 10.0 * np.log10(self._weights @ power + FLOOR)  # (bands,)
        levels = np.round(levels, 1)
        levels.setflags(write=False)
        return Sample(
            stream,
            0,
            stretch.stamp_ns + round(middle * SECOND_NS / self._rate),
            levels,
            Encoding.FLOAT,
            uncertainty_ns=stretch.uncertainty_ns,
            epoch=stretch.epoch,
        )


def _as_floats(chunk: Sample) -> npt.NDArray[np.float64]:
    """Samples ``(N, channels)``, full scale at 1."""
    sound = chunk.data
    if not isinstance(sound, np.ndarray) or sound.ndim != 2:
        raise BadReading("sound that is no array (samples, channels)")
    scale = 32768.0 if sound.dtype == np.int16 else 1.0
    return np.nan_to_num(sound.astype(np.float64) / scale)


def _weights(window: npt.NDArray[np.float64], rate_hz: float) -> npt.NDArray[np.float64]:
    """From a power spectrum ``(bins,)`` to mean squares per band: ``(bands, bins)``.

    By Parseval, twice the sum over a band, by the number of samples and the window's energy.
    """
    size = len(window)
    bins_hz = np.fft.rfftfreq(size, 1 / rate_hz)
    edge = 10 ** (0.5 / BANDS_PER_DECADE)
    scale = 2.0 / (size * float(window @ window))
    rows = [scale * ((bins_hz >= hz / edge) & (bins_hz < hz * edge)) for hz in centres_hz(rate_hz)]
    return np.array(rows, np.float64)


def _spoken(hz: float) -> str:
    """A band's middle as people say it: 126 Hz, 1.6 kHz."""
    return f"{hz:.3g} Hz" if hz < 1000 else f"{hz / 1000:.2g} kHz"
