"""What the page reads and writes: the stores in a deployment's data folder.

The page may be there before the first run made them: then there is nothing to show yet, which
is not an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from nodes.alarm_rates import committed_rates
from nodes.dashboard.views import (
    Alike,
    AnswerGiven,
    EventRow,
    EventView,
    History,
    RateView,
    SceneView,
    minute_view,
    row_of,
    view_of,
)
from nodes.places import answer_store, evidence_folder, fusion_store, score_history
from nodes.withholding import Rules, Withheld, Withholding, worst
from pipeline.config.deployment import Deployment
from pipeline.core.clock import Clock
from pipeline.core.errors import StoreError
from pipeline.core.event import Event, Phase
from pipeline.detection.full_frames import read_note
from pipeline.store import Answer, AnswerStore, FusionStore, ScoreHistory, coarser

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
        self._clock = clock
        self._fusion: FusionStore | None = None
        self._history: ScoreHistory | None = None
        self._answers: AnswerStore = answer_store(deployment)
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

    def events(
        self, scene: str | None, since_ms: int | None, until_ms: int | None, limit: int
    ) -> list[EventRow]:
        """Events at their latest phase, the newest first.

        Args:
            scene: Only of this scene.
            since_ms: Only those that ended at or after this time.
            until_ms: Only those that began before this time.
            limit: At most so many.
        """
        store = self._fusion_store()
        if store is None:
            return []
        since_ns = None if since_ms is None else since_ms * MILLISECOND_NS
        # The store limits by the newest: only without an end may it stop there.
        found = store.events(scene, since_ns, limit if until_ms is None else None)
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
        note = read_note(evidence_folder(self._deployment) / phases[0].id)
        return view_of(phases, answers, self._rules().of(phases), note.note if note else "")

    def phases(self, event_id: str) -> list[Event]:
        """All phases of an event, in order; none when there is no event of this id."""
        store = self._fusion_store()
        return [e for e in store.phases(event_id) if e.id == event_id] if store else []

    def alike(self, event_id: str, days: int) -> Alike | None:
        """What saying that an event is normal would have done; None when there is none."""
        phases, store = self.phases(event_id), self._fusion_store()
        event = worst(phases)
        if event is None or store is None:
            return None
        since_ns = self._clock.now_ns() - days * DAY_NS
        rules = self._rules()
        sent = [
            one
            for one in store.events(event.scene, since_ns)
            if not one.health and one.id != event_id and self._withheld(one, rules) is None
        ]
        found = [one for one in sent if self._withheld(one, Rules([event])) is not None]
        return Alike(days=days, of=len(sent), alike=self._rows(found[::-1]))

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
            at_ns=self._clock.now_ns(),
        )
        self._answers.add(answer)
        return answer

    def _value(self, given: AnswerGiven) -> str:
        if given.minutes is not None:
            return str(self._clock.now_ns() + given.minutes * MINUTE_NS)
        return given.value.value if given.value else ""

    def withdraw(self, position: int, who: str) -> Answer:
        """Take an answer back.

        Raises:
            StoreError: There is none at this position that stands.
        """
        return self._answers.withdraw(position, who, self._clock.now_ns())

    def history(
        self, scene: str, from_ms: int, to_ms: int, points: int, threshold: float | None
    ) -> History:
        """Scores of ``[from_ms, to_ms)``, so coarse that there are at most `points`."""
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
        rates: Sequence[RateView] = ()
        if settings.model is not None and store is not None:
            (found,) = committed_rates(self._deployment, [name])
            rates = [
                RateView(
                    period=one.period,
                    raised=one.raised,
                    budgeted=one.budgeted,
                    ratio=one.ratio,
                    low=one.low,
                    high=one.high,
                )
                for one in found.rates
            ]
        return SceneView(
            name=name,
            streams=list(settings.streams),
            budget=settings.alarm.budget,
            learnt=settings.model is not None,
            standing=[e.id for e in latest if e.phase is not Phase.CLEARED],
            rates=list(rates),
        )

    def _rows(self, events: Sequence[Event]) -> list[EventRow]:
        answers = self._answers.of(event.id for event in events)
        rules = self._rules()
        return [
            row_of(event, answers.get(event.id, ()), self._withheld(event, rules))
            for event in events
        ]

    def _withheld(self, event: Event, rules: Rules) -> Withheld | None:
        """Why an event was not sent; that of its last phase alone would not do is seen first."""
        if rules.of([event]) is None:
            return None
        return rules.of(self.phases(event.id))

    def _rules(self) -> Rules:
        store = self._fusion_store()
        if store is None:
            return Rules()
        self._withholding = self._withholding or Withholding(store, self._answers)
        return self._withholding.rules()

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
    except StoreError:
        return None
