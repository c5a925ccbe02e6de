"""An outlet that keeps what it was told, for tests of runners."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence

from pipeline.core.ledger import DropReason
from pipeline.core.sample import Sample, StreamInfo
from pipeline.sources.runner import SourceState, SourceStatus


class KeptOutlet:
    """Keeps everything; may be looked at from any thread."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.openings: list[tuple[StreamInfo, ...]] = []
        self.kept: list[Sample] = []
        self.refusals: Counter[tuple[str, DropReason]] = Counter()
        self.details: list[str] = []
        self.history: list[SourceStatus] = []
        self.has_ended = False
        self.threads: set[str] = set()
        self.on_samples: Callable[[Sequence[Sample]], None] = lambda samples: None

    def opened(self, infos: tuple[StreamInfo, ...]) -> None:
        self.openings.append(infos)

    def samples(self, samples: Sequence[Sample]) -> None:
        self.on_samples(samples)
        self.threads.add(threading.current_thread().name)
        with self.lock:
            self.kept.extend(samples)

    def rejected(self, stream: str, reason: DropReason, detail: str) -> None:
        self.refusals[stream, reason] += 1
        self.details.append(detail)

    def status(self, status: SourceStatus) -> None:
        self.history.append(status)

    def ended(self) -> None:
        self.has_ended = True

    def of(self, stream: str, epoch: int | None = None) -> list[Sample]:
        """Samples of one stream, of one epoch or of all."""
        with self.lock:
            return [s for s in self.kept if s.stream == stream and epoch in (None, s.epoch)]

    def states(self) -> list[SourceState]:
        return [status.state for status in self.history]
