"""What a capture node knows of time, as metrics: its clock offset and its streams' stamps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Enum, Gauge

from pipeline.alignment.stream_clock import StreamClock
from pipeline.core.sample import StreamInfo
from pipeline.transport.clock_sync import ClockEstimate, Why


class ClockMetrics:
    """Metrics of the clock offset.

    Args:
        registry: Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._offset = Gauge(
            "fusewatch_clock_offset_seconds", "Site time minus node time", registry=registry
        )
        self._unsure = Gauge(
            "fusewatch_clock_uncertainty_seconds", "Bound of the offset's error", registry=registry
        )
        self._drift = Gauge(
            "fusewatch_clock_drift_ppm", "How fast the offset grows", registry=registry
        )
        self._clock_source = Enum(
            "fusewatch_clock_source",
            "How the offset is found: over UDP, over the link, or known to be the same clock",
            states=["none", "udp", "zmq", "same"],
            registry=registry,
        )
        self._found_anew = Gauge(
            "fusewatch_clock_found_anew",
            "Times the offset was forgotten: a clock stepped, may have, slept or is another",
            ["reason"],
            registry=registry,
        )

    def look(self, estimate: ClockEstimate | None, counters: Mapping[str, int]) -> None:
        """Note the offset now, and how often it was forgotten (``clock_REASON``)."""
        for reason in get_args(Why):
            self._found_anew.labels(reason).set(counters.get(f"clock_{reason}", 0))
        if estimate is not None:
            self._clock_source.state(estimate.source)
            self._drift.set(estimate.drift_ppm)
            self._offset.set(estimate.offset_ns / 1e9)
            self._unsure.set(estimate.uncertainty_ns / 1e9)


class StampMetrics:
    """Metrics of what stamps mean and what they needed.

    Args:
        registry: Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._stamp = Gauge(
            "fusewatch_stream_stamp",
            "1 for what the stamps of a stream mean now",
            ["stream", "stamp"],
            registry=registry,
        )
        self._stamp_changes = Counter(
            "fusewatch_stamp_changes",
            "Times the stamps of a stream came to mean something else",
            ["stream"],
            registry=registry,
        )
        self._stamps: dict[str, str] = {}
        self._corrections = Gauge(
            "fusewatch_stamp_corrections",
            "Stamps that needed more than smoothing, by reason",
            ["stream", "reason"],
            registry=registry,
        )
        self._jitter = Gauge(
            "fusewatch_stamp_jitter_seconds",
            "Usual distance of stamps from the stream's fitted rate",
            ["stream"],
            registry=registry,
        )
        self._rate = Gauge(
            "fusewatch_stream_rate_error_ppm",
            "How much slower than nominal the device runs",
            ["stream"],
            registry=registry,
        )

    def look(self, clocks: Mapping[str, StreamClock]) -> None:
        """Say what the stamps of streams needed."""
        for stream, clock in clocks.items():
            self._jitter.labels(stream).set(clock.spread_ns / 1e9)
            self._rate.labels(stream).set(clock.rate_error_ppm)
            for reason, count in clock.counts.items():
                self._corrections.labels(stream, reason.value).set(count)

    def announce(self, info: StreamInfo) -> None:
        """A stream was announced, or announced anew."""
        before = self._stamps.get(info.name)
        self._stamps[info.name] = info.stamp
        if before is not None and before != info.stamp:
            self._stamp.remove(info.name, before)
            self._stamp_changes.labels(info.name).inc()
        self._stamp.labels(info.name, info.stamp).set(1)
