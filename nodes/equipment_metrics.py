"""What the fusion node knows of the equipment, as metrics: who sees, keeps time, is recorded."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Gauge

from pipeline.alignment.sync_watch import SyncWatch
from pipeline.detection.evidence_recording import FULL
from pipeline.detection.stream_books import StreamBooks
from pipeline.recording.retention import Removal


class EquipmentMetrics:
    """Metrics of streams and recordings.

    Args:
        registry: Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._unseen = Gauge(
            "fusewatch_stream_unseen",
            "1 while a stream cannot see, by why (absent, frozen, clock, ...); 0 once it can",
            ["scene", "stream", "reason"],
            registry=registry,
        )
        self._blind: set[tuple[str, str, str]] = set()
        self._unrecorded = Gauge(
            "fusewatch_recording_lost", "Arrivals that the disk refused", registry=registry
        )
        self._removed = Gauge(
            "fusewatch_recordings_removed",
            "Files deleted by the limits, by reason",
            ["reason"],
            registry=registry,
        )
        self._left_out = Gauge(
            "fusewatch_evidence_left_out_samples",
            "In no evidence, by stream and reason",
            ["stream", "reason"],
            registry=registry,
        )
        self._unwritten = Gauge(
            "fusewatch_evidence_unwritten", "Evidence that the disk refused", registry=registry
        )
        self._arrived = self._of_stream("fusewatch_arrived_samples", "Came since the start")
        self._skipped = self._of_stream(
            "fusewatch_skipped_samples", "Numbers passed over: dropped by the node, or lost"
        )
        self._unexplained = self._of_stream(
            "fusewatch_unexplained_samples", "Missing, and no entry of the ledger says why"
        )
        self._last = self._of_stream(
            "fusewatch_last_sample_time_seconds", "Stamp of the last sample, Unix time"
        )
        self._fetched = Gauge(
            "fusewatch_fetched_pictures",
            "Fetched back for evidence, since the start: requests asked, answered, unanswered; "
            "pictures that came, used, late; clips whole, small",
            ["what"],
            registry=registry,
        )
        labels = ["scene", "stream"]
        self._sync_offset = Gauge(
            "fusewatch_sync_offset_seconds",
            "How much later than the reference a stream was when that was last certain",
            labels,
            registry=registry,
        )
        self._sync_unsure = Gauge(
            "fusewatch_sync_uncertainty_seconds", "Of that offset", labels, registry=registry
        )
        self._sync_at = Gauge(
            "fusewatch_sync_certain_time_seconds",
            "When that was, Unix time",
            labels,
            registry=registry,
        )

    def books(self, books: Mapping[str, StreamBooks]) -> None:
        """Say what arrived of each stream, against what its node says."""
        for stream, one in books.items():
            self._arrived.labels(stream).set(one.arrived)
            self._skipped.labels(stream).set(one.skipped)
            self._unexplained.labels(stream).set(one.unexplained)
            if one.last_ns is not None:
                self._last.labels(stream).set(one.last_ns / 1e9)

    def recording(self, lost: int, removed: Mapping[Removal, int]) -> None:
        """Say what recording could not keep, and what it no longer keeps."""
        self._unrecorded.set(lost)
        for reason, count in removed.items():
            self._removed.labels(reason.value).set(count)

    def fetched(self, counters: Mapping[str, int]) -> None:
        """Say what became of full pictures that evidence wanted."""
        for what, count in counters.items():
            self._fetched.labels(what).set(count)

    def evidence(self, left_out: Mapping[str, int], failed: int) -> None:
        """Say what is missing of the evidence of events."""
        for stream, count in left_out.items():
            self._left_out.labels(stream, FULL).set(count)
        self._unwritten.set(failed)

    def syncs(self, watches: Mapping[str, SyncWatch]) -> None:
        """Say how well streams agree on the time, of those of which it is known."""
        for scene, watch in watches.items():
            for stream, (at_ns, offset) in watch.certain.items():
                self._sync_offset.labels(scene, stream).set(offset.offset_ns / 1e9)
                self._sync_unsure.labels(scene, stream).set(offset.uncertainty_ns / 1e9)
                self._sync_at.labels(scene, stream).set(at_ns / 1e9)

    def unseen(self, reasons: Mapping[tuple[str, str], str]) -> None:
        """Say which streams cannot see, by scene and stream; no reason: it can."""
        # Which channels of a sensor are stuck would make a series of each combination.
        blind = {(*key, why.partition(" (")[0]) for key, why in reasons.items() if why}
        for labels in self._blind - blind:
            self._unseen.labels(*labels).set(0)
        for labels in blind:
            self._unseen.labels(*labels).set(1)
        self._blind = blind

    def _of_stream(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, ["stream"], registry=self._registry)
