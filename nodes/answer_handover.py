"""Hands what people answered on to the alert node, over the link that events go.

An answer counts as handed on once the alert node has it for good, and is offered until then,
through crashes of either: the alert node knows its key. That one was taken back is handed on
likewise. Answers are given on the page, by another process, so the store is looked at anew. A
worker of a cluster hands on those of its own scenes.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from pipeline.core.answered import EventAnswer, answer_key, answered_json, is_answer_key
from pipeline.core.clock import Clock
from pipeline.core.errors import StoreError
from pipeline.core.event import Event
from pipeline.store import Answer, AnswerStore, FusionStore
from pipeline.transport.event_link import EventSender

log = structlog.get_logger(__name__)

LOOK_NS = 1_000_000_000
AT_ONCE = 32


class AnswerHandover:
    """Answers on their way to the alert node.

    Args:
        events: Where the events are.
        answers: What was answered to them.
        clock: Node time.
    """

    def __init__(self, events: FusionStore, answers: AnswerStore, clock: Clock) -> None:
        self._events = events
        self._answers = answers
        self._clock = clock
        self._looked_ns: int | None = None
        self._on_the_way: dict[str, Answer] = {}

    def confirmed(self, keys: list[str]) -> list[str]:
        """Note the answers among what the alert node has; the keys that are of events."""
        for key in filter(is_answer_key, keys):
            answer = self._on_the_way.pop(key, None)
            if answer is not None:
                self._note(answer)
        return [key for key in keys if not is_answer_key(key)]

    def offer(self, link: EventSender) -> None:
        """Send what is new; looks for it once a second."""
        now_ns = self._clock.now_ns()
        if self._looked_ns is not None and now_ns - self._looked_ns < LOOK_NS:
            return
        self._looked_ns = now_ns
        try:
            for answer in self._answers.unhanded(AT_ONCE, self._events.scenes):
                self._send(link, answer)
        except StoreError as error:
            log.error("answers cannot be handed on", error=str(error), every_s=60)

    def _send(self, link: EventSender, answer: Answer) -> None:
        told = told_answer(answer)
        key = answer_key(answer.event, told)
        if key in self._on_the_way:
            return
        phases = self._events.life(answer.event)
        if not phases:
            self._note(answer)  # its event was forgotten: there is nothing to tell
            return
        self._on_the_way[key] = answer
        link.send(answered_json(_then(phases, answer), told), key)

    def _note(self, answer: Answer) -> None:
        try:
            self._answers.handed(answer)
        except StoreError as error:  # it is offered again, and known there
            log.error("answers cannot be handed on", error=str(error), every_s=60)


def _then(phases: Sequence[Event], answer: Answer) -> Event:
    """The event as it was when that was answered, so that a repeat says the same."""
    at_ns = answer.withdrawn_ns or answer.at_ns
    return [phases[0], *(phase for phase in phases if phase.end_ns <= at_ns)][-1]


def told_answer(answer: Answer) -> EventAnswer:
    """An answer as it is told."""
    return EventAnswer(
        position=answer.position,
        action=answer.action.value,
        value=answer.value,
        note=answer.note,
        who=answer.who,
        at_ns=answer.at_ns,
        withdrawn_ns=answer.withdrawn_ns,
        withdrawn_by=answer.withdrawn_by,
    )
