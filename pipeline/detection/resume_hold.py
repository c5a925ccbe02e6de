"""Time for the engine's timers: after a restart it stands still until the streams are back.

Timers run by the time of arrivals. After a crash the capture nodes send again what was not
committed, and a node that is slower to return than the others is waited for: until every stream
has opened again, or a grace time is over, no timer fires. From then on timers run as much later as
they stood still. So they do after a time in which the fusion node itself was away (stopped, asleep,
or busy): nothing could arrive, which says nothing of the streams.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

GRACE_NS = 10_000_000_000


class ResumeHold:
    """Tells the time that timers go by.

    Args:
        streams: Those to wait for.
    """

    def __init__(self, streams: Collection[str]) -> None:
        self._streams = frozenset(streams)
        self._opened: set[str] = set()
        self._since_ns: int | None = None
        self._held_ns = 0

    @property
    def holding(self) -> bool:
        """Whether the timers stand still."""
        return self._since_ns is not None

    def hold(self, now_ns: int) -> None:
        """Stand still from now on, until the streams are back."""
        self._since_ns = now_ns

    def away(self, for_ns: int) -> None:
        """The fusion node was away for so long until now."""
        if self._since_ns is None:
            self._held_ns += for_ns

    def opened(self, stream: str) -> None:
        """A stream has opened, or opened again."""
        self._opened.add(stream)

    def next_ns(self, due_ns: Sequence[int]) -> int | None:
        """When the first of these timers would fire if nothing arrived; None: there is none."""
        if self._since_ns is not None:
            return self._since_ns + GRACE_NS
        return min(due_ns) + self._held_ns if due_ns else None

    def now_ns(self, now_ns: int) -> int:
        """The time for timers when it is `now_ns`."""
        if self._since_ns is not None:
            over = now_ns >= self._since_ns + GRACE_NS
            if not over and not self._opened.issuperset(self._streams):
                return self._since_ns - self._held_ns
            self._held_ns += now_ns - self._since_ns
            self._since_ns = None
        return now_ns - self._held_ns
