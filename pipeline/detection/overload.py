"""When a fusion node cannot keep up: of which scenes windows are left out, and how many.

The rules:

- *Behind* is a node in which something that arrived waits longer than ``lag_s``. When it was behind
  for ``after_s`` and its scenes need more than ``full`` of its time (`Workload.demand`), hops
  become wider; then it has as long again to catch up. A node that is behind after a cut but has
  time to catch up leaves out nothing.
- *Who*: a scene that needs no more than its fair share is left alone. (The share is the max-min
  fair one: what others do not use is shared by those who could.) Of the others, the one that needs
  most has its hop doubled, again and again until all is done in ``full`` of the time or nobody is
  left to widen. So a scene that floods pays first, and scenes that are alike pay alike.
- *Back*: when nothing waited longer than half of ``lag_s`` for ``calm_s``, hops are halved, the
  widest first, as far as all would be done in ``slack`` of the time; then again after ``calm_s``.

It has no clock, and is no part of the engine: what it decides is an input there, see
`pipeline.detection.hop`.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from pipeline.detection.overload_settings import OverloadSettings
from pipeline.detection.workload import Workload

log = structlog.get_logger(__name__)

SECOND_NS = 1_000_000_000
_WORTH = 0.005  # of the node's time: who would save less by a wider hop is not widened


class Overload:
    """Decides; see the module.

    Args:
        settings: When.
        work: What the scenes cost.
        widest: How many times as wide each scene's hop may become.
    """

    def __init__(
        self, settings: OverloadSettings, work: Workload, widest: Mapping[str, int]
    ) -> None:
        self._settings = settings
        self._work = work
        self._widest = {name: min(most, settings.widest) for name, most in widest.items()}
        self._behind_ns: int | None = None
        self._calm_ns: int | None = None

    def look(
        self, now_ns: int, lags_ns: Mapping[str, int], times: Mapping[str, int]
    ) -> dict[str, int]:
        """How wide hops are to be, of the scenes of which it changes.

        Args:
            now_ns: Node time.
            lags_ns: How long what arrived waits, by scene.
            times: How many times as wide as set the hop of each scene is.
        """
        own, lag_ns = self._settings, max(lags_ns.values(), default=0)
        behind, calm = lag_ns > own.lag_s * SECOND_NS, 2 * lag_ns <= own.lag_s * SECOND_NS
        self._behind_ns = _since(self._behind_ns, behind, now_ns)
        self._calm_ns = _since(self._calm_ns, calm, now_ns)
        if self._behind_ns is not None and now_ns - self._behind_ns >= own.after_s * SECOND_NS:
            self._behind_ns = now_ns
            return self._wider(times)
        if self._calm_ns is not None and now_ns - self._calm_ns >= own.calm_s * SECOND_NS:
            self._calm_ns = now_ns
            return self._narrower(times)
        return {}

    def needed(self, times: Mapping[str, int]) -> dict[str, float]:
        """Share of the node's time that each scene needs, as wide as its hop is."""
        return {name: self._work.demand(name, wide) for name, wide in times.items()}

    def _wider(self, times: Mapping[str, int]) -> dict[str, int]:
        wide, needs, full = dict(times), self.needed(times), self._settings.full
        level = fair_level(list(needs.values()), full)
        over = {name for name, need in needs.items() if need > level}
        while sum(needs.values()) > full:
            may = [name for name in over if self._saves(name, wide[name]) >= _WORTH]
            if not may:
                load = round(sum(needs.values()), 2)
                log.warning("behind, and no hop may become wider", load=load)
                break
            name = max(may, key=lambda one: (needs[one], one))
            wide[name] *= 2
            needs[name] = self._work.demand(name, wide[name])
        return self._changed(times, wide, needs)

    def _narrower(self, times: Mapping[str, int]) -> dict[str, int]:
        wide, needs = dict(times), self.needed(times)
        room = self._settings.slack - sum(needs.values())
        while True:
            more = {
                name: self._work.demand(name, at // 2) - needs[name]
                for name, at in wide.items()
                if at > 1
            }
            may = [name for name, extra in more.items() if extra <= room]
            if not may:
                return self._changed(times, wide, needs)
            name = max(may, key=lambda one: (wide[one], -more[one], one))
            wide[name] //= 2
            room -= more[name]
            needs[name] += more[name]

    def _saves(self, name: str, times: int) -> float:
        if 2 * times > self._widest[name]:
            return 0.0
        return self._work.demand(name, times) - self._work.demand(name, 2 * times)

    def _changed(
        self, times: Mapping[str, int], wide: Mapping[str, int], needs: Mapping[str, float]
    ) -> dict[str, int]:
        changed = {name: at for name, at in wide.items() if at != times[name]}
        if changed:
            load = round(sum(needs.values()), 2)
            log.warning("the hop of scenes changes with the load", times=changed, load_then=load)
        return changed


def fair_level(needs: list[float], room: float) -> float:
    """The max-min fair share: who needs no more has it all, the others have so much each.

    Without end when there is room for all. (Bertsekas and Gallager, *Data Networks*, 6.5.2.)
    """
    left, rest = room, sorted(needs)
    while rest:
        level = left / len(rest)
        if rest[0] > level:
            return level
        left -= rest.pop(0)
    return float("inf")


def _since(since_ns: int | None, now: bool, now_ns: int) -> int | None:
    """Since when something is so."""
    return None if not now else now_ns if since_ns is None else since_ns
