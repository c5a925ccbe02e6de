"""The loss ledger held against what really waits on a capture node.

In the ledger ``captured = delivered + dropped + spooled`` holds by the way it counts. Whether
what it calls spooled is there, in memory or on the disk, only the sender knows. Both go on while
they are read, so what waits is asked for between two readings of the ledger and must lie
within what the two allow: no fewer than were captured by the first and not gone by the second,
no more than the other way round. A source may hold one sample that is counted and not yet handed
over. What lies outside `CONFIRM` times in a row is told.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.core.ledger import StreamAccount

CONFIRM = 3


class LedgerAudit:
    """See the module.

    Args:
        sources: Sources that hand samples over.
    """

    def __init__(self, sources: int) -> None:
        self._sources = sources
        self._row = 0

    @property
    def worth_telling(self) -> bool:
        """Whether it is wrong since the last look."""
        return self._row == CONFIRM

    def look(
        self,
        before: Mapping[str, StreamAccount],
        waiting: int,
        after: Mapping[str, StreamAccount],
    ) -> str:
        """What is wrong, in words; empty when nothing is.

        Args:
            before: The ledger before the sender was asked.
            waiting: Samples that the sender has.
            after: The ledger after it was asked.
        """
        fewest = _captured(before) - _gone(after) - self._sources
        most = _captured(after) - _gone(before)
        off = max(waiting - most, 0) or min(waiting - fewest, 0)
        self._row = self._row + 1 if off else 0
        if self._row < CONFIRM:
            return ""
        if off > 0:
            return f"{off} samples wait that the ledger does not know of"
        return f"{-off} samples of the ledger are not there"


def _captured(accounts: Mapping[str, StreamAccount]) -> int:
    return sum(account.captured for account in accounts.values())


def _gone(accounts: Mapping[str, StreamAccount]) -> int:
    return sum(a.delivered + sum(a.dropped.values()) for a in accounts.values())
