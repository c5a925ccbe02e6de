"""What a source's supervisor works by: whom it tells, what it allows, what it reports.

Rules. A reader that is open owes a sample within the stall limit, where its kind has one. A
call of ``read()`` owes an answer within the hang limit whether samples come or not. An opening
must be over within the open limit, which doubles each time it was too short: on a machine that
starts many readers at once, killing them all would only make the next ones slower. A reader
that breaks a rule is replaced, after a wait that doubles from 0.5 s to 30 s and begins anew
once a reader was healthy for 30 s.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from pipeline.core.ledger import DropReason
from pipeline.core.sample import Sample, StreamInfo

SECOND_NS = 1_000_000_000


class SourceState(StrEnum):
    """Where a source is in its life."""

    OPENING = "opening"
    RUNNING = "running"
    WAITING = "waiting"  # lost; opened again when the backoff is over
    ENDED = "ended"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How a source fares.

    Attributes:
        name: Name of the source.
        kind: Its kind.
        state: Where it is in its life.
        since_ns: When it got there, node time.
        restarts: Times a reader was replaced, whatever the reason.
        stalls: How many of these because it was silent or hung.
        epoch: Epoch of the samples given last.
        last_error: Why the last reader was lost, without secrets; empty when none was.
        pid: Process of an isolated reader, None for a thread.
    """

    name: str
    kind: str
    state: SourceState
    since_ns: int
    restarts: int = 0
    stalls: int = 0
    epoch: int = 0
    last_error: str = ""
    pid: int | None = None

    @property
    def trouble(self) -> str:
        """Why the source gives nothing now; empty when it gives, or was stopped."""
        well = self.state in (SourceState.RUNNING, SourceState.STOPPED)
        return "" if well else self.last_error


class Outlet(Protocol):
    """Who takes what a source gives. Called from the runner's one thread only."""

    def opened(self, infos: tuple[StreamInfo, ...]) -> None:
        """The source has these streams: at first, and again whenever they changed."""
        ...

    def samples(self, samples: Sequence[Sample]) -> None:
        """Samples, oldest first per stream. May block; the source then waits or drops."""
        ...

    def rejected(self, stream: str, reason: DropReason, detail: str) -> None:
        """One reading was lost before it became a sample; called once for each."""
        ...

    def status(self, status: SourceStatus) -> None:
        """The state of the source changed."""
        ...

    def ended(self) -> None:
        """A finite source gave everything; nothing follows."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient a supervisor is.

    Attributes:
        open_s: Longest time ``open()`` may take at first.
        last_open_s: Longest time it may take after it was too short again and again.
        hang_s: Longest time ``read()`` may take when the settings name no ``stall_s``.
        first_backoff_s: Wait after the first failure.
        last_backoff_s: Longest wait.
        healthy_s: A reader that lasted this long makes the backoff begin anew.
        drain_s: Time a reader has to hand over its last samples at shutdown.
    """

    open_s: float = 20.0
    last_open_s: float = 80.0
    hang_s: float = 4.0
    first_backoff_s: float = 0.5
    last_backoff_s: float = 30.0
    healthy_s: float = 30.0
    drain_s: float = 1.0

    def opening_s(self, late: int) -> float:
        """Longest time ``open()`` may take after so many in a row that took too long."""
        return max(self.open_s, min(self.open_s * 2.0 ** min(late, 30), self.last_open_s))


@dataclass(slots=True)
class Backoff:
    """Waits that double, each within 20% of its nominal length so that many do not meet.

    Attributes:
        first_s: First wait.
        last_s: Longest wait.
        failures: Failures since it began anew.
    """

    first_s: float
    last_s: float
    failures: int = 0
    _rng: random.Random = field(default_factory=random.Random)

    def next_s(self) -> float:
        """The wait after one more failure."""
        nominal = min(self.first_s * 2.0 ** min(self.failures, 30), self.last_s)
        self.failures += 1
        return nominal * self._rng.uniform(0.8, 1.2)

    def begin_anew(self) -> None:
        """Forget past failures."""
        self.failures = 0


@dataclass(slots=True)
class Watch:
    """Knows how long a reader has been silent.

    Attributes:
        limits: The supervisor's limits.
        stall_s: Longest time without a sample; None: any.
        hang_s: Longest time without any sign of life.
        begun_ns: When the reader was started.
        late: Readers before it, in a row, that did not open in time.
    """

    limits: Limits
    stall_s: float | None
    hang_s: float
    begun_ns: int
    late: int = 0
    _opened_ns: int | None = None
    _sample_ns: int = 0
    _sign_ns: int = 0

    def opened(self, now_ns: int) -> None:
        """The reader opened its source."""
        self._opened_ns = self._sample_ns = self._sign_ns = now_ns

    def sample(self, now_ns: int) -> None:
        """The reader gave a sample."""
        self._sample_ns = self._sign_ns = now_ns

    def sign(self, now_ns: int) -> None:
        """The reader lives but had nothing."""
        self._sign_ns = now_ns

    @property
    def is_open(self) -> bool:
        """Whether the source was opened."""
        return self._opened_ns is not None

    def was_healthy(self, now_ns: int) -> bool:
        """Whether it has been open for long enough to count as healthy."""
        if self._opened_ns is None:
            return False
        return now_ns - self._opened_ns >= self.limits.healthy_s * SECOND_NS

    def fault(self, now_ns: int) -> str:
        """Which rule the reader breaks; empty when it keeps them all."""
        if self._opened_ns is None:
            open_s = self.limits.opening_s(self.late)
            late = now_ns - self.begun_ns > open_s * SECOND_NS
            return f"open() did not return within {open_s:g} s" if late else ""
        if now_ns - self._sign_ns > self.hang_s * SECOND_NS:
            return f"read() did not return within {self.hang_s:g} s"
        if self.stall_s is not None and now_ns - self._sample_ns > self.stall_s * SECOND_NS:
            return f"it gave nothing for {self.stall_s:g} s"
        return ""
