"""From a source's stamp to site time: latency, jitter and clock offset taken out.

Streams whose stamps are ``exact`` are on site time already and pass through untouched. A stream
that is announced anew with stamps of another meaning keeps its clock: the epoch that changes
with it makes the fit begin anew, and times handed out go on growing.
"""

from __future__ import annotations

from dataclasses import replace

from pipeline.alignment.stream_clock import StreamClock, StreamClockSettings
from pipeline.config.deployment import Deployment
from pipeline.core.sample import Sample, StreamInfo

MILLISECOND_NS = 1_000_000
EXACT = "exact"


class Stamper:
    """Puts samples of any stream of a deployment on site time; used per source, by one thread.

    Args:
        deployment: Says each stream's latency and whether its jitter is taken out.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._clocks: dict[str, StreamClock | None] = {}
        self._infos: dict[str, StreamInfo] = {}

    def open(self, info: StreamInfo) -> None:
        """A stream was announced, or announced anew."""
        known = self._infos.get(info.name)
        self._infos[info.name] = info
        if known is not None and info.stamp != EXACT and info.like(known):
            return
        before = self._clocks.get(info.name)
        clock = None if info.stamp == EXACT else self._clock(info)
        if clock is not None and before is not None:
            clock.counts = before.counts
        self._clocks[info.name] = clock

    @property
    def clocks(self) -> dict[str, StreamClock]:
        """The clock of each stream whose stamps are corrected."""
        return {name: clock for name, clock in list(self._clocks.items()) if clock is not None}

    def stamp(self, sample: Sample, offset_ns: int, uncertainty_ns: int) -> Sample:
        """The sample on site time.

        Args:
            sample: In node time.
            offset_ns: Site time minus node time.
            uncertainty_ns: How sure the offset is.
        """
        clock = self._clocks[sample.stream]
        if clock is None:
            return sample
        corrected = clock.correct(sample)
        return replace(
            corrected,
            timestamp_ns=corrected.timestamp_ns + offset_ns,
            uncertainty_ns=corrected.uncertainty_ns + uncertainty_ns,
        )

    def is_exact(self, stream: str) -> bool:
        """Whether a stream's own stamps are site time."""
        return self._clocks[stream] is None

    def _clock(self, info: StreamInfo) -> StreamClock:
        settings = self._deployment.stream(info.name)
        return StreamClockSettings(
            latency_ns=round(settings.latency_ms * MILLISECOND_NS),
            dejitter=settings.dejitter,
        ).build(info)
