"""Delivery from the outbox: one worker per sink, so that one that is down holds up no other.

Rules:

- A sink that is unavailable is tried again after 1 s, then ever more rarely up to once a
  minute (half of each wait is random), for as long as it takes; meanwhile its other
  deliveries rest too. A receiver that says how long to wait (``retry_after_s``) is obeyed.
- An event that a sink rejects is tried `DeliveryPolicy.max_attempts` times, then moved aside.
- An event on which a sink fails as if it were down, again and again, while it takes others in
  between, is taken for the cause after `DeliveryPolicy.max_suspicions` such times and moved
  aside too. With no other scene's event to tell, it keeps its place and is retried.
- A failure of the plug-in's own code counts as a rejection of the event at hand.

Moved aside means listed and revivable in the store, never lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Generic

import structlog

from pipeline.core.clock import Clock
from pipeline.core.errors import SinkError, SinkRejected, SinkUnavailable, StoreError
from pipeline.core.redact import redact_url
from pipeline.sinks.base import Sink
from pipeline.sinks.delivery import DeliveryPolicy, DeliveryStore, PendingT

log = structlog.get_logger(__name__)

POLL_S = 0.5
"""Longest sleep of an idle worker: another process may have revived a delivery."""

REMIND_S = 300.0
"""A sink that stays down is logged this often."""


class Outcome(StrEnum):
    """What one step of a sink came to."""

    IDLE = "idle"  # nothing is due
    WAITING = "waiting"  # the sink failed lately and is left alone
    DELIVERED = "delivered"
    RETRIED = "retried"
    DEAD = "dead"


@dataclass(slots=True)
class _Lane:
    """One sink and what is known of it."""

    name: str
    sink: Sink
    opened: bool = False
    failures: int = 0
    not_before_ns: int = 0
    logged_ns: int | None = None
    store_failed: bool = False
    counts: dict[Outcome, int] = field(
        default_factory=lambda: {Outcome.DELIVERED: 0, Outcome.RETRIED: 0, Outcome.DEAD: 0}
    )
    suspects: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Delivery id → times suspected, deliveries made when it failed last."""


class OutboxDelivery(Generic[PendingT]):
    """Takes due deliveries from a store to their sinks.

    Args:
        store: Where deliveries are kept.
        sinks: Sinks by the name their deliveries are kept under.
        clock: Node time.
        rng: Source of the jitter in waits.
        policy: When to try again and when to give up.
    """

    def __init__(
        self,
        store: DeliveryStore[PendingT],
        sinks: Mapping[str, Sink],
        clock: Clock,
        *,
        rng: Random,
        policy: DeliveryPolicy | None = None,
    ) -> None:
        self._store = store
        self._lanes = {name: _Lane(name, sink) for name, sink in sinks.items()}
        self._clock = clock
        self._rng = rng
        self._policy = policy or DeliveryPolicy()
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()
        self._news = 0
        self._stopping = False
        self._draining = False

    def step(self, sink: str, now_ns: int | None = None) -> Outcome:
        """Try at most one delivery of `sink`.

        Raises:
            StoreError: The outbox itself failed; what was being delivered will be again.
        """
        lane = self._lanes[sink]
        now_ns = self._clock.now_ns() if now_ns is None else now_ns
        if now_ns < lane.not_before_ns:
            return Outcome.WAITING
        if not lane.opened and (error := _attempt(lane.sink.open)) is not None:
            self._rest(lane, error, now_ns)
            return Outcome.WAITING
        lane.opened = True
        delivery = self._store.due(sink, now_ns)
        if delivery is None:
            return Outcome.IDLE
        outcome = self._deliver(lane, delivery, now_ns)
        lane.counts[outcome] += 1
        return outcome

    def start(self) -> None:
        """Begin delivering, one thread per sink."""
        self._store.wake()
        for lane in self._lanes.values():
            thread = threading.Thread(
                target=self._work, args=(lane,), name=f"sink-{lane.name}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def notify(self) -> None:
        """Tell the workers that something new was accepted."""
        with self._changed:
            self._news += 1
            self._changed.notify_all()

    def drain(self, timeout_s: float) -> bool:
        """Deliver what can be delivered at once, then stop; False when cut short by time."""
        self._draining = True
        return self._join(timeout_s)

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Stop after the deliveries at hand; False when one of them did not end in time."""
        self._stopping = True
        return self._join(timeout_s)

    def counts(self) -> dict[str, dict[str, int]]:
        """Per sink: deliveries made, retried and moved aside since the start."""
        return {
            name: {outcome.value: count for outcome, count in lane.counts.items()}
            for name, lane in self._lanes.items()
        }

    def down(self) -> tuple[str, ...]:
        """Sinks that failed when they were last tried."""
        return tuple(name for name, lane in self._lanes.items() if lane.failures)

    @property
    def healthy(self) -> bool:
        """Whether every worker lives and can use the outbox."""
        alive = all(thread.is_alive() for thread in self._threads)
        return alive and not any(lane.store_failed for lane in self._lanes.values())

    def _join(self, timeout_s: float) -> bool:
        self.notify()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self, lane: _Lane) -> None:
        while not self._stopping:
            news = self._news
            progress = self._guarded_step(lane)
            if progress:
                continue
            if self._draining and news == self._news:
                break  # nothing came between the look and the wish to end
            with self._changed:
                if news == self._news and not self._stopping and not self._draining:
                    self._changed.wait(self._pause_s(lane))
        if lane.opened:
            _attempt(lane.sink.close)

    def _pause_s(self, lane: _Lane) -> float:
        rest_s = (lane.not_before_ns - self._clock.now_ns()) / 1e9
        return min(POLL_S, rest_s) if rest_s > 0 else POLL_S

    def _guarded_step(self, lane: _Lane) -> bool:
        try:
            outcome = self.step(lane.name)
        except StoreError as error:
            if not lane.store_failed:
                log.error("the outbox cannot be used", sink=lane.name, error=str(error))
            lane.store_failed = True
            return False
        lane.store_failed = False
        return outcome in {Outcome.DELIVERED, Outcome.DEAD}

    def _deliver(self, lane: _Lane, delivery: PendingT, now_ns: int) -> Outcome:
        error = _attempt(lambda: lane.sink.deliver(delivery.event))
        if error is None:
            self._store.delivered(delivery)
            self._recovered(lane, delivery)
            return Outcome.DELIVERED
        if isinstance(error, SinkUnavailable):
            return self._unavailable(lane, delivery, error, now_ns)
        return self._rejected(lane, delivery, error, now_ns)

    def _recovered(self, lane: _Lane, delivery: PendingT) -> None:
        if lane.failures:
            log.info("sink is back", sink=lane.name)
        lane.failures = 0
        lane.logged_ns = None
        lane.suspects.pop(delivery.id, None)

    def _unavailable(
        self, lane: _Lane, delivery: PendingT, error: SinkUnavailable, now_ns: int
    ) -> Outcome:
        made = lane.counts[Outcome.DELIVERED]
        times, made_then = lane.suspects.get(delivery.id, (0, made))
        times += made > made_then
        lane.suspects[delivery.id] = (times, made)
        if times >= self._policy.max_suspicions:
            return self._give_up(lane, delivery, error)
        self._rest(lane, error, now_ns)
        own = now_ns + self._policy.wait_ns(times, self._rng) if times else 0
        self._store.retry(delivery, max(own, lane.not_before_ns), str(error))
        return Outcome.RETRIED

    def _rejected(self, lane: _Lane, delivery: PendingT, error: SinkError, now_ns: int) -> Outcome:
        strikes = delivery.strikes + 1
        if strikes >= self._policy.max_attempts:
            return self._give_up(lane, delivery, error)
        at_ns = now_ns + self._policy.wait_ns(strikes, self._rng)
        self._store.retry(delivery, at_ns, str(error), strike=True)
        return Outcome.RETRIED

    def _give_up(self, lane: _Lane, delivery: PendingT, error: SinkError) -> Outcome:
        self._store.dead(delivery, str(error))
        lane.suspects.pop(delivery.id, None)
        log.error("event moved aside", sink=lane.name, key=delivery.event.key, error=str(error))
        return Outcome.DEAD

    def _rest(self, lane: _Lane, error: SinkError, now_ns: int) -> None:
        """Leave the sink alone for a while and open it anew after."""
        _attempt(lane.sink.close)
        lane.opened = False
        lane.failures += 1
        wait_ns = self._policy.wait_ns(lane.failures, self._rng)
        asked_s = getattr(error, "retry_after_s", None) or 0.0
        lane.not_before_ns = now_ns + max(wait_ns, int(asked_s * 1e9))
        if lane.logged_ns is None or now_ns - lane.logged_ns >= REMIND_S * 1e9:
            lane.logged_ns = now_ns
            log.warning("sink is down, retrying", sink=lane.name, error=str(error))


def _attempt(action: Callable[[], None]) -> SinkError | None:
    """Run a sink's own code; what went wrong, or None."""
    try:
        action()
    except SinkError as error:
        return error
    except Exception as error:  # a plug-in's own fault must not end the worker of its sink
        return SinkRejected(redact_url(f"{type(error).__name__}: {error}"))
    return None
