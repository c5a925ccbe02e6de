"""What the page reads and writes: the stores in a deployment's data folder.

The page may be there before the first run made them: then there is nothing to show yet, which
is not an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import structlog

from nodes.alarm_rates import RealAlarms, stored_rates
from nodes.answer_effect import effect_of, rules_after
from nodes.cluster.operating import statuses
from nodes.dashboard.answer_views import EffectView, SceneExemptions
from nodes.dashboard.event_views import EventRow, EventView, row_of, view_of
from nodes.dashboard.exemptions import scene_exemptions
from nodes.dashboard.views import (
    AnswerGiven,
    GroupView,
    History,
    SceneView,
    group_view,
    minute_view,
    rate_view,
    spent_view,
)
from nodes.exemptions import holds_until, worst
from nodes.places import answer_store, evidence_folder, fusion_store, score_history
from nodes.withholding import Fate, Rules, Withholding
from pipeline.config.deployment import Deployment
from pipeline.core.clock import Clock
from pipeline.core.errors import StoreError, StoreVersionError
from pipeline.core.event import Event, Phase
from pipeline.detection.full_frames import read_note
from pipeline.store import Answer, AnswerStore, FusionStore, Held, ScoreHistory, Verdict, coarser

log = structlog.get_logger(__name__)

_Store = TypeVar("_Store", FusionStore, ScoreHistory)

MINUTE_MS = 60_000
MINUTE_NS = 60_000_000_000
_STANDING = 200  # latest events of a scene among which those that stand are looked for
MILLISECOND_NS = 1_000_000
DAY_NS = 86_400_000_000_000


class Records:
    """Events, answers and scores of a deployment. May be used by several threads.

    Args:
        deployment: The deployment.
        clock: The time, UTC.
    """

    def __init__(self, deployment: Deployment, clock: Clock) -> None:
        self._deployment = deployment
        self.clock = clock
        self._fusion: FusionStore | None = None
        self._history: ScoreHistory | None = None
        self._answers: AnswerStore = answer_store(deployment)
        self._real = RealAlarms(self._answers)
        self._withholding: Withholding | None = None

    def close(self) -> None:
        """Let go of the stores; may be called twice."""
        self._answers.close()
        for store in (self._fusion, self._history):
            if store is not None:
                store.close()

    def scenes(self) -> list[SceneView]:
        """All scenes, in the deployment's order."""
        return [self._scene(name) for name in self._deployment.scenes]

    def groups(self) -> list[GroupView]:
        """Groups of scenes and who fuses them; none where the deployment has no cluster."""
        store = self._fusion_store()
        if store is None or not self._deployment.engine.is_ray:
            return []
        return [group_view(one) for one in statuses(self._deployment, store)]

    def events(
        self,
        scene: str | None,
        since_ms: int | None,
        until_ms: int | None,
        limit: int,
        health: bool | None = None,
    ) -> list[EventRow]:
        """Events at their latest phase, the newest first.

        Args:
            scene: Only of this scene.
            since_ms: Only those that ended at or after this time.
            until_ms: Only those that began before this time.
            limit: At most so many.
            health: Only those that tell of the equipment, or only those that do not; None: both.
        """
        store = self._fusion_store()
        if store is None:
            return []
        since_ns = None if since_ms is None else since_ms * MILLISECOND_NS
        # The store limits by the newest: only without an end may it stop there.
        found = store.events(scene, since_ns, limit if until_ms is None else None, health=health)
        if until_ms is not None:
            found = [e for e in found if e.start_ns < until_ms * MILLISECOND_NS]
        found = found[::-1][:limit]
        return self._rows(found)

    def event(self, event_id: str) -> EventView | None:
        """One event with everything known of it; None when there is none of this id."""
        phases = self.phases(event_id)
        if not phases:
            return None
        answers = self._answers.of([event_id]).get(event_id, ())
        fate = self._fate(phases[-1], self._held([event_id]).get(event_id))
        folder = evidence_folder(self._deployment)
        note = read_note(folder / event_id)
        view = view_of(phases, answers, fate, self._together(phases[-1]), note.note if note else "")
        there = {n: path for n, path in view.evidence.items() if (folder / path).is_file()}
        return view.model_copy(update={"evidence": there})

    def phases(self, event_id: str) -> list[Event]:
        """All phases of an event, in order; none when there is no event of this id."""
        store = self._fusion_store()
        return store.life(event_id) if store else []

    def effect(self, event_id: str, verdict: Verdict | None, days: int) -> EffectView | None:
        """What a verdict would have done in the last days; None when there is no such event."""
        phases = self.phases(event_id)
        event, store = worst(phases), self._fusion_store()
        if event is None or store is None:
            return None
        rules, now_ns = self._rules(), self.clock.now_ns()
        then = rules_after(verdict, phases, rules, self._deployment.feedback, now_ns)
        events = store.events(event.scene, now_ns - days * DAY_NS)
        found = effect_of(event, rules, then, events, self.phases)
        until_ns = holds_until(now_ns, self._deployment.feedback)
        return EffectView(
            days=days,
            of=found.sent,
            lost=self._rows(found.lost),
            gained=self._rows(found.gained),
            until_ms=None if until_ns is None else until_ns // MILLISECOND_NS,
        )

    def exemptions(self, days: int) -> list[SceneExemptions]:
        """What answers hold back, scene by scene; scenes without any are left out."""
        store, rules = self._fusion_store(), self._rules()
        if store is None:
            return []
        since_ns = self.clock.now_ns() - days * DAY_NS
        return [
            scene_exemptions(name, days, rules, self._rows(store.events(name, since_ns)))
            for name in dict.fromkeys(one.event.scene for one in rules.normal)
        ]

    def answer(self, event_id: str, given: AnswerGiven, who: str) -> Answer | None:
        """Keep an answer to an event; None when there is none of this id.

        Raises:
            StoreError: It could not be written.
        """
        phases = self.phases(event_id)
        if not phases:
            return None
        answer = Answer(
            event=event_id,
            scene=phases[-1].scene,
            action=given.action,
            value=self._value(given),
            note=given.note,
            who=who,
            at_ns=self.clock.now_ns(),
        )
        return replace(answer, position=self._answers.add(answer))

    def _value(self, given: AnswerGiven) -> str:
        if given.minutes is not None:
            return str(self.clock.now_ns() + given.minutes * MINUTE_NS)
        return given.value.value if given.value else ""

    def withdraw(self, position: int, who: str) -> Answer:
        """Take an answer back.

        Raises:
            NoSuchAnswer: There is none at this position that stands.
            StoreError: It could not be written.
        """
        return self._answers.withdraw(position, who, self.clock.now_ns())

    def history(
        self, scene: str, from_ms: int, to_ms: int, points: int, threshold: float | None
    ) -> History:
        """Scores of ``[from_ms, to_ms)``, so coarse that there are at most `points`.

        One more where the span begins within a step: steps are told from the epoch, so that those
        of one span are those of the next.
        """
        first, last = from_ms // MINUTE_MS, -(-to_ms // MINUTE_MS)
        step = max(1, -(-(last - first) // points))
        store = self._history_store()
        minutes = store.between(scene, first, last) if store else []
        earliest = store.first_minute(scene) if store else None
        return History(
            step_ms=step * MINUTE_MS,
            first_ms=None if earliest is None else earliest * MINUTE_MS,
            threshold=threshold,
            minutes=[minute_view(one) for one in coarser(minutes, step)],
        )

    def _scene(self, name: str) -> SceneView:
        settings = self._deployment.scenes[name]
        store = self._fusion_store()
        latest = store.events(name, limit=_STANDING) if store else []
        found = None
        if settings.model is not None and store is not None:
            found = stored_rates(store, name, settings.alarm, self._real.ids())
        return SceneView(
            name=name,
            streams=list(settings.streams),
            budget=settings.alarm.budget,
            learnt=settings.model is not None,
            standing=[e.id for e in latest if e.phase is not Phase.CLEARED],
            spent=spent_view(found.spent) if found and found.until_ns else None,
            rates=[rate_view(one) for one in found.rates] if found else [],
        )

    def _rows(self, events: Sequence[Event]) -> list[EventRow]:
        answers = self._answers.of(event.id for event in events)
        held = self._held([event.id for event in events])
        return [
            row_of(event, answers.get(event.id, ()), self._fate(event, held.get(event.id)))
            for event in events
        ]

    def _held(self, ids: Sequence[str]) -> Mapping[str, Held]:
        """Why events are not sent that follow from others, of those that do."""
        store = self._fusion_store()
        return store.held.of(ids) if store else {}

    def _together(self, event: Event) -> list[Event]:
        """Other events of an event's incident."""
        store, within_ns = self._fusion_store(), self._deployment.incidents.within_ns
        first = self.phases(event.incident or event.id)
        if store is None or not first:
            return []
        return [one for one in store.incident(first[0], within_ns) if one.id != event.id]

    def _fate(self, event: Event, held: Held | None) -> Fate:
        """What became of an event; its phases are read only if that is not clear without."""
        withholding, answered = self._withheld_by(), Fate()
        if withholding is not None and withholding.may_be_withheld(event):
            answered = withholding.fate(self.phases(event.id))
        if held is None or answered.withheld:
            return answered
        return replace(answered, withheld=held.words, cause=held.cause)

    def _rules(self) -> Rules:
        withholding = self._withheld_by()
        return withholding.rules() if withholding else Rules()

    def _withheld_by(self) -> Withholding | None:
        store = self._fusion_store()
        if store is not None and self._withholding is None:
            bounds = self._deployment.feedback
            self._withholding = Withholding(store, self._answers, bounds)
        return self._withholding

    def _fusion_store(self) -> FusionStore | None:
        self._fusion = self._fusion or _opened(lambda: fusion_store(self._deployment, create=False))
        return self._fusion

    def _history_store(self) -> ScoreHistory | None:
        self._history = self._history or _opened(
            lambda: score_history(self._deployment, create=False)
        )
        return self._history


def _opened(make: Callable[[], _Store]) -> _Store | None:
    """The store; None while it is not there or cannot be read."""
    try:
        return make()
    except StoreVersionError as error:
        log.error("a store is not shown", reason=str(error), every_s=60)
        return None
    except StoreError:
        return None
