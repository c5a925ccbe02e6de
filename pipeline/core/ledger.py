"""The loss ledger: an exact account of every sample of every stream.

``captured = delivered + dropped(reason) + spooled`` holds at every moment: a sample is
counted *captured* once, is *spooled* while it waits in the send buffer or on disk, and ends
as *delivered* (acked by the fusion node) or *dropped* with a reason. Nothing leaves the books
in another way. Methods may be called from several threads.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class DropReason(StrEnum):
    """Why a sample is not delivered."""

    BUFFER_FULL = "buffer_full"  # send buffer full, by the stream's on_full rule
    SPOOL_FULL = "spool_full"  # the disk spool's ring let go of it to make room
    SPOOL_AGE = "spool_age"  # it lay in the disk spool longer than it may
    UNTIMED = "untimed"  # stamped before the first clock offset, by a boot that is over
    READER_OVERRUN = "reader_overrun"  # capture could not take it from the reader in time
    CORRUPT = "corrupt"  # payload damaged (JPEG, PCM, number)
    OUT_OF_ORDER = "out_of_order"  # stamp behind what was already sent
    FUTURE = "future"  # stamp further ahead than the clock allows
    TOO_LARGE = "too_large"  # over the message size limit
    NOT_PRIVATE = "not_private"  # what its stream asks to be taken out cannot be
    REFUSED = "refused"  # the fusion node refused it, see its log for the reason
    SHUTDOWN = "shutdown"  # node stopped before it could be delivered


@dataclass(slots=True)
class StreamAccount:
    """Counts of one stream since the node's session began."""

    captured: int = 0
    delivered: int = 0
    spooled: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """Samples the books cannot explain; anything but 0 is a bug."""
        return self.captured - self.delivered - self.spooled - sum(self.dropped.values())


class Ledger:
    """Counts per stream; see the module for the rule."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accounts: dict[str, StreamAccount] = {}

    def captured(self, stream: str, count: int = 1) -> None:
        """Samples came out of the source and now wait to be delivered."""
        with self._lock:
            account = self._accounts.setdefault(stream, StreamAccount())
            account.captured += count
            account.spooled += count

    def delivered(self, stream: str, count: int = 1) -> None:
        """Waiting samples were acked by the fusion node."""
        with self._lock:
            account = self._accounts.setdefault(stream, StreamAccount())
            account.delivered += count
            account.spooled -= count

    def dropped(self, stream: str, reason: DropReason, count: int = 1) -> None:
        """Waiting samples were given up, for `reason`."""
        with self._lock:
            account = self._accounts.setdefault(stream, StreamAccount())
            account.spooled -= count
            account.dropped[reason.value] = account.dropped.get(reason.value, 0) + count

    def snapshot(self) -> dict[str, StreamAccount]:
        """A consistent copy of all accounts."""
        with self._lock:
            return {
                name: StreamAccount(a.captured, a.delivered, a.spooled, dict(a.dropped))
                for name, a in self._accounts.items()
            }


def missing(accounts: Mapping[str, StreamAccount]) -> dict[str, int]:
    """Streams whose books do not add up, with how many samples are unexplained."""
    return {name: a.missing for name, a in accounts.items() if a.missing}
