"""Delivery from the outbox: each sink has its own workers, so one that is down holds up no other.

Rules:

- A sink that is unavailable is tried again after 1 s, then ever more rarely up to once a
  minute (half of each wait is random), for as long as it takes; meanwhile its other
  deliveries rest too. A receiver that says how long to wait (``retry_after_s``) is obeyed.
- A sink that is back does not get a flood: what was over long before it could be told is told
  in one digest per scene (`pipeline.core.digest`), at the place of the first event in it, and
  no more than ``max_per_minute`` deliveries are tried. See `Pace`.
- An event that a sink rejects is tried `DeliveryPolicy.max_attempts` times, then moved aside.
- An event on which a sink fails as if it were down, again and again, while it takes others in
  between, is taken for the cause after `DeliveryPolicy.max_suspicions` such times and moved
  aside too. With no other scene's event to tell, it keeps its place and is retried.
- A failure of the plug-in's own code counts as a rejection of the event at hand.

Moved aside means listed and revivable in the store, never lost. What a sink took but the store
could not note any more, for a kill between the two, is delivered again with the same key.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from random import Random
from typing import Generic

import structlog

from pipeline.core.clock import Clock
from pipeline.core.errors import StoreError
from pipeline.sinks.delivery import DeliveryPolicy, DeliveryStore, PendingT
from pipeline.sinks.lane import SECOND_NS, Lane, Outcome, Outlet

log = structlog.get_logger(__name__)

POLL_S = 0.5
"""Longest sleep of an idle worker: another process may have revived a delivery."""


class OutboxDelivery(Generic[PendingT]):
    """Takes due deliveries from a store to their sinks.

    Args:
        store: Where deliveries are kept.
        outlets: Sinks by the name their deliveries are kept under.
        clock: Node time.
        rng: Source of the jitter in waits.
        policy: When to try again and when to give up.
    """

    def __init__(
        self,
        store: DeliveryStore[PendingT],
        outlets: Mapping[str, Outlet],
        clock: Clock,
        *,
        rng: Random,
        policy: DeliveryPolicy | None = None,
    ) -> None:
        self._store = store
        policy = policy or DeliveryPolicy()
        self._lanes = {n: Lane(n, outlet, store, policy, rng) for n, outlet in outlets.items()}
        self._clock = clock
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()
        self._news = 0
        self._stopping = False
        self._draining = False

    def step(self, sink: str, hand: int = 0) -> Outcome:
        """Try at most one delivery of `sink` by one of its connections.

        Raises:
            StoreError: The outbox itself failed; what was being delivered will be again.
        """
        lane = self._lanes[sink]
        now_ns = self._clock.now_ns()
        if lane.rest_ns(now_ns):
            return Outcome.WAITING
        own = lane.hands[hand]
        if (error := own.open()) is not None:
            lane.rest(own, error, now_ns)
            return Outcome.WAITING
        delivery = lane.claim(now_ns)
        if delivery is None:
            return Outcome.IDLE
        outcome = None
        try:
            outcome = lane.settle(own, delivery, own.deliver(delivery), now_ns)
        finally:
            lane.done(delivery, outcome)
        return outcome

    def start(self) -> None:
        """Begin delivering, one thread per connection of a sink."""
        self._store.wake()
        for lane in self._lanes.values():
            for number in range(len(lane.hands)):
                name = f"sink-{lane.name}-{number}"
                thread = threading.Thread(
                    target=self._work, args=(lane, number), name=name, daemon=True
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

    def failures(self) -> dict[str, int]:
        """Per sink, how often it failed in a row when it was last tried; 0: it works."""
        return {name: lane.failures for name, lane in self._lanes.items()}

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

    def _work(self, lane: Lane[PendingT], number: int) -> None:
        while not self._stopping:
            news = self._news
            progress = self._guarded_step(lane, number)
            if progress:
                continue
            if self._draining and news == self._news:
                break  # nothing came between the look and the wish to end
            with self._changed:
                if news == self._news and not self._stopping and not self._draining:
                    self._changed.wait(self._pause_s(lane))
        if lane.hands[number].opened:
            lane.hands[number].close()

    def _pause_s(self, lane: Lane[PendingT]) -> float:
        rest_s = lane.rest_ns(self._clock.now_ns()) / SECOND_NS
        return min(POLL_S, rest_s) if rest_s > 0 else POLL_S

    def _guarded_step(self, lane: Lane[PendingT], number: int) -> bool:
        try:
            outcome = self.step(lane.name, number)
        except StoreError as error:
            if not lane.store_failed:
                log.error("the outbox cannot be used", sink=lane.name, error=str(error))
            lane.store_failed = True
            return False
        lane.store_failed = False
        return outcome in {Outcome.DELIVERED, Outcome.DEAD}
