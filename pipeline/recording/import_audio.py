"""Sound into samples: 16-bit PCM in chunks of 0.1 s, or in the blocks of a times file.

Sound is counted by its samples. Where the container's clock runs ahead of the count by more
than 50 ms, sound is missing: the position jumps by what is missing, nothing is filled in.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import av
import numpy as np
import numpy.typing as npt

from pipeline.core.ledger import DropReason
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.recording.import_media import (
    container_start,
    decoded,
    length_ns,
    media_stream,
    open_media,
    packets,
)
from pipeline.recording.import_report import InputReport
from pipeline.recording.import_times import TimesFile

Sound: TypeAlias = npt.NDArray[np.int16]

CHUNK_S = Fraction(1, 10)
_GAP_S = Fraction(1, 20)
_SECOND_NS = 1_000_000_000


class AudioInput:
    """One file of sound.

    Args:
        stream: Name of the stream it becomes.
        path: The file; a video file's sound is taken.
        rate_hz: Resample to this rate; None: as it is.
        times: When each block of sound happened; None: by the container.

    Raises:
        SourceUnavailable: There is no such file.
        RecordingError: It holds no sound.
    """

    def __init__(
        self,
        stream: str,
        path: Path,
        *,
        rate_hz: int | None = None,
        times: TimesFile | None = None,
    ) -> None:
        self.report = InputReport(stream, "audio", str(path))
        self._path = path
        self._times = times
        with open_media(path) as container:
            audio = media_stream(container, self.report)
            self._rate = rate_hz or audio.codec_context.sample_rate
            channels = audio.codec_context.layout.nb_channels
            self.duration_ns = length_ns(container, audio)
        self.info = StreamInfo(
            name=stream,
            modality=Modality.AUDIO,
            rate_hz=float(self._rate),
            shape=(channels,),
            dtype="int16",
            stamp="exact",
        )

    @property
    def first_ns(self) -> int | None:
        """Time of the first block when a times file has times on the calendar; else None."""
        return self._times.first_ns() if self._times else None

    def samples(self, start_ns: int) -> Iterator[tuple[int, Sample]]:
        """Arrival (the end of the chunk) and sample of each chunk."""
        timed = self._in_blocks(start_ns) if self._times else self._in_chunks(start_ns)
        last_ns = None
        for sequence, (time_ns, position, sound) in enumerate(timed):
            end_ns = time_ns + len(sound) * _SECOND_NS // self._rate
            arrival_ns = end_ns if last_ns is None else max(end_ns, last_ns)
            last_ns = arrival_ns
            self.report.took(time_ns, end_ns)
            sample = Sample(
                self.info.name, sequence, time_ns, sound, Encoding.PCM, position=position
            )
            yield arrival_ns, sample

    def _in_chunks(self, start_ns: int) -> Iterator[tuple[int, int, Sound]]:
        for position, sound in _cut(self._runs(), round(self._rate * CHUNK_S)):
            yield start_ns + position * _SECOND_NS // self._rate, position, sound

    def _in_blocks(self, start_ns: int) -> Iterator[tuple[int, int, Sound]]:
        """Time, nominal position and sound of each block that is there."""
        times = self._times
        if times is None:
            return
        length, rows = _blocks(times, self._total(), self._rate)
        self.report.note(f"blocks of {length} samples by the times file")
        counted = _cut(((None, sound) for _, sound in self._runs()), length)
        seen, last_ns = 0, None
        for block, (_, sound) in enumerate(counted):
            row = rows.get(block)
            if row is None or row.moment is None:
                self.report.fault("blocks that are not present by the times file, left out")
                continue
            seen += 1
            time_ns = row.moment.at(start_ns)
            if last_ns is not None and time_ns < last_ns:
                self.report.drop(DropReason.OUT_OF_ORDER)
                continue
            last_ns = time_ns
            yield time_ns, row.index * length, sound
        self.report.fault("rows of the times file without sound", len(rows) - seen)

    def _total(self) -> int:
        """Samples in the file, found by decoding it once; what is wrong is told next time."""
        report = self.report
        self.report = InputReport(report.stream, report.kind, report.path)
        try:
            return sum(len(sound) for _, sound in self._runs())
        finally:
            self.report = report

    def _runs(self) -> Iterator[tuple[int | None, Sound]]:
        """Pieces of sound; with a position where the count starts anew, else None."""
        with open_media(self._path) as container:
            audio = media_stream(container, self.report)
            start = container_start(container)
            sounds = _Resampler(self._rate, self.info.shape[0])
            expected: Fraction | None = None
            for frame in self._frames(container, audio):
                own = expected if frame.pts is None else frame.pts * frame.time_base - start
                position = None
                if expected is None or own is None or own - expected > _GAP_S:
                    if expected is not None:
                        yield from ((None, piece) for piece in sounds.rest())
                        self.report.fault("gaps in the sound")
                    expected = own or Fraction(0)
                    position = max(0, round(expected * self._rate))
                elif expected - own > _GAP_S:
                    self.report.note("its clock went back; sound goes on by its count")
                expected += Fraction(frame.samples, frame.sample_rate)
                for piece in sounds.of(frame):
                    yield position, piece
                    position = None
            yield from ((None, piece) for piece in sounds.rest())

    def _frames(self, container: Any, audio: Any) -> Iterator[Any]:  # noqa: ANN401 - PyAV
        for packet in packets(container, audio, self.report):
            yield from decoded(packet, self.report) or ()


class _Resampler:
    """Frames as int16 ``(N, channels)`` of one rate, also where their form changes on the way."""

    def __init__(self, rate_hz: int, channels: int) -> None:
        self._rate, self._channels = rate_hz, channels
        self._form: tuple[str, str, int] | None = None
        self._resampler = self._new()

    def of(self, frame: Any) -> Iterator[Sound]:  # noqa: ANN401 - PyAV's frame
        """Sound that comes out for a frame."""
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._form not in (None, form):
            yield from self.rest()
        self._form = form
        yield from self._pieces(frame)

    def rest(self) -> Iterator[Sound]:
        """Sound that is held back; the next frame begins anew."""
        yield from self._pieces(None)
        self._resampler, self._form = self._new(), None

    def _new(self) -> Any:  # noqa: ANN401 - PyAV's type
        layout = {1: "mono", 2: "stereo"}.get(self._channels)
        return av.AudioResampler(format="s16", layout=layout, rate=self._rate)

    def _pieces(self, frame: Any) -> Iterator[Sound]:  # noqa: ANN401 - PyAV's frame
        for part in self._resampler.resample(frame):
            if part.layout.nb_channels == self._channels:
                sound = part.to_ndarray().reshape(-1, self._channels)
                yield sound.astype(np.int16, copy=False)


def _cut(runs: Iterator[tuple[int | None, Sound]], length: int) -> Iterator[tuple[int, Sound]]:
    """Position and sound in chunks of `length`; shorter at a gap and at the end."""
    held: list[Sound] = []
    size, position = 0, 0
    for start, sound in runs:
        if start is not None:
            if size:
                yield position, np.concatenate(held)
            held, size, position = [], 0, start
        held.append(sound)
        size += len(sound)
        if size < length:
            continue
        joined = np.concatenate(held)
        whole = size - size % length
        for begin in range(0, whole, length):
            yield position + begin, joined[begin : begin + length]
        position += whole
        held, size = [joined[whole:]], size - whole
    if size:
        yield position, np.concatenate(held)


def _blocks(times: TimesFile, total: int, rate: int) -> tuple[int, dict[int, Any]]:
    """Length of a block in samples, and the rows by block held in the file.

    The length is that with which the file has as many blocks as rows, the nearest such one
    to what the times say: ``total / rows <= length < total / (rows - 1)``. Clocks drift, so
    a length that divides the sound without rest wins within 1% of that.
    """
    hint = (times.period_ns or 0) * rate / 1e9
    present = len(times.present)
    options = []
    for held, rows in (
        (times.count, times.by_position(None)),
        (present, times.by_position(present)),
    ):
        low = -(-total // held)
        high = (total - 1) // (held - 1) if held > 1 else total
        length = min(max(round(hint), low), max(high, low))
        if total % held == 0 and (not hint or abs(low - hint) <= 0.01 * hint):
            length = low
        options.append((abs(length - hint), length, rows))
    _, length, rows = min(options, key=lambda option: option[0])
    return max(1, length), rows
