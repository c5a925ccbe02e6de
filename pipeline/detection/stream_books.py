"""What arrived of a stream, against the account that its node gives of it.

A capture node numbers what it sends and reports about once a second what it captured, delivered,
dropped and still has. The fusion node sees the numbers. Two things must hold at every report:

- The report adds up: ``captured = delivered + dropped + spooled``.
- Numbers that were passed over are explained: there are no more of them than samples the node
  dropped. A sample is dropped before a later one is sent, and the report comes on the same link,
  so what is in flight is never missing. It is when something between the two lost a message:
  later ones are acked, and with them, by their number, the one that never came.

What passed over live samples to be sent behind them, as ``NAME~backlog``, is explained while it
waits and once it arrived. Drops may be seen late or never: before the first sample of a session
nobody sees a gap. They must not excuse losses for ever, so what is explained is done with once
all that was left at the time has arrived. What a reader lost has no number, what is given up at
the end has no later one: they leave no gap and excuse nothing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from pipeline.core.ledger import DropReason, StreamAccount

BACKLOG = "~backlog"
"""Samples of ``NAME`` that are sent behind the live ones are a stream ``NAME~backlog``."""

_NO_GAP = frozenset(
    {
        DropReason.READER_OVERRUN.value,
        DropReason.OUT_OF_ORDER.value,
        DropReason.SHUTDOWN.value,
    }
)
_REPORTS_BACK = 5
"""So many reports after a drop it is looked at whether it is done with."""
_BACKLOG_REPORTS = 60
"""So many reports after the last of a backlog arrived, what is left may still be backlog."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where a stream stood at a report.

    Attributes:
        explained: Samples that it dropped, or sent behind, so far.
        passed: Numbers that came or were passed over.
        arrived: Samples that came.
        left: Samples that were neither acked nor dropped.
    """

    explained: int
    passed: int
    arrived: int
    left: int


@dataclass(slots=True)
class StreamBooks:
    """What arrived of one stream, against what its node says.

    Attributes:
        node: Its node.
        arrived: Samples that arrived since this process began.
        skipped: Numbers that were passed over.
        last_ns: Stamp of the last sample, site time.
        unexplained: Samples that no entry explains, as last told.
    """

    node: str = ""
    arrived: int = 0
    skipped: int = 0
    last_ns: int | None = None
    unexplained: int = 0
    _expected: int | None = None
    _captured: int = 0
    _delivered: int = 0
    _dropped: int = 0
    _dropped_before: int = 0
    _late: int = 0
    _late_reports: int = _BACKLOG_REPORTS
    _excused: tuple[int, int] = (0, 0)
    _marks: deque[_Mark] = field(default_factory=lambda: deque(maxlen=_REPORTS_BACK))

    def open(self, node: str) -> None:
        """A session of the stream begins, or it is described anew."""
        self.node, self._expected = node, None

    def take(self, sequence: int, stamp_ns: int) -> None:
        """A sample arrived."""
        if self._expected is not None and sequence > self._expected:
            self.skipped += sequence - self._expected
        self._expected = sequence + 1
        self.arrived += 1
        self.last_ns = stamp_ns

    def compare(self, account: StreamAccount, late: int) -> tuple[int, int]:
        """Samples that are missing without a reason, and by which the report does not add up.

        Args:
            account: What the node says.
            late: Samples that were sent behind and arrived so far.
        """
        self._follow(account)
        self._late_reports = 0 if late > self._late else self._late_reports + 1
        self._late = late
        explained = self._dropped_before + self._dropped + late
        skipped, done = self._excused
        behind = account.spooled if self._has_backlog(account.spooled) else 0
        missing = max(0, self.skipped - skipped - (explained - done) - behind)
        if not missing:
            self._be_done(explained, account.spooled)
        return missing, abs(account.missing)

    def _has_backlog(self, left: int) -> bool:
        """Whether more is left than can be in flight, or was a moment ago."""
        flying = self.arrived - self._marks[0].arrived if self._marks else 0
        return left > flying or self._late_reports < _BACKLOG_REPORTS

    def _follow(self, account: StreamAccount) -> None:
        dropped = sum(n for why, n in account.dropped.items() if why not in _NO_GAP)
        before = (self._captured, self._delivered, self._dropped)
        now = (account.captured, account.delivered, dropped)
        if any(new < old for new, old in zip(now, before, strict=True)):  # the node began anew
            self._dropped_before += self._dropped
            self._marks.clear()
        self._captured, self._delivered, self._dropped = now

    def _be_done(self, explained: int, left: int) -> None:
        """Forget explanations whose gaps have been seen by now, or never will be."""
        passed = self.arrived + self.skipped
        then = self._marks[0] if len(self._marks) == _REPORTS_BACK else None
        if then is not None and passed - then.passed >= max(then.left, left):
            self._excused = (self.skipped, max(then.explained, self._excused[1]))
        self._marks.append(_Mark(explained, passed, self.arrived, left))
