"""Recording straight from the sources of a deployment, without any other node.

What is recorded is what a capture node would send: pictures of a stream that is sent small are
small here too, so that a model learns from what it will be shown.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import structlog

from nodes.small_streams import SmallStreams
from nodes.stamping import Stamper
from pipeline.config.deployment import Deployment
from pipeline.core.arrival import Arrival, LedgerReport, SampleArrived, StreamEnded, StreamOpened
from pipeline.core.clock import Clock
from pipeline.core.errors import BadReading, RecordingError
from pipeline.core.ledger import DropReason, Ledger
from pipeline.core.sample import Sample, StreamInfo
from pipeline.recording.folder import RecordingFolder
from pipeline.recording.writer import RecordingWriter
from pipeline.sources.privacy import PrivateOutlet
from pipeline.sources.runner import SourceRunner, SourceStatus
from pipeline.transport.full_ring import FullRing

log = structlog.get_logger(__name__)

QUEUE = 4096


class DirectRecorder:
    """Runs the sources of a deployment and writes what they give.

    Args:
        deployment: The deployment.
        writer: The recording, or a folder of recordings; closed with this.
        clock: Node time, which is taken as site time: there is no other node to agree with.
    """

    def __init__(
        self, deployment: Deployment, writer: RecordingWriter | RecordingFolder, clock: Clock
    ) -> None:
        self._writer = writer
        self._clock = clock
        self._inbox: deque[Arrival] = deque()
        self._room = threading.Condition()
        self.ledger = Ledger()
        self.samples = 0
        self._outlets = [
            _Outlet(self, name, deployment)
            for name, node in deployment.nodes.items()
            for _ in node.sources
        ]
        sources = [s for node in deployment.nodes.values() for s in node.sources]
        self._runners = [
            SourceRunner(
                f"{outlet.node}/{source.stream_names()[0]}",
                source,
                clock,
                PrivateOutlet(outlet, deployment.privacy),
            )
            for outlet, source in zip(self._outlets, sources, strict=True)
        ]

    def start(self) -> None:
        """Start all sources."""
        for runner in self._runners:
            runner.start()

    def step(self, timeout_s: float) -> bool:
        """Write what came; False once every source has ended and all is written."""
        with self._room:
            if not self._inbox:
                self._room.wait(timeout_s)
            batch = list(self._inbox)
            self._inbox.clear()
            self._room.notify_all()
        for arrival in batch:
            self._write(arrival)
        self._writer.flush_due(self._clock.now_ns())
        return bool(batch) or not all(outlet.over for outlet in self._outlets)

    def close(self) -> None:
        """Stop the sources, write what is under way, and finish the file."""
        with self._room:
            for outlet in self._outlets:
                outlet.closing = True
            self._room.notify_all()
        for runner in self._runners:
            runner.stop()
        while self._inbox:
            self._write(self._inbox.popleft())
        for node in dict.fromkeys(outlet.node for outlet in self._outlets):
            report = LedgerReport(self._clock.now_ns(), node, self.ledger.snapshot())
            self._writer.write(report)
        self._writer.close()

    def put(self, outlet: _Outlet, arrivals: Sequence[Arrival]) -> None:
        """Queue arrivals for writing; blocks while too many wait, so nothing is lost."""
        with self._room:
            while len(self._inbox) >= QUEUE and not outlet.closing:
                self._room.wait(0.1)
            self._inbox.extend(arrivals)
            self._room.notify_all()

    def _write(self, arrival: Arrival) -> None:
        self._writer.write(arrival)
        if isinstance(arrival, SampleArrived):
            self.samples += 1
            self.ledger.delivered(arrival.sample.stream)


def nothing_given(target: Path) -> RecordingError:
    """That no source gave anything to record."""
    return RecordingError(
        "no source gave anything, so nothing was kept",
        where=str(target),
        fix="see why above; 'fusewatch doctor' lists the devices that are here",
    )


class _Outlet:
    """Takes what one source gives."""

    def __init__(self, recorder: DirectRecorder, node: str, deployment: Deployment) -> None:
        self.node = node
        self.over = False
        self.closing = False
        self._recorder = recorder
        self._stamper = Stamper(deployment)
        self._small = SmallStreams(deployment, FullRing({}))
        self._clock = recorder._clock
        self._sequences: dict[str, int] = {}

    def opened(self, infos: tuple[StreamInfo, ...]) -> None:
        now_ns = self._clock.now_ns()
        for info in infos:
            self._stamper.open(info)
            self._sequences.setdefault(info.name, 0)
        sent = [self._small.sent(info) for info in infos]
        self._recorder.put(self, [StreamOpened(now_ns, self.node, info) for info in sent])

    def samples(self, samples: Sequence[Sample]) -> None:
        now_ns = self._clock.now_ns()
        stamped = []
        for sample in samples:
            site = self._sent(self._stamper.stamp(sample, 0, 0), now_ns)
            if site is None:
                continue
            self._recorder.ledger.captured(site.stream)
            site.sequence = self._sequences[site.stream]
            self._sequences[site.stream] += 1
            # A source faster than real time is put on its own time, as it would have arrived.
            arrival_ns = max(now_ns, site.timestamp_ns)
            stamped.append(SampleArrived(arrival_ns, self.node, site))
        self._recorder.put(self, stamped)

    def _sent(self, sample: Sample, now_ns: int) -> Sample | None:
        """What a capture node would send of it; None: nothing."""
        try:
            return self._small.take(sample, now_ns, placed=True)
        except BadReading as error:
            self.rejected(sample.stream, DropReason.CORRUPT, error.message)
            return None

    def rejected(self, stream: str, reason: DropReason, detail: str) -> None:
        self._recorder.ledger.captured(stream)
        self._recorder.ledger.dropped(stream, reason)
        log.warning(
            "reading refused", stream=stream, reason=reason.value, detail=detail, every_s=10
        )

    def status(self, status: SourceStatus) -> None:
        log.info("source", source=status.name, state=status.state.value, error=status.trouble)

    def ended(self) -> None:
        now_ns = self._clock.now_ns()
        ends = [StreamEnded(now_ns, self.node, stream) for stream in self._sequences]
        self._recorder.put(self, ends)
        self.over = True
