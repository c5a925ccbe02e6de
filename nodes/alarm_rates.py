"""Alarms of the last week per scene, beside what the scene's budget allows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from nodes.places import fusion_store
from pipeline.config.deployment import Deployment
from pipeline.core.event import Event, Phase
from pipeline.detection.live_rate import LONGEST_NS, LiveRate, Watched, live_rates
from pipeline.detection.scoring_state import watched_in
from pipeline.store import FusionStore


class AlarmRates:
    """Counts the alarms of a running fusion node.

    Args:
        budgets_hz: Budget per scene that has an alarm, false alarms per second.
        store: Tells which alarms were raised before.
    """

    def __init__(self, budgets_hz: Mapping[str, float], store: FusionStore) -> None:
        self._budgets_hz = dict(budgets_hz)
        self._raised = {scene: store.raised_ns(scene, 0) for scene in budgets_hz}

    def take(self, events: Iterable[Event]) -> None:
        """Count what was raised."""
        for event in events:
            if event.phase is Phase.RAISED and event.scene in self._raised and not event.health:
                self._raised[event.scene].append(event.start_ns)

    def of(self, scene: str, watched: Watched) -> list[LiveRate]:
        """Rates of a scene up to the last window of it; none when it has no alarm."""
        if scene not in self._raised:
            return []
        now_ns = watched.until_ns
        raised = [at for at in self._raised[scene] if at >= now_ns - LONGEST_NS]
        self._raised[scene] = raised
        return live_rates(raised, watched, self._budgets_hz[scene], now_ns)


@dataclass(frozen=True, slots=True)
class SceneRates:
    """Rates of one scene, as it was committed last.

    Attributes:
        scene: Name of the scene.
        budget: Its budget, as ``COUNT/PERIOD``.
        until_ns: End of the last window scored, site time; 0 when none was.
        rates: Last hour, day and week up to then.
    """

    scene: str
    budget: str
    until_ns: int
    rates: Sequence[LiveRate]


def committed_rates(deployment: Deployment, scenes: Iterable[str]) -> list[SceneRates]:
    """Rates of scenes as the store of a deployment has them.

    Raises:
        StoreError: There is no store yet, or it cannot be read.
    """
    found = []
    with closing(fusion_store(deployment, create=False)) as store:
        for scene in scenes:
            alarm = deployment.scenes[scene].alarm
            at = store.checkpoint(scene)
            watched = watched_in(scene, at.scoring) if at is not None else Watched()
            now_ns = watched.until_ns
            raised = store.raised_ns(scene, now_ns - LONGEST_NS)
            rates = live_rates(raised, watched, alarm.false_alarms_hz, now_ns)
            found.append(SceneRates(scene, alarm.budget, now_ns, rates))
    return found
