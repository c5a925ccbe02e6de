"""Whether the fusion node keeps up, and what it leaves out when it does not, as metrics."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from nodes.keeping_up import KeepingUp

WIDENED = "hop_widened"


class LoadMetrics:
    """Metrics of the load.

    Args:
        registry: Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._hop = Gauge(
            "fusewatch_hop_times",
            "How many times further apart than set the windows are that are scored; 1: as set",
            ["scene"],
            registry=registry,
        )
        self._left_out = Counter(
            "fusewatch_windows_left_out",
            "Windows cut and not scored, by reason",
            ["scene", "reason"],
            registry=registry,
        )
        self._lag = Gauge(
            "fusewatch_scene_lag_seconds",
            "How long the first that arrived and is not taken has waited",
            ["scene"],
            registry=registry,
        )
        self._needed = Gauge(
            "fusewatch_scene_load",
            "Share of the node's time that the scene needs, as wide as its hop is",
            ["scene"],
            registry=registry,
        )

    def left_out(self, counts: Mapping[str, int]) -> None:
        """Count windows that were left out in a turn, by scene."""
        for scene, count in counts.items():
            self._left_out.labels(scene, WIDENED).inc(count)

    def look(self, load: KeepingUp) -> None:
        """Read who waits, who needs what, and what it is given, when that is known anew."""
        if not load.news:
            return
        for scene, lag_ns in load.lags_ns.items():
            self._lag.labels(scene).set(lag_ns / 1e9)
        for scene, times in load.times.items():
            self._hop.labels(scene).set(times)
        for scene, share in load.needed.items():
            self._needed.labels(scene).set(share)
