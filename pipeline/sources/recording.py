"""A recording as a live source: its samples again, at the pace at which they arrived.

An hour or more in which nothing arrived is passed over: between what was recorded on two days there
is nothing to wait for. A stream that was announced anew within it, with other channels, say, is
announced anew where that was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

import structlog
from pydantic import Field, model_validator

from pipeline.core.arrival import SampleArrived, StreamOpened
from pipeline.core.errors import RecordingError, SourceEnded, SourceUnavailable
from pipeline.core.sample import Sample, StreamInfo
from pipeline.recording import RecordingSet
from pipeline.sources.base import Source, SourceContext, SourceSettings
from pipeline.sources.pace import Pace

log = structlog.get_logger(__name__)

BATCH = 256
BATCH_BYTES = 4 << 20
_PASSED_OVER_NS = 3600 * 1_000_000_000

_Described: TypeAlias = tuple[SampleArrived, StreamInfo]


class RecordingSettings(SourceSettings):
    """Recordings (MCAP) played again."""

    type: Literal["recording"] = "recording"
    """Kind of source."""

    paths: list[Path] = Field(min_length=1)
    """The files; several are read as one, merged by time."""

    streams: list[str] = Field(min_length=1)
    """Streams to play; others in the files are left out."""

    speed: Annotated[float, Field(gt=0)] | Literal["max"] = 1.0
    """Times real time; max: as fast as samples are taken. An hour without any is passed over."""

    rebase: bool = False
    """Shift stamps so that the recording begins now; else they stay as recorded."""

    loop: bool = False
    """Begin again at the end; needs rebase."""

    @model_validator(mode="after")
    def _time_goes_on(self) -> Self:
        if self.loop and not self.rebase:
            raise ValueError("loop would send time back to the start; add rebase: true")
        if self.rebase and self.speed != 1.0:
            raise ValueError("rebase keeps the spacing of stamps, so speed must be 1")
        return self

    def stream_names(self) -> tuple[str, ...]:
        """The streams asked for."""
        return tuple(self.streams)

    def build(self, context: SourceContext) -> Source:
        """Make the player."""
        return RecordingSource(self, context)


class RecordingSource:
    """Plays recordings, see `RecordingSettings`.

    Each time round, epochs go on where the last round ended.
    """

    def __init__(self, settings: RecordingSettings, context: SourceContext) -> None:
        self._settings = settings
        self._clock = context.clock
        self._announce = context.announce
        self._wanted = frozenset(settings.streams)
        self._recordings: RecordingSet | None = None
        self._infos: dict[str, StreamInfo] = {}
        self._arrivals: Iterator[_Described] = iter(())
        self._next: _Described | None = None
        self._pace = self._new_pace()
        self._shift_ns: int | None = None
        self._last_ns: int | None = None
        self._epoch = self._last_epoch = 0

    def open(self) -> tuple[StreamInfo, ...]:
        """Open the files and look for the streams."""
        self.close()
        try:
            self._recordings = recordings = RecordingSet(self._settings.paths)
            known = self._first_announced(recordings)
            truncated = recordings.truncated
        except RecordingError as error:
            raise SourceUnavailable(error.message, where=error.where, fix=error.fix) from error
        if truncated:
            log.warning("recording is cut off", reason=truncated)
        missing = [name for name in self._settings.streams if name not in known]
        if missing:
            self.close()
            raise SourceUnavailable(
                f"the recording has no stream {', '.join(missing)}",
                where=", ".join(map(str, self._settings.paths)),
                fix=f"it has: {', '.join(sorted(known)) or 'none'}",
            )
        self._epoch = self._last_epoch = 0
        self._rewind(recordings)
        self._infos = {name: known[name] for name in self._settings.streams}
        return tuple(self._infos.values())

    def read(self, timeout_s: float) -> Sequence[Sample]:
        """Samples that are due."""
        batch: list[Sample] = []
        size = 0
        while len(batch) < BATCH and size < BATCH_BYTES:
            following = self._peek()
            if following is None:
                if batch:
                    return batch
                raise SourceEnded("the recording is over", where=str(self._settings.paths[-1]))
            arrival, info = following
            anew = self._is_news(info)
            if anew and batch:
                return batch
            self._pass_over(arrival.arrival_ns)
            if not self._pace.due(arrival.arrival_ns, 0.0 if batch else timeout_s):
                return batch
            if anew:
                self._infos[info.name] = info
                self._announce(tuple(self._infos.values()))
            self._next = None
            batch.append(self._given(arrival))
            size += arrival.sample.nbytes
        return batch

    def close(self) -> None:
        """Let go of the files."""
        recordings, self._recordings = self._recordings, None
        self._arrivals, self._next = iter(()), None
        if recordings is not None:
            recordings.close()

    def _first_announced(self, recordings: RecordingSet) -> dict[str, StreamInfo]:
        """What each stream is, as it was announced first."""
        infos: dict[str, StreamInfo] = {}
        for said in recordings.control:
            if isinstance(said, StreamOpened):
                infos.setdefault(said.info.name, self._announced(said.info))
        return infos

    def _is_news(self, info: StreamInfo) -> bool:
        """Whether this was not said of its stream before."""
        known = self._infos[info.name]
        if info is known:
            return False
        if info == known:
            self._infos[info.name] = info  # the same one with the next sample
            return False
        return True

    def _announced(self, info: StreamInfo) -> StreamInfo:
        """Stamps as recorded are site time; shifted ones are the node's, from the medium."""
        return replace(info, stamp="pts" if self._settings.rebase else "exact")

    def _new_pace(self) -> Pace:
        speed = self._settings.speed
        return Pace(self._clock, 0.0 if speed == "max" else float(speed))

    def _rewind(self, recordings: RecordingSet) -> None:
        self._arrivals = self._described(recordings)
        self._anew()

    def _described(self, recordings: RecordingSet) -> Iterator[_Described]:
        """Each sample that is wanted, with what its stream is then."""
        infos: dict[str, StreamInfo] = {}
        for arrival in recordings.arrivals():
            if isinstance(arrival, StreamOpened):
                infos[arrival.info.name] = self._announced(arrival.info)
            elif isinstance(arrival, SampleArrived) and arrival.sample.stream in self._wanted:
                yield arrival, infos[arrival.sample.stream]

    def _anew(self) -> None:
        """The next sample is due at once, and the pace goes from it."""
        self._pace, self._shift_ns, self._last_ns = self._new_pace(), None, None

    def _pass_over(self, arrival_ns: int) -> None:
        """Do not wait for the next sample where nothing arrived for long."""
        if self._last_ns is not None and arrival_ns - self._last_ns >= _PASSED_OVER_NS:
            hours = (arrival_ns - self._last_ns) / _PASSED_OVER_NS
            log.info("nothing was recorded for a while: it is passed over", hours=round(hours, 1))
            self._anew()
        self._last_ns = arrival_ns

    def _peek(self) -> _Described | None:
        """The next sample, from the start again when looping; None at the end."""
        if self._next is None:
            self._next = next(self._arrivals, None)
        if self._next is None and self._settings.loop and self._recordings is not None:
            self._rewind(self._recordings)
            self._epoch = self._last_epoch + 1
            self._next = next(self._arrivals, None)
        return self._next

    def _given(self, arrival: SampleArrived) -> Sample:
        if self._shift_ns is None:
            shift_ns = self._clock.now_ns() - arrival.arrival_ns
            self._shift_ns = shift_ns if self._settings.rebase else 0
        sample = arrival.sample
        epoch = self._epoch + sample.epoch
        self._last_epoch = max(self._last_epoch, epoch)
        return replace(
            sample,
            sequence=0,
            timestamp_ns=sample.timestamp_ns + self._shift_ns,
            epoch=epoch,
        )


PLUGIN = RecordingSettings
