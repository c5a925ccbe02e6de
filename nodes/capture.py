"""The capture node: sources in, samples on site time out.

The way of a sample: its source stamps it in node time → what is private is taken out
(`pipeline.sources.privacy`) → `StreamClock` takes out jitter and known latency → the node's
clock offset puts it on site time → a picture of a stream that is sent small is kept, and made
small (`nodes.small_streams`) → a raw frame becomes a JPEG if the link wants one → the sender
numbers, keeps and sends it. Streams whose stamps are
``exact`` are on site time already and skip the two steps of time. Before the offset is known
samples wait in the sender in node time, which is one line from the node's start on, and are put
on site time by the first offset there is.

The node ends by itself when all its sources have ended and everything is delivered.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence

import structlog
from prometheus_client import CollectorRegistry

from nodes.capture_metrics import CaptureMetrics
from nodes.health import Health
from nodes.kept_data import kept_by_capture, kinds
from nodes.ledger_audit import LedgerAudit
from nodes.link_trouble import LinkTrouble
from nodes.links import capture_sender, encrypted, fusion_endpoint
from nodes.memory_return import MemoryReturn
from nodes.retention_metrics import RetentionMetrics
from nodes.small_streams import SmallStreams, full_ring
from nodes.stamping import Stamper
from pipeline.config.deployment import Deployment
from pipeline.core.clock import Clock
from pipeline.core.errors import BadReading, CodecError
from pipeline.core.ledger import DropReason, Ledger, StreamAccount
from pipeline.core.retention import Sweeper
from pipeline.core.sample import Sample, StreamInfo
from pipeline.sources.privacy import PrivateOutlet
from pipeline.sources.runner import SourceRunner, SourceState, SourceStatus
from pipeline.transport.frames import encode_for_link
from pipeline.transport.kept import OnFull
from pipeline.transport.sender import Sender
from pipeline.transport.sender_status import SenderStatus

log = structlog.get_logger(__name__)

ENCRYPTED_QUALITY = 85
FIRST_OFFSET_S = 1.0
OFFSET_POLL_S = 0.02
END_DRAIN_S = 30.0
PATIENCE_NS = 10_000_000_000


class CaptureNode:
    """One capture node of a deployment.

    Args:
        deployment: The deployment.
        node: Which of its nodes this is.
        clock: Node time.
    """

    def __init__(self, deployment: Deployment, node: str, clock: Clock) -> None:
        self._deployment = deployment
        self._node = node
        self._clock = clock
        self._ledger = Ledger()
        self._full = full_ring(deployment, node)
        self._sender: Sender | None = None
        self._outlets: list[_Outlet] = []
        self._runners: list[SourceRunner] = []
        self._changed = threading.Condition()
        self._encrypted = False
        self._trouble = LinkTrouble(PATIENCE_NS)
        self._retention = Sweeper(kinds(kept_by_capture(deployment, node)))
        self._memory = MemoryReturn()
        self._audit = LedgerAudit(len(deployment.nodes[node].sources))
        self._health: Health | None = None
        self._metrics: CaptureMetrics | None = None

    @property
    def name(self) -> str:
        """Name of the process."""
        return f"capture-{self._node}"

    def register(self, health: Health, registry: CollectorRegistry) -> None:
        """Take what health and metrics are reported to."""
        self._health = health
        self._metrics = CaptureMetrics(registry, self._ledger)
        registry.register(RetentionMetrics(lambda: self._retention))

    def start(self) -> None:
        """Connect to the fusion node and start all sources."""
        sender = self._sender = capture_sender(
            self._deployment, self._node, self._clock, self._ledger, self._full
        )
        endpoint = fusion_endpoint(self._deployment, self._node)
        self._encrypted = encrypted(self._deployment, self._deployment.fusion.listen, endpoint)
        self._await_offset(sender)
        sources = self._deployment.nodes[self._node].sources
        for index, source in enumerate(sources):
            outlet = _Outlet(self, sender)
            self._outlets.append(outlet)
            name = f"{source.type}-{index}"
            private = PrivateOutlet(outlet, self._deployment.privacy)
            self._runners.append(SourceRunner(name, source, self._clock, private))
        for runner in self._runners:
            runner.start()

    def step(self, timeout_s: float) -> bool:
        """Look after health; False when every source has ended and all is delivered."""
        with self._changed:
            self._changed.wait_for(self._over, timeout_s)
            over = self._over()
        if self._sender is not None and self._health is not None and self._metrics is not None:
            before = self._ledger.snapshot()
            status = self._sender.status
            self._tell_ledger(self._health, before, status.pending)
            self._tell_link(self._health, status)
            self._metrics.link(status, self._sender.clock_estimate())
            self._memory.look(status.pending)
            for outlet in self._outlets:
                self._metrics.stamps.look(outlet.stamper.clocks)
            thinned = sum((outlet.small.counters for outlet in self._outlets), Counter())
            self._metrics.full(self._full.counters | thinned)
        self._full.forget(self._clock.now_ns())
        self._retention.look(self._clock.now_ns())
        return not over

    def drain(self, timeout_s: float) -> None:
        """Stop the sources and wait until what they gave is committed by the fusion node."""
        wait_s = END_DRAIN_S if self._over() else timeout_s
        for runner in self._runners:
            runner.stop()
        if self._sender is None:
            return
        for outlet in self._outlets:
            outlet.end_streams()
        if not self._sender.drain(wait_s):
            log.warning("not everything was delivered", after_s=wait_s, spooled=self._spooled())

    def close(self) -> None:
        """Let go of the sources and the link."""
        for runner in self._runners:
            runner.stop()
        if self._sender is not None:
            self._sender.close()

    def on_status(self, status: SourceStatus) -> None:
        """A source changed its state."""
        log.info("source", source=status.name, state=status.state.value, error=status.trouble)
        if self._health is not None:
            good = status.state in (SourceState.RUNNING, SourceState.ENDED)
            self._health.ready(f"source {status.name}", good, status.trouble)
        if self._metrics is not None:
            self._metrics.source(status)
        with self._changed:
            self._changed.notify_all()

    def on_stream(self, info: StreamInfo) -> None:
        """A source announced a stream, or announced it anew."""
        if self._metrics is not None:
            self._metrics.stamps.announce(info)

    def stamper(self) -> Stamper:
        """A new stamper for one source."""
        return Stamper(self._deployment)

    def small_streams(self) -> SmallStreams:
        """What makes the pictures of one source small, where that is asked for."""
        return SmallStreams(self._deployment, self._full)

    def now_ns(self) -> int:
        """Node time."""
        return self._clock.now_ns()

    def reject(self, stream: str, reason: DropReason, detail: str) -> None:
        """A reading was lost before it became a sample."""
        self._ledger.captured(stream)
        self._ledger.dropped(stream, reason)
        log.warning("reading lost", stream=stream, reason=reason.value, detail=detail, every_s=10)

    def quality(self, stream: str) -> int | None:
        """JPEG quality for raw frames of a stream; None: they stay raw."""
        wanted = self._deployment.stream(stream).jpeg_quality
        if wanted is not None:
            return wanted
        return ENCRYPTED_QUALITY if self._encrypted else None

    def on_full(self, stream: str) -> OnFull:
        """What gives way when the buffer is full."""
        return self._deployment.stream(stream).on_full

    def _await_offset(self, sender: Sender) -> None:
        """Wait a moment for a good clock offset, so that the first stamps have it too."""
        waited = threading.Event()
        for _ in range(round(FIRST_OFFSET_S / OFFSET_POLL_S)):
            if sender.clock_settled:
                return
            waited.wait(OFFSET_POLL_S)
        if sender.clock_estimate() is None:
            log.info("no clock offset yet, samples wait for it")

    def _tell_link(self, health: Health, status: SenderStatus) -> None:
        trouble = self._trouble.look(status, self._clock.now_ns(), encrypted=self._encrypted)
        health.ready("link", not trouble, trouble)
        if self._trouble.worth_telling:
            log.warning("nothing can be delivered", reason=trouble)

    def _tell_ledger(
        self, health: Health, before: Mapping[str, StreamAccount], waiting: int
    ) -> None:
        wrong = self._audit.look(before, waiting, self._ledger.snapshot())
        health.ready("ledger", not wrong, wrong)
        if self._audit.worth_telling:
            log.error("the ledger does not add up", node=self._node, reason=wrong)

    def _over(self) -> bool:
        return bool(self._outlets) and all(outlet.over for outlet in self._outlets)

    def _spooled(self) -> int:
        return sum(account.spooled for account in self._ledger.snapshot().values())


class _Outlet:
    """Takes what one source gives; all calls come from that source's thread."""

    def __init__(self, node: CaptureNode, sender: Sender) -> None:
        self.over = False
        self._node = node
        self._sender = sender
        self.stamper = node.stamper()
        self.small = node.small_streams()
        self._streams: set[str] = set()

    def opened(self, infos: tuple[StreamInfo, ...]) -> None:
        for info in infos:
            self._streams.add(info.name)
            self.stamper.open(info)
            self._node.on_stream(info)
            self._sender.add_stream(self.small.sent(info), on_full=self._node.on_full(info.name))

    def samples(self, samples: Sequence[Sample]) -> None:
        estimate = self._sender.clock_estimate()
        offset_ns = estimate.offset_ns if estimate is not None else 0
        unsure_ns = estimate.uncertainty_ns if estimate is not None else 0
        for sample in samples:
            stamped = self.stamper.stamp(sample, offset_ns, unsure_ns)
            placed = estimate is not None or self.stamper.is_exact(sample.stream)
            quality = self._node.quality(sample.stream)
            try:
                small = self.small.take(stamped, self._node.now_ns(), placed=placed)
                if small is None:
                    continue
                ready = small if quality is None else encode_for_link(small, quality)
            except (CodecError, BadReading) as error:
                self._node.reject(sample.stream, DropReason.CORRUPT, error.message)
                continue
            self._sender.send(ready, placed=placed)

    def rejected(self, stream: str, reason: DropReason, detail: str) -> None:
        self._node.reject(stream, reason, detail)

    def status(self, status: SourceStatus) -> None:
        self._node.on_status(status)

    def ended(self) -> None:
        self.end_streams()
        self.over = True

    def end_streams(self) -> None:
        for stream in self._streams:
            self._sender.end(stream)
