"""What delivery works with: the store it takes from, how fast and when again it tries."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from random import Random
from typing import Protocol, TypeVar

from pipeline.core.answered import EventAnswer
from pipeline.core.digest import Digest
from pipeline.core.event import Event


class Pending(Protocol):
    """A delivery as the store hands it out."""

    @property
    def id(self) -> int:
        """Of the delivery."""
        ...

    @property
    def event(self) -> Event:
        """What is delivered; of a digest its first phase."""
        ...

    @property
    def digest(self) -> Digest | None:
        """What is delivered instead of the event."""
        ...

    @property
    def answer(self) -> EventAnswer | None:
        """What is delivered instead of the event: what was answered to it."""
        ...

    @property
    def key(self) -> str:
        """Idempotency key of what is delivered."""
        ...

    @property
    def strikes(self) -> int:
        """Earlier tries that count against the event."""
        ...


PendingT = TypeVar("PendingT", bound=Pending)


class DeliveryStore(Protocol[PendingT]):
    """What delivery needs of a store; `pipeline.store.OutboxStore` offers it."""

    def due(
        self,
        sink: str,
        now_ns: int,
        *,
        busy: Collection[str] = (),
        over_before_ns: int | None = None,
    ) -> PendingT | None:
        """What to try next for a sink, of no scene that is `busy`; see `Pace` for digests."""
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
class Pace:
    """How fast a sink is fed.

    Attributes:
        concurrency: Deliveries under way at once, each of another scene.
        max_per_minute: Most tries in any minute; None: as many as it takes.
        digest_after_s: What was over for longer before it could be told is told in one digest
            a scene, seconds, see `pipeline.core.digest`; None: never.
    """

    concurrency: int = 1
    max_per_minute: int | None = None
    digest_after_s: float | None = None


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
