"""Finds workers that are there but do not serve, and will not where they are.

- One that let its leases grow stale, and still the same process, does not reach the store, or
  hangs: `GRACE_S` after that it is given up, for it had time for one more renewal then. So its
  successor starts while the leases run out, and has them the moment that they do. Should it live
  on, it can do no harm, whatever it believes.
- One whose process ended `ENDS` times since it last served cannot start there: the machine is cut
  off from the store, or lacks what it needs.

What only takes its time, such as a start, is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nodes.cluster.keeper import RUNNING, Kept
from pipeline.store import Served, place_of

GRACE_S = 2.5
ENDS = 3
BAR_S, LONGEST_BAR_S = 300.0, 3600.0


@dataclass(slots=True)
class _Seen:
    """A worker as it was when it last served, or when it was first seen.

    Attributes:
        machine: Where.
        pid: Its process, if that served; 0: it did not yet.
        restarts: How often it had been started again.
        unserved_s: Since when it does not serve, or not as it should; None: it does.
    """

    machine: str
    pid: int
    restarts: int
    unserved_s: float | None = None


class CutOff:
    """See the module.

    Args:
        groups: Scenes of each group.
    """

    def __init__(self, groups: Mapping[str, Sequence[str]]) -> None:
        self._groups = groups
        self._seen: dict[str, _Seen] = {}

    def find(
        self, workers: Mapping[str, Kept], served: Mapping[str, Served], now_s: float
    ) -> list[str]:
        """Groups whose workers are to be replaced.

        Args:
            workers: Workers that are to serve, by group.
            served: Where each scene is served, by the store.
            now_s: Monotonic seconds.
        """
        known, self._seen = self._seen, {}
        for group, kept in workers.items():
            before = known.get(group)
            if self._serves(group, kept, served):
                self._seen[group] = _Seen(kept.machine, kept.pid, kept.restarts)
            elif before is None or before.machine != kept.machine:
                self._seen[group] = _Seen(kept.machine, 0, kept.restarts, now_s)
            else:
                before.unserved_s = now_s if before.unserved_s is None else before.unserved_s
                self._seen[group] = before
        return [group for group, seen in self._seen.items() if _lost(workers[group], seen, now_s)]

    def _serves(self, group: str, kept: Kept, served: Mapping[str, Served]) -> bool:
        """Whether the group is served, by this very process, which renews its leases."""
        place = place_of(self._groups.get(group, ()), served)
        return place is not None and place.held_by(kept.pid) and not place.stale


def _lost(kept: Kept, seen: _Seen, now_s: float) -> bool:
    if seen.unserved_s is None:
        return False
    same = kept.state == RUNNING and 0 < kept.pid == seen.pid
    return (same and now_s - seen.unserved_s >= GRACE_S) or kept.restarts - seen.restarts >= ENDS


@dataclass(frozen=True, slots=True)
class _Bar:
    until_s: float
    span_s: float


class Bars:
    """Machines on which a worker was cut off, for a while, then for longer; see `place`."""

    def __init__(self) -> None:
        self._bars: dict[str, _Bar] = {}

    def put(self, machine: str, now_s: float) -> None:
        """A worker was cut off on a machine; soon after the last time, it is barred for longer."""
        before = self._bars.get(machine)
        if before is not None and now_s < before.until_s:
            return
        span_s = BAR_S
        if before is not None and now_s - before.until_s < before.span_s:
            span_s = min(2 * before.span_s, LONGEST_BAR_S)
        self._bars[machine] = _Bar(now_s + span_s, span_s)

    def now(self, now_s: float) -> frozenset[str]:
        """Machines that are barred."""
        return frozenset(machine for machine, bar in self._bars.items() if now_s < bar.until_s)
