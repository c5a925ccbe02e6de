"""What was said to be normal, and how far each such answer goes.

It covers events that are like the one answered and no worse (`pipeline.core.likeness`), for as
long as `FeedbackSettings` says, and of a scene the latest so many hold. Like it is what is like it
at any of its phases: who comes in is seen at the door first and at the desk later, and held against
the desk alone everybody who comes in would be told. How bad it may be, and what may be heard beside
it, is what the whole event showed. Which events it covers depends on their own time, not on the
clock: a replay is withheld the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec

from pipeline.config.feedback import FeedbackSettings
from pipeline.config.retention import age_ns
from pipeline.core.event import Event
from pipeline.core.explanation import Explanation
from pipeline.core.likeness import alike
from pipeline.core.retention import FOREVER_NS
from pipeline.store import Action, Answer, Verdict, verdict_of


@dataclass(frozen=True, slots=True)
class Exemption:
    """An event that somebody said is normal here.

    Attributes:
        event: The event, at its worst.
        shown: What explained it at each of its phases; none: what explains it at its worst.
        position: Number of the answer; 0 of one that was not given.
        who: Who said it.
        note: Their words; may be empty.
        from_ns: When it was said, UTC.
        until_ns: Events that begin then or later are told again; None: it holds on.
    """

    event: Event
    shown: tuple[Explanation, ...] = ()
    position: int = 0
    who: str = ""
    note: str = ""
    from_ns: int = 0
    until_ns: int | None = None

    def covers(self, event: Event) -> bool:
        """Whether an event is another time of it; it itself was there before the answer."""
        if self.until_ns is not None and event.start_ns >= self.until_ns:
            return False
        return event.id != self.event.id and any(alike(event, one) for one in self._times())

    def _times(self) -> Iterator[Event]:
        """The event as it looked at each of its phases, as bad as it was at its worst."""
        for why in self.shown or (self.event.explanation,):
            yield msgspec.structs.replace(self.event, explanation=why)


def called_normal(phases: Sequence[Event]) -> Exemption | None:
    """The exemption of an event that is called normal; None when there is no event.

    Args:
        phases: Its phases so far, in order.
    """
    event = worst(phases)
    if event is None:
        return None
    shown: list[Explanation] = []
    for phase in phases:
        if phase.explanation is not None and phase.explanation not in shown:
            shown.append(phase.explanation)
    return Exemption(event, tuple(shown))


def exemptions_of(called: Exemption, answers: Sequence[Answer]) -> list[Exemption]:
    """The exemption that the answers to an event make, if they do.

    Args:
        called: What it would exempt, see `called_normal`.
        answers: Answers to it that stand, in order.
    """
    if verdict_of(answers) is not Verdict.NORMAL:
        return []
    last = [answer for answer in answers if answer.action is Action.VERDICT][-1]
    return [
        replace(called, position=last.position, who=last.who, note=last.note, from_ns=last.at_ns)
    ]


def within(exemptions: Iterable[Exemption], bounds: FeedbackSettings) -> list[Exemption]:
    """Those that hold, the latest first, each with its end."""
    found: dict[str, list[Exemption]] = {}
    for one in sorted(exemptions, key=lambda one: (one.from_ns, one.position), reverse=True):
        found.setdefault(one.event.scene, []).append(one)
    held = [one for scene in found.values() for one in scene[: bounds.normal_at_most]]
    return [replace(one, until_ns=holds_until(one.from_ns, bounds)) for one in held]


def holds_until(from_ns: int, bounds: FeedbackSettings) -> int | None:
    """Until when an answer given at a time holds; None: until it is taken back."""
    return None if bounds.normal_for is None else from_ns + age_ns(bounds.normal_for)


def asked_until(answers: Sequence[Answer], bounds: FeedbackSettings) -> int:
    """Until when the answers to an event hold others back, which needs the event; 0: they do not.

    Args:
        answers: Answers to it that stand, in order.
        bounds: How far answers may go.

    Returns:
        UTC; `FOREVER_NS` where it is until one is taken back.
    """
    ends = [int(one.value) for one in answers if one.action is Action.SNOOZE][-1:]
    if verdict_of(answers) is Verdict.NORMAL:
        said_ns = [one.at_ns for one in answers if one.action is Action.VERDICT][-1]
        ends.append(holds_until(said_ns, bounds) or FOREVER_NS)
    return max(ends, default=0)


def worst(phases: Sequence[Event]) -> Event | None:
    """The last phase of an event, explained as the last that was explained; None of none."""
    explained = [phase.explanation for phase in phases if phase.explanation is not None]
    if not phases or not explained:
        return phases[-1] if phases else None
    return msgspec.structs.replace(phases[-1], explanation=explained[-1])
