"""A stream of the Lab Streaming Layer: numbers, sound or text that another program sends.

LSL stamps a sample by the sender's clock; its library measures the offset to this machine's LSL
clock all the time, and the two are added (``time_correction``). From there it is a constant to
node time: both are clocks of one machine, compared once when the stream is opened. While the
machine sleeps LSL's clock stands still and node time does not: the stream is opened anew then.
When the sender's clock is found to have been reset, a new epoch begins.

The library itself does not smooth stamps here; that is done with all other streams.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pylsl
from pydantic import Field
from pylsl.util import LostError

from pipeline.core.clock import SLEPT_NS, slept_ns
from pipeline.core.errors import SourceUnavailable
from pipeline.core.pcm import pcm_of
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.sources.base import Source, SourceContext, SourceSettings

_COMPARED = 9  # times that the two clocks are read; the quickest counts
_MOST = 4096  # samples taken at once
_SOUND_LEAST_HZ = 4_000.0
_DTYPES: dict[int, type[np.integer[Any]]] = {
    pylsl.cf_int8: np.int8,
    pylsl.cf_int16: np.int16,
    pylsl.cf_int32: np.int32,
    pylsl.cf_int64: np.int64,
}  # full scale of sound in whole numbers; pylsl gives plain Python numbers
_NO_QUOTES = r"^[^'\"]+$"  # as they stand in a query


class LslSettings(SourceSettings):
    """One stream of the Lab Streaming Layer."""

    type: Literal["lsl"] = "lsl"
    """Kind of source."""

    stream: str
    """Name of the stream here."""

    name: str | None = Field(default=None, pattern=_NO_QUOTES)
    """Its name in LSL; none: any name."""

    kind: str | None = Field(default=None, pattern=_NO_QUOTES)
    """Its type in LSL, as ``EEG`` or ``Markers``; none: any type."""

    source_id: str | None = Field(default=None, pattern=_NO_QUOTES)
    """Its source id in LSL, which tells devices of one name apart; none: any."""

    find_s: float = Field(default=3.0, gt=0, le=60)
    """How long to look for it before trying again, seconds."""

    modality: Literal["sensor", "audio", "text"] | None = None
    """What it is here; none: text if it sends strings, sound if its type is ``Audio`` and its
    rate high enough, else a sensor."""

    def stream_names(self) -> tuple[str, ...]:
        """The one stream."""
        return (self.stream,)

    def build(self, context: SourceContext) -> Source:
        """Make the reader."""
        return LslSource(self, context)


class LslSource:
    """Reads one LSL stream; see the module."""

    def __init__(self, settings: LslSettings, context: SourceContext) -> None:
        self._settings = settings
        self._context = context
        self._inlet: Any = None
        self._info: StreamInfo | None = None
        self._dtype: type[np.integer[Any]] | None = None
        self._offset_ns = self._slept_ns = 0
        self._epoch = 0
        self._position = 0

    def open(self) -> tuple[StreamInfo, ...]:
        """Find the stream and subscribe to it."""
        self.close()
        found = self._find()
        self._inlet = pylsl.StreamInlet(found, max_buflen=30, recover=False)
        try:
            about = self._inlet.info(timeout=self._settings.find_s)
            self._inlet.open_stream(timeout=self._settings.find_s)
            self._inlet.time_correction(timeout=self._settings.find_s)
        except (TimeoutError, LostError) as error:
            self.close()
            raise SourceUnavailable(f"does not answer: {error}", where=self._wanted()) from error
        self._slept_ns = slept_ns()
        self._offset_ns = _offset_ns(self._context.clock.now_ns)
        self._info = _described(self._settings, about)
        self._dtype = _DTYPES.get(about.channel_format())
        self._epoch, self._position = 0, 0
        return (self._info,)

    def read(self, timeout_s: float) -> Sequence[Sample]:
        """What came since the last call."""
        if self._inlet is None or self._info is None:
            raise SourceUnavailable("not open", where=self._wanted())
        if slept_ns() - self._slept_ns > SLEPT_NS:
            raise SourceUnavailable(
                "this machine slept, LSL's clock stood still", where=self._wanted()
            )
        try:
            rows, stamps = self._inlet.pull_chunk(timeout=timeout_s, max_samples=_MOST)
            if not len(stamps):
                return []
            correction_s = self._inlet.time_correction(timeout=timeout_s)
        except (TimeoutError, LostError) as error:
            raise SourceUnavailable(f"lost: {error}", where=self._wanted()) from error
        if self._inlet.was_clock_reset():
            self._epoch, self._position = self._epoch + 1, 0
        times = [self._offset_ns + round((stamp + correction_s) * 1e9) for stamp in stamps]
        if self._info.modality is Modality.AUDIO:
            return [self._sound(np.asarray(rows, self._dtype), times[0])]
        if self._info.modality is Modality.TEXT:
            lines = (" ".join(map(str, row)) for row in rows)
            return [self._sample(t, n, Encoding.UTF8) for t, n in zip(times, lines, strict=True)]
        values = np.asarray(rows, np.float64)
        values[np.isinf(values)] = np.nan
        return [self._sample(t, v, Encoding.FLOAT) for t, v in zip(times, values, strict=True)]

    def close(self) -> None:
        """Unsubscribe."""
        if self._inlet is not None:
            self._inlet.close_stream()
            self._inlet = None

    def _find(self) -> Any:  # noqa: ANN401 - pylsl's type
        query = " and ".join(
            f"{key}='{value}'"
            for key, value in (
                ("name", self._settings.name),
                ("type", self._settings.kind),
                ("source_id", self._settings.source_id),
            )
            if value is not None
        )
        seen = pylsl.resolve_bypred(query or "name!=''", 1, self._settings.find_s)
        if not seen:
            raise SourceUnavailable(
                f"no such stream found within {self._settings.find_s:g} s",
                where=self._wanted(),
                fix="is its program sending, and on a network that this machine sees?",
            )
        return seen[0]

    def _wanted(self) -> str:
        return f"LSL stream {self._settings.name or self._settings.kind or self._settings.stream}"

    def _sample(self, time_ns: int, data: Any, encoding: Encoding) -> Sample:  # noqa: ANN401
        return Sample(self._settings.stream, 0, time_ns, data, encoding, epoch=self._epoch)

    def _sound(self, rows: npt.NDArray[Any], time_ns: int) -> Sample:
        pcm = pcm_of(rows.reshape(len(rows), -1))
        position, self._position = self._position, self._position + len(pcm)
        return Sample(
            self._settings.stream,
            0,
            time_ns,
            pcm,
            Encoding.PCM,
            epoch=self._epoch,
            position=position,
        )


def _offset_ns(now_ns: Callable[[], int]) -> int:
    """Node time less LSL's clock, by the reading that took the least time."""
    best_s, found = float("inf"), 0
    for _ in range(_COMPARED):
        before_s = pylsl.local_clock()
        node_ns = now_ns()
        after_s = pylsl.local_clock()
        if after_s - before_s < best_s:
            best_s = after_s - before_s
            found = node_ns - round((before_s + after_s) / 2 * 1e9)
    return found


def _described(settings: LslSettings, about: Any) -> StreamInfo:  # noqa: ANN401 - pylsl's type
    rate = about.nominal_srate() or None
    modality = _modality(settings, about, rate)
    if modality is Modality.TEXT:
        return StreamInfo(settings.stream, modality, stamp="device")
    count = about.channel_count()
    if modality is Modality.AUDIO:
        return StreamInfo(settings.stream, modality, rate, (count,), "int16", stamp="device")
    labels, units = _column(about, "label"), _column(about, "unit")
    named = len(labels) == count and len(set(labels)) == count and all(labels)
    return StreamInfo(
        name=settings.stream,
        modality=modality,
        rate_hz=rate,
        shape=(count,),
        dtype="float64",
        channels=tuple(labels) if named else tuple(f"channel{n}" for n in range(count)),
        units=tuple(units) if named and any(units) else (),
        stamp="device",
    )


def _modality(settings: LslSettings, about: Any, rate: float | None) -> Modality:  # noqa: ANN401
    strings = about.channel_format() == pylsl.cf_string
    if settings.modality is not None:
        wanted = Modality(settings.modality)
        if (wanted is Modality.TEXT) != strings or (wanted is Modality.AUDIO and rate is None):
            sends = "strings" if strings else "numbers"
            raise SourceUnavailable(
                f"cannot be {wanted.value}: it sends {sends}"
                + (" at no rate" if rate is None else ""),
                where=f"LSL stream {about.name()}",
                fix="leave out modality",
            )
        return wanted
    if strings:
        return Modality.TEXT
    audio = about.type().lower() == "audio" and rate is not None and rate >= _SOUND_LEAST_HZ
    return Modality.AUDIO if audio else Modality.SENSOR


def _column(about: Any, key: str) -> list[str]:  # noqa: ANN401 - pylsl's type
    """A value of each described channel."""
    found: list[str] = []
    channel = about.desc().child("channels").child("channel")
    while not channel.empty():
        found.append(channel.child_value(key))
        channel = channel.next_sibling("channel")
    return found


PLUGIN = LslSettings
