"""Events that are like one of which somebody said that it is normal here.

They are found, stored and shown as ever, so that a replay tells the same; they are not sent to
the sinks. It holds for as long as the answer stands, and for nothing worse than what was
answered, see `pipeline.core.likeness`. An event of which one phase was sent is sent to its end.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import structlog

from pipeline.core.errors import StoreError
from pipeline.core.event import Event
from pipeline.core.likeness import alike
from pipeline.store import AnswerStore, FusionStore, Verdict, verdict_of

log = structlog.get_logger(__name__)


class Pardons:
    """Knows which events were said to be normal.

    Args:
        events: Where the events are.
        answers: What was answered to them.
    """

    def __init__(self, events: FusionStore, answers: AnswerStore) -> None:
        self._events = events
        self._answers = answers
        self._version = -1
        self._known: list[Event] = []

    def marked(self, event: Event) -> Event:
        """The event as it is sent: with the id of the one it is like, if it is like any."""
        try:
            known = self.known()
            if not known or event.health:
                return event
            phases = [p for p in self._events.phases(event.id) if p.id == event.id]
        except StoreError as error:
            log.error("answers cannot be read, all events are sent", error=str(error), every_s=60)
            return event
        found = known_like([p for p in phases if p.revision <= event.revision], known)
        return msgspec.structs.replace(event, known_normal=found) if found else event

    def known(self) -> list[Event]:
        """Events that were said to be normal, each at its worst.

        Raises:
            StoreError: The answers or the events cannot be read.
        """
        version = self._answers.version()
        if version != self._version:
            said = [
                event
                for event, given in self._answers.standing().items()
                if verdict_of(given) is Verdict.NORMAL
            ]
            found = (worst(self._events.phases(event)) for event in said)
            self._known = [event for event in found if event is not None]
            self._version = version
        return self._known


def worst(phases: Sequence[Event]) -> Event | None:
    """The last phase of an event, explained as the last that was explained; None of none."""
    explained = [phase.explanation for phase in phases if phase.explanation is not None]
    if not phases or not explained:
        return phases[-1] if phases else None
    return msgspec.structs.replace(phases[-1], explanation=explained[-1])


def known_like(phases: Sequence[Event], known: Sequence[Event]) -> str:
    """Id of a known event that an event was like all along; empty without one.

    An event is not like itself: it was there before anybody said that it is normal.

    Args:
        phases: Its phases so far, in order.
        known: Events that were said to be normal, each at its worst.
    """
    so_far = [worst(phases[: number + 1]) for number in range(len(phases))]
    for one in known:
        if all(at is not None and at.id != one.id and alike(at, one) for at in so_far):
            return one.id if so_far else ""
    return ""
