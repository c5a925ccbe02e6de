"""One sink on its way from the outbox: who works for it, what is on its way, when it rests.

Rules:

- No two deliveries of one scene are on their way at once, so that order is kept however many
  work for the sink.
- While the sink is down, one delivery at a time asks whether it is back.
- Every try counts towards ``max_per_minute``, also one that fails.

The methods may be called from several threads.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Generic

import structlog

from pipeline.core.errors import SinkError, SinkRejected, SinkUnavailable
from pipeline.core.redact import redact_url
from pipeline.sinks.base import AnswerSink, DigestSink, Sink
from pipeline.sinks.delivery import DeliveryPolicy, DeliveryStore, Pace, Pending, PendingT

log = structlog.get_logger(__name__)

REMIND_S = 300.0
"""A sink that stays down is logged this often."""

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS


class Outcome(StrEnum):
    """What one step of a sink came to."""

    IDLE = "idle"  # nothing is due
    WAITING = "waiting"  # the sink failed lately, or had its share of this minute
    DELIVERED = "delivered"
    RETRIED = "retried"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Outlet:
    """A sink as the outbox is given it.

    Attributes:
        hands: As many connections of the sink as may work at once, each used by one thread.
        pace: How fast it is fed.
    """

    hands: Sequence[Sink]
    pace: Pace = field(default_factory=Pace)


@dataclass(slots=True)
class Hand:
    """One connection of a sink."""

    sink: Sink
    opened: bool = False

    def open(self) -> SinkError | None:
        """Open it if it is not; what went wrong, or None."""
        error = None if self.opened else attempt(self.sink.open)
        self.opened = error is None
        return error

    def close(self) -> None:
        """Let go of everything, also of what an open that failed left."""
        attempt(self.sink.close)
        self.opened = False

    def deliver(self, delivery: Pending) -> SinkError | None:
        """Hand a delivery over; what went wrong, or None."""
        sink, digest, answer = self.sink, delivery.digest, delivery.answer
        if answer is not None:
            if not isinstance(sink, AnswerSink):
                return SinkRejected("this kind of sink cannot tell answers")
            return attempt(lambda: sink.deliver_answer(delivery.event, answer))
        if digest is not None and isinstance(sink, DigestSink):
            return attempt(lambda: sink.deliver_digest(digest))
        return attempt(lambda: sink.deliver(delivery.event))


class Lane(Generic[PendingT]):
    """One sink and what is known of it.

    Args:
        name: Name of the sink.
        outlet: The sink.
        store: Where deliveries are kept.
        policy: When to try again and when to give up.
        rng: Source of the jitter in waits.
    """

    def __init__(
        self,
        name: str,
        outlet: Outlet,
        store: DeliveryStore[PendingT],
        policy: DeliveryPolicy,
        rng: Random,
    ) -> None:
        self.name = name
        self.hands = [Hand(sink) for sink in outlet.hands]
        self.failures = 0
        self.store_failed = False
        self.counts = {Outcome.DELIVERED: 0, Outcome.RETRIED: 0, Outcome.DEAD: 0}
        self._pace = outlet.pace
        self._tells_together = isinstance(outlet.hands[0], DigestSink)
        self._store = store
        self._policy = policy
        self._rng = rng
        self._lock = threading.Lock()
        self._not_before_ns = 0
        self._logged_ns: int | None = None
        self._busy: set[str] = set()
        self._tried_ns: deque[int] = deque(maxlen=outlet.pace.max_per_minute or 0)
        self._suspects: dict[int, tuple[int, int]] = {}  # id → times suspected, made by then

    def rest_ns(self, now_ns: int) -> int:
        """How long the sink is to be left alone, nanoseconds; 0: it may be asked."""
        with self._lock:
            return self._rest_ns(now_ns)

    def claim(self, now_ns: int) -> PendingT | None:
        """What to deliver next; `done` is to follow."""
        after_s = self._pace.digest_after_s if self._tells_together else None
        before_ns = None if after_s is None else now_ns - round(after_s * SECOND_NS)
        with self._lock:
            if self._rest_ns(now_ns) or (self.failures and self._busy):
                return None
            found = self._store.due(
                self.name, now_ns, busy=tuple(self._busy), over_before_ns=before_ns
            )
            if found is not None:
                self._busy.add(found.event.scene)
                self._tried_ns.append(now_ns)
            return found

    def done(self, delivery: PendingT, outcome: Outcome | None) -> None:
        """A claimed delivery is no longer on its way; None: the outbox failed."""
        with self._lock:
            self._busy.discard(delivery.event.scene)
            if outcome is not None:
                self.counts[outcome] += 1

    def settle(
        self, hand: Hand, delivery: PendingT, error: SinkError | None, now_ns: int
    ) -> Outcome:
        """Write down what came of a try."""
        if error is None:
            self._store.delivered(delivery)
            self._recovered(delivery)
            return Outcome.DELIVERED
        if isinstance(error, SinkUnavailable):
            return self._unavailable(hand, delivery, error, now_ns)
        return self._rejected(delivery, error, now_ns)

    def rest(self, hand: Hand, error: SinkError, now_ns: int) -> None:
        """Leave the sink alone for a while and open this connection anew after."""
        hand.close()
        with self._lock:
            asked_ns = int((getattr(error, "retry_after_s", None) or 0.0) * SECOND_NS)
            if now_ns >= self._not_before_ns:  # not one of several that failed together
                self.failures += 1
                asked_ns = max(asked_ns, self._policy.wait_ns(self.failures, self._rng))
            self._not_before_ns = max(self._not_before_ns, now_ns + asked_ns)
            if self._logged_ns is None or now_ns - self._logged_ns >= REMIND_S * SECOND_NS:
                self._logged_ns = now_ns
                log.warning("sink is down, retrying", sink=self.name, error=str(error))

    def _rest_ns(self, now_ns: int) -> int:
        rest_ns = self._not_before_ns - now_ns
        if self._tried_ns.maxlen and len(self._tried_ns) == self._tried_ns.maxlen:
            rest_ns = max(rest_ns, self._tried_ns[0] + MINUTE_NS - now_ns)
        return max(rest_ns, 0)

    def _recovered(self, delivery: PendingT) -> None:
        with self._lock:
            if self.failures:
                log.info("sink is back", sink=self.name)
            self.failures = 0
            self._logged_ns = None
            self._suspects.pop(delivery.id, None)

    def _unavailable(
        self, hand: Hand, delivery: PendingT, error: SinkUnavailable, now_ns: int
    ) -> Outcome:
        made = self.counts[Outcome.DELIVERED]
        times, made_then = self._suspects.get(delivery.id, (0, made))
        times += made > made_then
        self._suspects[delivery.id] = (times, made)
        if times >= self._policy.max_suspicions:
            return self._give_up(delivery, error)
        self.rest(hand, error, now_ns)
        own = now_ns + self._policy.wait_ns(times, self._rng) if times else 0
        self._store.retry(delivery, max(own, self._not_before_ns), str(error))
        return Outcome.RETRIED

    def _rejected(self, delivery: PendingT, error: SinkError, now_ns: int) -> Outcome:
        strikes = delivery.strikes + 1
        if strikes >= self._policy.max_attempts:
            return self._give_up(delivery, error)
        at_ns = now_ns + self._policy.wait_ns(strikes, self._rng)
        self._store.retry(delivery, at_ns, str(error), strike=True)
        return Outcome.RETRIED

    def _give_up(self, delivery: PendingT, error: SinkError) -> Outcome:
        self._store.dead(delivery, str(error))
        self._suspects.pop(delivery.id, None)
        log.error("event moved aside", sink=self.name, key=delivery.key, error=str(error))
        return Outcome.DEAD


def attempt(action: Callable[[], None]) -> SinkError | None:
    """Run a sink's own code; what went wrong, or None."""
    try:
        action()
    except SinkError as error:
        return error
    except Exception as error:  # a plug-in's own fault must not end the worker of its sink
        return SinkRejected(redact_url(f"{type(error).__name__}: {error}"))
    return None
