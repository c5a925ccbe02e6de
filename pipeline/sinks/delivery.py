"""What delivery works with: the store it takes from, and when it tries again."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Protocol, TypeVar

from pipeline.core.event import Event


class Pending(Protocol):
    """A delivery as the store hands it out."""

    @property
    def id(self) -> int:
        """Of the delivery."""
        ...

    @property
    def event(self) -> Event:
        """What is delivered."""
        ...

    @property
    def strikes(self) -> int:
        """Earlier tries that count against the event."""
        ...


PendingT = TypeVar("PendingT", bound=Pending)


class DeliveryStore(Protocol[PendingT]):
    """What delivery needs of a store; `pipeline.store.OutboxStore` offers it."""

    def due(self, sink: str, now_ns: int) -> PendingT | None:
        """What to try next for a sink."""
        ...

    def delivered(self, delivery: PendingT) -> None:
        """The sink has it."""
        ...

    def retry(self, delivery: PendingT, at_ns: int, error: str, *, strike: bool = False) -> None:
        """It failed and is due again later."""
        ...

    def dead(self, delivery: PendingT, error: str) -> None:
        """Move it aside."""
        ...

    def wake(self) -> None:
        """Make all that is pending due now."""
        ...


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """When to try again and when to give up on an event.

    Attributes:
        first_wait_s: Wait after the first failure, seconds; doubled at each further one.
        longest_wait_s: Longest wait, seconds.
        max_attempts: Rejections after which an event is moved aside.
        max_suspicions: Failures of one event between successes of others after which it is.
    """

    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    max_attempts: int = 3
    max_suspicions: int = 20

    def wait_ns(self, failures: int, rng: Random) -> int:
        """Nanoseconds to wait after `failures` failures in a row (1 or more)."""
        longest = min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(failures - 1, 30))
        return int(longest * rng.uniform(0.5, 1.0) * 1e9)
