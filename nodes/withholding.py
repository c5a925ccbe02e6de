"""Which events are not sent to the sinks, because somebody answered so.

- An event that is like one of which somebody said that it is normal here: for as long as the
  answer holds, see `nodes.exemptions`, and for nothing worse than what was answered, see
  `pipeline.core.likeness`.
- An event in a scene that somebody snoozed, until then, if it is no more severe than the event
  at which that was said. Events of the equipment and of the scene are snoozed apart.

Such events are found, stored and shown as ever, so that a replay tells the same. An event of
which one phase was sent is sent to its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import structlog

from nodes.exemptions import Exemption, exemptions_of, within, worst
from pipeline.config.feedback import FeedbackSettings
from pipeline.core.errors import StoreError
from pipeline.core.event import Event, Severity
from pipeline.core.timestamps import format_iso
from pipeline.store import Action, Answer, AnswerStore, FusionStore

log = structlog.get_logger(__name__)

_SEVERITIES = tuple(Severity)


@dataclass(frozen=True, slots=True)
class Withheld:
    """Why an event is not sent.

    Attributes:
        words: Why, in words.
        like: Id of the event it is like that was said to be normal; empty otherwise.
        too_late: Whether it was raised before that was said, so that it was sent all the same.
    """

    words: str
    like: str = ""
    too_late: bool = False


@dataclass(frozen=True, slots=True)
class Snooze:
    """A scene that is not to be told of for a while.

    Attributes:
        event: The event at which that was said, at its worst.
        who: Who said it.
        from_ns: When it was said, UTC.
        until_ns: How long it holds.
    """

    event: Event
    who: str
    from_ns: int
    until_ns: int

    def holds(self, event: Event) -> bool:
        """Whether an event is not to be told of."""
        return (
            event.scene == self.event.scene
            and event.health == self.event.health
            and self.from_ns <= event.start_ns < self.until_ns
            and _SEVERITIES.index(event.severity) <= _SEVERITIES.index(self.event.severity)
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """What was answered that keeps events back.

    Attributes:
        normal: What was said to be normal, and holds.
        snoozes: Scenes that were snoozed.
    """

    normal: Sequence[Exemption] = ()
    snoozes: Sequence[Snooze] = ()

    def of(self, phases: Sequence[Event]) -> Withheld | None:
        """Why an event is not sent; None when it is.

        Args:
            phases: Its phases so far, in order.
        """
        so_far = [at for n in range(len(phases)) if (at := worst(phases[: n + 1])) is not None]
        if not so_far:
            return None
        for known in self.normal:
            if all(known.covers(at) for at in so_far):
                like = known.event.id
                late = phases[0].end_ns < known.from_ns
                return Withheld(f"like {like}, which is normal here", like, late)
        for snooze in self.snoozes:
            if all(snooze.holds(at) for at in so_far):
                return Withheld(f"snoozed until {format_iso(snooze.until_ns)} by {snooze.who}")
        return None


class Withholding:
    """Knows what was answered, and reads it again when there are new answers.

    Args:
        events: Where the events are.
        answers: What was answered to them.
        bounds: How far answers may go.
    """

    def __init__(self, events: FusionStore, answers: AnswerStore, bounds: FeedbackSettings) -> None:
        self._events = events
        self._bounds = bounds
        self._answers = answers
        self._version = -1
        self._rules = Rules()

    def marked(self, event: Event) -> Event:
        """The event as it is handed on: with the reason when it is not to be sent."""
        try:
            rules = self.rules()
            if not rules.normal and not rules.snoozes:
                return event
            phases = [p for p in self._events.phases(event.id) if p.id == event.id]
        except StoreError as error:
            log.error("answers cannot be read, all events are sent", error=str(error), every_s=60)
            return event
        found = rules.of([p for p in phases if p.revision <= event.revision])
        return event if found is None else msgspec.structs.replace(event, withheld=found.words)

    def rules(self) -> Rules:
        """What keeps events back now.

        Raises:
            StoreError: The answers or the events cannot be read.
        """
        version = self._answers.version()
        if version != self._version:
            self._rules = self._read(self._answers.standing())
            self._version = version
        return self._rules

    def _read(self, standing: Mapping[str, Sequence[Answer]]) -> Rules:
        normal: list[Exemption] = []
        snoozes: list[Snooze] = []
        for event_id, answers in standing.items():
            event = worst([p for p in self._events.phases(event_id) if p.id == event_id])
            if event is None:
                continue
            normal += exemptions_of(event, answers)
            given = [one for one in answers if one.action is Action.SNOOZE]
            snoozes += [Snooze(event, one.who, one.at_ns, int(one.value)) for one in given[-1:]]
        return Rules(within(normal, self._bounds), snoozes)
