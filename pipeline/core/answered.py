"""What somebody answered to an event, on its way from the fusion node to the sinks.

It travels as the phase of the event that was answered with one field more, ``answer``: whoever
does not know of answers reads a phase that it has already.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pipeline.core.event import Event
from pipeline.core.timestamps import format_iso

SETTLING = frozenset({"seen", "verdict", "snooze"})
"""Answers that show that somebody looks after it; a note alone does not."""

_MARK = ".answer-"


class EventAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One answer, or that it was taken back.

    Attributes:
        position: Number of the answer on the machine where it was given.
        action: What kind of answer: ``seen``, ``verdict``, ``note``, ``snooze``.
        value: The verdict; until when it is snoozed, nanoseconds UTC; else empty.
        note: Words of the one who answered; may be empty.
        who: Who answered.
        at_ns: When, UTC.
        withdrawn_ns: When it was taken back, UTC; 0: it was not.
        withdrawn_by: Who took it back.
    """

    position: int
    action: str
    value: str = ""
    note: str = ""
    who: str
    at_ns: int
    withdrawn_ns: int = 0
    withdrawn_by: str = ""

    @property
    def words(self) -> str:
        """What was answered, by whom, as people say it."""
        said = f"{self._what} by {self.who}" + (f": {self.note}" if self.note else "")
        return f"taken back by {self.withdrawn_by}: {said}" if self.withdrawn_ns else said

    @property
    def _what(self) -> str:
        if self.action == "snooze" and self.value.isdecimal():
            return f"snoozed until {format_iso(int(self.value))}"
        return f"said to be {self.value}" if self.action == "verdict" else self.action


class _Answered(msgspec.Struct):
    """The one field more."""

    answer: EventAnswer | None = None


_ANSWERED_DECODER = msgspec.json.Decoder(_Answered)


def answer_key(event_id: str, answer: EventAnswer) -> str:
    """Idempotency key of an answer."""
    return f"{event_id}{_MARK}{answer.position}{'-back' if answer.withdrawn_ns else ''}"


def is_answer_key(key: str) -> bool:
    """Whether a key is that of an answer and not of a phase."""
    return _MARK in key


def answers_begin(event_id: str) -> str:
    """How the keys of all answers to an event begin."""
    return f"{event_id}{_MARK}"


def answered_json(event: Event, answer: EventAnswer) -> bytes:
    """An event with an answer to it, as canonical JSON; what explains it is left out."""
    told = {name: getattr(event, name) for name in event.__struct_fields__}
    told |= {"explanation": None, "answer": answer, "key": answer_key(event.id, answer)}
    return msgspec.json.encode(told, order="sorted")


def answer_of(body: bytes | str) -> EventAnswer | None:
    """The answer that came with an event; None: it is a phase.

    Raises:
        msgspec.DecodeError: It is neither.
    """
    return _ANSWERED_DECODER.decode(body).answer


def settled_by(answers: Sequence[EventAnswer]) -> EventAnswer | None:
    """The latest answer that shows that somebody looks after it, and was not taken back."""
    back = {one.position for one in answers if one.withdrawn_ns}
    given = [a for a in answers if a.action in SETTLING and a.position not in back]
    return given[-1] if given else None
