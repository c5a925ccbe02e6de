"""The alert node: events in from the fusion node, out to the sinks.

The order is the guarantee: an event is accepted into the outbox (one transaction, with one
delivery per sink), then acknowledged to the fusion node, then delivered. Killed before the
acknowledgement, the fusion node sends it again and the outbox knows its key; killed after,
the outbox has it. So every sink gets each phase at least once, in order per scene. What people
answered comes and is accepted the same way; what a sink is told later or not at all is ruled by
`nodes.holding`, in the transaction that accepts.

While the outbox cannot be written, nothing is acknowledged and the node says that it is not
ready; the fusion node keeps its events, and what was already received is tried again here.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from random import Random

import msgspec
import structlog
from prometheus_client import CollectorRegistry

from nodes.alert_grouping import AlertGrouping
from nodes.alert_metrics import AlertMetrics
from nodes.alert_routing import AlertRouting
from nodes.health import Health
from nodes.holding import Holding
from nodes.kept_data import kinds
from nodes.places import evidence_folder, outbox_file
from nodes.refused_metrics import RefusedMetrics
from nodes.retention import kept_by_alert
from nodes.retention_metrics import RetentionMetrics
from pipeline.config import Deployment
from pipeline.core.answered import EventAnswer, answer_of
from pipeline.core.clock import Clock
from pipeline.core.errors import StoreError
from pipeline.core.event import Event, from_json
from pipeline.core.retention import Sweeper
from pipeline.sinks.base import SinkContext
from pipeline.sinks.lane import Outlet
from pipeline.sinks.outbox import OutboxDelivery
from pipeline.store import Delivery, OutboxStore
from pipeline.transport.event_receiver import EventDelivery, EventReceiver

log = structlog.get_logger(__name__)

STORE_WAIT_S = 0.5
"""Pause before an outbox that failed is tried again, seconds."""

PRUNE_EVERY = 1_000
"""Accepted events between two clearings of what every sink has."""


class AlertNode:
    """The alert node of a deployment.

    Args:
        deployment: The deployment.
        clock: Node time.
        open_link: Makes the receiving end of the link.
        rng: Source of the jitter in retries; None: seeded by the system.
    """

    def __init__(
        self,
        deployment: Deployment,
        clock: Clock,
        open_link: Callable[[], EventReceiver],
        rng: Random | None = None,
    ) -> None:
        self._deployment = deployment
        self._clock = clock
        self._open_link = open_link
        self._rng = rng or Random()
        self._sinks = [settings.key for settings in deployment.alert.sinks]
        self._health = Health()
        self._registry: CollectorRegistry | None = None
        self._store: OutboxStore | None = None
        self._link: EventReceiver | None = None
        self._delivery: OutboxDelivery[Delivery] | None = None
        self._waiting: deque[EventDelivery] = deque()
        self._retention = Sweeper(())
        self._intake = {"accepted": 0, "repeated": 0, "refused": 0, "answers": 0}

    @property
    def name(self) -> str:
        """Name of the process."""
        return "alert"

    def register(self, health: Health, registry: CollectorRegistry) -> None:
        """Take what health and metrics are reported to."""
        self._health = health
        self._registry = registry
        health.ready("link", False, "starting")
        health.ready("outbox", False, "starting")

    def start(self) -> None:
        """Open the outbox, begin to deliver, listen for events.

        Raises:
            StoreError: The outbox cannot be opened.
            TransportError: The address cannot be listened on.
        """
        self._store = store = OutboxStore(outbox_file(self._deployment))
        self._routing = AlertRouting(self._deployment.alert.sinks, store.told)
        self._holding = Holding(self._deployment.alert.sinks, store)
        self._grouping = AlertGrouping(self._deployment.alert.sinks, store, self._routing)
        self._retention = Sweeper(kinds(kept_by_alert(self._deployment, store)))
        self._delivery = delivery = OutboxDelivery(
            store, self._build_outlets(), self._clock, rng=self._rng
        )
        if self._registry is not None:
            self._registry.register(
                AlertMetrics(
                    store, delivery, lambda: self._intake, self._routing, self._holding, self._clock
                )
            )
            self._registry.register(RetentionMetrics(lambda: self._retention))
        self._report_leftovers(store)
        self._holding.look(self._clock.now_ns())  # before what comes can overtake it
        delivery.start()
        self._health.ready("outbox", True)
        self._link = link = self._open_link()
        if self._registry is not None:
            self._registry.register(RefusedMetrics(lambda: link.counters))
        self._health.ready("link", True, self._link.address)
        if not self._sinks:
            log.warning("no sinks are configured, events are kept and go nowhere")

    def step(self, timeout_s: float) -> bool:
        """Take in what came within `timeout_s`; never finished by itself."""
        if self._waiting:
            self._accept_waiting(min(timeout_s, STORE_WAIT_S))
        elif self._link is not None:
            self._waiting.extend(self._link.poll(timeout_s))
            self._accept_waiting(0.0)
        self._retention.look(self._clock.now_ns())
        self._report_outbox()
        return True

    def drain(self, timeout_s: float) -> None:
        """Take in what has come already and deliver what can be delivered now."""
        if self._link is not None:
            self._waiting.extend(self._link.poll(0.0))
            self._accept_waiting(0.0)
        if self._delivery is not None and not self._delivery.drain(timeout_s):
            log.warning("some deliveries did not end in time and are tried again next time")

    def close(self) -> None:
        """Let go of the address, the sinks and the outbox."""
        if self._link is not None:
            self._link.close()
            self._link = None
        if self._delivery is not None:
            self._delivery.stop(timeout_s=1.0)
            self._delivery = None
        if self._store is not None:
            self._store.close()
            self._store = None

    def _build_outlets(self) -> dict[str, Outlet]:
        context = SinkContext(
            clock=self._clock,
            deployment=self._deployment.name,
            evidence=evidence_folder(self._deployment),
            scenes=tuple(self._deployment.scenes),
        )
        return {
            settings.key: Outlet(
                [settings.build(context) for _ in range(settings.pace.concurrency)], settings.pace
            )
            for settings in self._deployment.alert.sinks
        }

    def _accept_waiting(self, pause_s: float) -> None:
        """Accept and acknowledge in order, let go what was held long enough.

        On a failing outbox the rest stays waiting.
        """
        try:
            while self._waiting:
                self._accept(self._waiting[0])
                self._waiting.popleft()
            if self._delivery is not None and self._holding.look(self._clock.now_ns()):
                self._delivery.notify()
        except StoreError as error:
            self._health.ready("outbox", False, str(error))
            log.error("the outbox cannot be written, trying again", error=str(error), every_s=30)
            time.sleep(pause_s)

    def _accept(self, incoming: EventDelivery) -> None:
        if self._store is None or self._link is None or self._delivery is None:
            return
        read = self._read(incoming.body)
        if read is None:
            self._link.ack(incoming.handle)
            return
        fresh = self._take_in(self._store, *read)
        self._link.ack(incoming.handle)
        accepted = "accepted" if read[1] is None else "answers"
        self._intake[accepted if fresh else "repeated"] += 1
        if fresh:
            self._delivery.notify()
            if self._intake["accepted"] % PRUNE_EVERY == 0:
                self._store.prune()

    def _take_in(self, store: OutboxStore, event: Event, answer: EventAnswer | None) -> bool:
        """Make a phase, or an answer, durable with all that follows; False: it was before."""
        now_ns = self._clock.now_ns()
        if answer is None:
            plan = self._holding.phase(event, self._routing.of(event), now_ns)
            grouped = self._grouping.of(event, plan.sinks)
        else:
            plan, grouped = self._holding.answer(event, answer, now_ns), []
        fresh = store.accept(
            event,
            plan.sinks,
            answer=answer,
            rulings=plan.rulings,
            earlier=plan.earlier,
            grouped=grouped,
        )
        if fresh:
            self._holding.took(plan)
            said = event.phase.value if answer is None else f"answer {answer.action}"
            log.info("event accepted", key=event.key, scene=event.scene, phase=said)
        return fresh

    def _read(self, body: bytes) -> tuple[Event, EventAnswer | None] | None:
        """The event and the answer to it, if it is one; None for what is neither."""
        try:
            return from_json(body), answer_of(body)
        except msgspec.DecodeError as error:  # it would be no other if sent again
            self._intake["refused"] += 1
            log.error("refused what is not an event", error=str(error), every_s=30)
            return None

    def _report_outbox(self) -> None:
        if self._delivery is None or self._waiting:
            return
        healthy = self._delivery.healthy
        self._health.ready("outbox", healthy, "" if healthy else "deliveries cannot be read")

    def _report_leftovers(self, store: OutboxStore) -> None:
        """Deliveries of sinks that are no longer configured stay; say so."""
        for sink, counts in store.counts().items():
            waiting = counts["pending"] + counts.get("held", 0)
            if sink not in self._sinks and waiting:
                log.warning(
                    "deliveries wait for a sink that is not configured", sink=sink, pending=waiting
                )
