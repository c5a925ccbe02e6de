"""Which windows of a scene are scored: all, or every few while the fusion node cannot keep up.

The hop becomes 2, 4, 8 ... times as wide, never wider than the window is long, so that every moment
is still in a window that is scored: what is lost is resolution in time, and what is told of
several windows in a row. Windows on the wider grid are those whose index is a multiple of it.

How wide is decided by load (`pipeline.detection.overload`), which no replay can repeat. So a
decision is first kept here, committed with the scene, and then said to the engine as a `HopSet`,
which is recorded. A crash in between repeats the saying: it holds from the same window on.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from pipeline.core.arrival import HopSet


class Decided(msgspec.Struct, frozen=True):
    """What was decided and is still to be said; see `HopSet`."""

    times: int
    from_ns: int
    lag_ns: int
    left_out: int = 0


class HopState(msgspec.Struct):
    """What is remembered of the hop of a scene.

    Attributes:
        times: How many times wider than set it is.
        from_ns: Start of the first window for which that holds.
        before: How many times wider it was for windows before, of which some may still come:
            timers do not run at the same moments in a replay.
        lag_ns: How far behind the node was then.
        row: Windows left out since the last one that is scored.
        left_out: Windows left out since the hop was widened.
        decided: What is to be said next.
    """

    times: int = 1
    from_ns: int = 0
    before: int = 1
    lag_ns: int = 0
    row: int = 0
    left_out: int = 0
    decided: Decided | None = None


class Hop:
    """The hop of one scene; see the module.

    Args:
        scene: Its name.
        hop_ns: Step from one window to the next, as set.
        widest: It becomes at most so many times wider.
    """

    def __init__(self, scene: str, hop_ns: int, widest: int = 1) -> None:
        self.hop_ns = hop_ns
        self.widest = widest
        self.state = HopState()
        self._scene = scene

    @property
    def times(self) -> int:
        """How many times wider than set it is, or is about to be."""
        decided = self.state.decided
        return self.state.times if decided is None else decided.times

    def decide(self, times: int, index: int, lag_ns: int) -> None:
        """From window `index` on, the next to be cut, let the hop be so wide."""
        left_out = self.state.left_out
        self.state.decided = Decided(times, index * self.hop_ns, lag_ns, left_out)

    def said(self, now_ns: int) -> Iterator[HopSet]:
        """What is to be said to the engine: what was decided, or as it stands while wide."""
        one = self.state.decided or self.state
        if self.state.decided is not None or one.times > 1:
            how = (one.times, one.from_ns, one.lag_ns, one.left_out)
            yield HopSet(now_ns, self._scene, *how)

    def take(self, said: HopSet) -> bool:
        """Set the hop; whether it was another one."""
        state, times = self.state, min(said.times, self.widest)
        state.decided = None
        if times == state.times:
            return False
        state.before, state.times = state.times, times
        state.from_ns, state.lag_ns = said.from_ns, said.lag_ns
        if times == 1:
            state.left_out = 0
        return True

    def hops(self, index: int) -> int:
        """Hops from the last window that is scored to this one, the next; 0: it is left out."""
        state = self.state
        times = state.times if index * self.hop_ns >= state.from_ns else state.before
        if index % times:
            state.row += 1
            state.left_out += 1
            return 0
        hops, state.row = 1 + state.row, 0
        return hops
