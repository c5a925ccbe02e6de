"""Alarms of the last week per scene, beside what the scene's budget allows.

Events of the equipment spend no budget, nor do alarms of which a person said that they were real.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import structlog

from nodes.places import answer_store, fusion_store, has_answers
from pipeline.config.deployment import Deployment
from pipeline.core.errors import StoreError
from pipeline.core.event import Event, Phase
from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.kept_scoring import watched_in
from pipeline.detection.live_rate import LONGEST_NS, LiveRate, Spent, Watched, live_rates, spent_of
from pipeline.store import AnswerStore, FusionStore, Verdict, verdict_of

log = structlog.get_logger(__name__)

LOOK_EVERY_NS = 2_000_000_000
"""Answers are looked at anew this often."""


class RealAlarms:
    """Ids of the events of which a person said that they were real, read when answers change.

    Args:
        answers: What people answered.
    """

    def __init__(self, answers: AnswerStore) -> None:
        self._answers = answers
        self._version: tuple[int, ...] | None = None
        self._ids: frozenset[str] = frozenset()

    def ids(self) -> frozenset[str]:
        """All of them.

        Raises:
            StoreError: The answers cannot be read.
        """
        version = self._answers.version()
        if version != self._version:
            standing = self._answers.standing().items()
            self._ids = frozenset(i for i, a in standing if verdict_of(a) is Verdict.REAL)
            self._version = version
        return self._ids


@dataclass(frozen=True, slots=True)
class SceneRates:
    """Rates of one scene up to its last window that was scored.

    Attributes:
        scene: Name of the scene.
        budget: Its budget, as ``COUNT/PERIOD``.
        until_ns: End of the last window scored, site time; 0 when none was.
        spent: What was spent of the budget in the last one of its periods.
        rates: Last hour, day and week up to then.
    """

    scene: str
    budget: str
    until_ns: int
    spent: Spent
    rates: Sequence[LiveRate]


class AlarmRates:
    """Counts the alarms of a running fusion node.

    Args:
        alarms: Alarm of each scene that has a model.
        store: Tells which alarms were raised before.
        answers: Tells which of them were real.
    """

    def __init__(
        self, alarms: Mapping[str, AlarmSettings], store: FusionStore, answers: AnswerStore
    ) -> None:
        self._alarms = dict(alarms)
        self._raised = {scene: store.raised(scene, 0) for scene in alarms}
        self._judged = RealAlarms(answers)
        self._real: frozenset[str] = frozenset()
        self._looked_ns = -LOOK_EVERY_NS

    def take(self, events: Iterable[Event]) -> None:
        """Count what was raised."""
        for event in events:
            if event.phase is Phase.RAISED and event.scene in self._raised and not event.health:
                self._raised[event.scene][event.id] = event.start_ns

    def look(self, now_ns: int) -> None:
        """See what people said since; what cannot be read leaves it as it was."""
        if now_ns - self._looked_ns < LOOK_EVERY_NS:
            return
        self._looked_ns = now_ns
        try:
            self._real = self._judged.ids()
        except StoreError as error:
            log.warning(
                "answers cannot be read, the latest do not count yet", error=str(error), every_s=60
            )

    def of(self, scene: str, watched: Watched) -> SceneRates | None:
        """Rates of a scene up to the last window of it; None when it has no alarm."""
        if scene not in self._raised:
            return None
        since_ns = watched.until_ns - LONGEST_NS
        raised = {i: at for i, at in self._raised[scene].items() if at >= since_ns}
        self._raised[scene] = raised
        return rates_of(scene, self._alarms[scene], raised, self._real, watched)


def rates_of(
    scene: str,
    alarm: AlarmSettings,
    raised: Mapping[str, int],
    real: frozenset[str],
    watched: Watched,
) -> SceneRates:
    """Rates of a scene.

    Args:
        scene: Name of the scene.
        alarm: Its alarm.
        raised: When each of its events began, by id.
        real: Ids of those of which a person said that they were real, and others.
        watched: When it was watched; the rates are up to the end of that.
    """
    now_ns = watched.until_ns
    counted = [at for i, at in raised.items() if i not in real]
    true = [at for i, at in raised.items() if i in real]
    return SceneRates(
        scene=scene,
        budget=alarm.budget,
        until_ns=now_ns,
        spent=spent_of(alarm, counted, true, watched, now_ns),
        rates=live_rates(counted, watched, alarm.false_alarms_hz, now_ns),
    )


def stored_rates(
    store: FusionStore, scene: str, alarm: AlarmSettings, real: frozenset[str]
) -> SceneRates:
    """Rates of a scene as a store has it.

    Raises:
        StoreError: It cannot be read.
    """
    at = store.checkpoint(scene)
    watched = watched_in(scene, at.scoring) if at is not None else Watched()
    raised = store.raised(scene, watched.until_ns - LONGEST_NS)
    return rates_of(scene, alarm, raised, real, watched)


def committed_rates(deployment: Deployment, scenes: Iterable[str]) -> list[SceneRates]:
    """Rates of scenes as the stores of a deployment have them.

    Raises:
        StoreError: There is no store yet, or one cannot be read.
    """
    real: frozenset[str] = frozenset()
    if has_answers(deployment):
        with closing(answer_store(deployment, create=False)) as answers:
            real = RealAlarms(answers).ids()
    with closing(fusion_store(deployment, create=False)) as store:
        return [stored_rates(store, n, deployment.scenes[n].alarm, real) for n in scenes]
