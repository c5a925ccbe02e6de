"""How long things are kept: what reaches its limit goes, and what is still needed a while later.

Rules. An item goes before it gets as old as its limit, by up to a fiftieth of the limit and two
hours at most, so that nothing older than the limit is ever found. What an open alarm needs, and
what has not been delivered, is held: it goes before it is `HARD` times as old as the limit,
whatever still needs it. What a person asked for that ends at a time of its own stays until then,
however old it gets. Each removal is counted by kind and reason, and logged without content.
What cannot be removed now is told and tried again. Time is the clock's that is passed in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import structlog

from pipeline.core.errors import FusewatchError

log = structlog.get_logger(__name__)

HARD = 2
HOUR_NS = 3600 * 10**9
FOREVER_NS = 2**63 - 1
BATCH = 200
"""Items removed of one kind at one look, so that the node's own work does not wait."""


class Why(StrEnum):
    """Why something was removed."""

    AGE = "age"  # it reached its limit
    HARD_LIMIT = "hard_limit"  # it was still needed, and reached twice its limit


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that is kept.

    Attributes:
        key: Its name within its kind.
        at_ns: When it came to be; its age counts from here.
        held: Why it may stay beyond its limit; empty when nothing needs it.
        asked_ns: Until when somebody asked for what needs it, however old it gets; 0: nobody did;
            `FOREVER_NS`: without an end.
    """

    key: str
    at_ns: int
    held: str = ""
    asked_ns: int = 0


class Stock(Protocol):
    """All that is kept of one kind."""

    def items(self, before_ns: int | None = None) -> Sequence[Item]:
        """What is there, oldest first; only what came to be before a time, if one is given."""
        ...

    def remove(self, keys: Sequence[str]) -> int:
        """Remove items and their bytes; how many are gone."""
        ...


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of things and how long they are kept.

    Attributes:
        name: Its name.
        stock: What there is of it.
        limit_ns: How old it may get.
    """

    name: str
    stock: Stock
    limit_ns: int

    @property
    def rest_ns(self) -> int:
        """From one sweep to the next."""
        return min(HOUR_NS, self.limit_ns // 100)

    def goes_ns(self, item: Item) -> int:
        """When a running node removes an item at the latest."""
        by_age_ns = item.at_ns + self.limit_ns * (HARD if item.held else 1)
        if not item.asked_ns:
            return by_age_ns
        return max(by_age_ns, item.asked_ns + 2 * self.rest_ns)  # never before that time


class Sweeper:
    """Removes what is to be kept no longer; used by one thread.

    Args:
        kinds: What is looked after.

    Attributes:
        removed: Items removed since the start, by kind and reason.
    """

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self.kinds = tuple(kinds)
        self.removed: Counter[tuple[str, Why]] = Counter()
        self._due_ns = [0] * len(self.kinds)

    def look(self, now_ns: int) -> None:
        """Sweep the kinds whose turn it is; never raises for the disk's or the store's sake."""
        for index, kind in enumerate(self.kinds):
            if now_ns < self._due_ns[index]:
                continue
            try:
                rest = self._sweep(kind, now_ns)
            except FusewatchError as error:
                log.warning("cannot remove what is too old", kind=kind.name, error=str(error))
                rest = 0
            self._due_ns[index] = now_ns + (0 if rest else kind.rest_ns)

    def sweep(self, now_ns: int) -> None:
        """Remove everything that is due, at once.

        Raises:
            FusewatchError: A store cannot be used.
        """
        for kind in self.kinds:
            while self._sweep(kind, now_ns):
                pass

    def _sweep(self, kind: Kind, now_ns: int) -> int:
        """Remove a batch of what is due; how much is left of it that can be removed."""
        until_ns = now_ns + 2 * kind.rest_ns
        aged = kind.stock.items(until_ns - kind.limit_ns)
        due = [item for item in aged if kind.goes_ns(item) <= until_ns]
        gone = stuck = 0
        for first in range(0, len(due), BATCH):
            batch = due[first : first + BATCH]
            gone = self._remove(kind, batch)
            stuck += len(batch) - gone
            if gone:  # else what cannot be removed would keep all that is newer
                break
        if stuck:
            log.warning("cannot remove what is too old", kind=kind.name, count=stuck)
        return len(due) - stuck - gone if gone else 0

    def _remove(self, kind: Kind, batch: Sequence[Item]) -> int:
        gone = 0
        for why in Why:
            keys = [i.key for i in batch if bool(i.held) == (why is Why.HARD_LIMIT)]
            count = kind.stock.remove(keys) if keys else 0
            if count:
                self.removed[kind.name, why] += count
                log.info(
                    "removed what is kept no longer", kind=kind.name, count=count, why=why.value
                )
            gone += count
        return gone
