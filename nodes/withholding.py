"""Which events are not sent to the sinks, because somebody answered so.

- An event that is like one of which somebody said that it is normal here: for as long as the
  answer holds, see `nodes.exemptions`, and for nothing worse than what was answered, see
  `pipeline.core.likeness`.
- An event in a scene that somebody snoozed, until then, if it is no more severe than the event
  at which that was said. Events of the equipment and of the scene are snoozed apart.

Such events are found, stored and shown as ever, so that a replay tells the same. An event of
which one phase was sent is sent to its end. One that was held back when it was raised is held back
to its end, though the answer is taken back meanwhile, unless it gets worse: nobody is told that
something is over of which nobody heard.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import structlog

from nodes.exemptions import Exemption, called_normal, exemptions_of, within, worst
from pipeline.config.feedback import FeedbackSettings
from pipeline.core.errors import StoreError
from pipeline.core.event import Event, Phase, Severity
from pipeline.core.timestamps import format_iso
from pipeline.store import Action, Answer, AnswerStore, FusionStore, Verdict, stood_at

log = structlog.get_logger(__name__)

_SEVERITIES = tuple(Severity)
_Lives = Mapping[str, Exemption | None]
"""Events by id, as they would be called normal; None: it is not there any more."""


@dataclass(frozen=True, slots=True)
class Withheld:
    """Why an event is not sent.

    Attributes:
        words: Why, in words.
        like: Id of the event it is like that was said to be normal; empty otherwise.
    """

    words: str
    like: str = ""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of an event.

    Attributes:
        withheld: Why it was not sent, in words; empty when it was.
        like: Id of the event it is like that was, or is now, said to be normal; may be empty.
        cause: Id of the event that it was not sent for, as it follows from it
            (`nodes.inhibition`); may be empty.
    """

    withheld: str = ""
    like: str = ""
    cause: str = ""


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

    def __bool__(self) -> bool:
        """Whether there is anything that could keep an event back."""
        return bool(self.normal or self.snoozes)

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
                return Withheld(f"like {like}, which is normal here", like)
        for snooze in self.snoozes:
            if all(snooze.holds(at) for at in so_far):
                return Withheld(f"snoozed until {format_iso(snooze.until_ns)} by {snooze.who}")
        return None


_NOTHING = Rules()


@dataclass(frozen=True, slots=True)
class _Read:
    """Answers as they were read.

    Attributes:
        version: Of the answers; None: nothing was read.
        given: Every answer to an event that ever kept others back, in order.
        changes: When any of them was given or taken back, in order.
        lives: The events that they are of; what one that stands shows later counts, too.
        rules: What keeps events back now.
        past: What kept them back before, by how many changes there had been.
    """

    version: tuple[int, ...] | None = None
    given: Sequence[Answer] = ()
    changes: Sequence[int] = ()
    lives: _Lives = field(default_factory=dict)
    rules: Rules = _NOTHING
    past: dict[int, Rules] = field(default_factory=dict)


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
        self._read = _Read()
        self._raised_by: dict[str, Rules] = {}  # answers at that time, by event that stands

    def marked(self, event: Event) -> Event:
        """The event as it is handed on: with the reason when it is not to be sent."""
        try:
            found = self._withheld(event)
        except StoreError as error:
            log.error("answers cannot be read, all events are sent", error=str(error), every_s=60)
            return event
        return event if found is None else msgspec.structs.replace(event, withheld=found.words)

    def as_raised(self, first: Event) -> Event:
        """The first phase of an event as it was handed on, before this node began."""
        try:
            return msgspec.structs.replace(first, withheld=self.fate([first]).withheld)
        except StoreError as error:
            log.error("answers cannot be read, all events are sent", error=str(error), every_s=60)
            return first

    def _withheld(self, event: Event) -> Withheld | None:
        """Why a phase is not sent, by the answers now, or by those when the event was raised."""
        read = self._latest()
        if not event.revision:
            self._raised_by[event.id] = read.rules
        then = self._raised_by.get(event.id)
        if event.phase is Phase.CLEARED:
            self._raised_by.pop(event.id, None)
        if not read.given and not then:
            return None
        so_far = [p for p in self._events.life(event.id) if p.revision <= event.revision]
        if then is None and so_far:  # it was raised before this node began
            then = self._rules_at(read, so_far[0].end_ns)
        return read.rules.of(so_far) or (then or _NOTHING).of(so_far)

    def rules(self) -> Rules:
        """What keeps events back now.

        Raises:
            StoreError: The answers or the events cannot be read.
        """
        return self._latest().rules

    def fate(self, phases: Sequence[Event]) -> Fate:
        """What became of an event by the answers when it was raised; raises as `rules`.

        Of an event that was raised and not yet handed on when an answer was given or taken back,
        this is what the answers before would have done.

        Args:
            phases: Its phases so far, in order.
        """
        read = self._latest()
        withheld = self._rules_at(read, phases[0].end_ns).of(phases)
        now = read.rules.of(phases)
        like = next((found.like for found in (withheld, now) if found and found.like), "")
        return Fate(withheld.words if withheld else "", like)

    def may_be_withheld(self, event: Event) -> bool:
        """Whether `fate` could be other than sent, by the last phase alone; raises as `rules`."""
        read = self._latest()
        then = [self._rules_at(read, at_ns) for at_ns in (event.start_ns, event.end_ns)]
        return any(rules.of([event]) for rules in (*then, read.rules))

    def _rules_at(self, read: _Read, at_ns: int) -> Rules:
        """What kept events back at a time, by the answers that stood then."""
        change = bisect_right(read.changes, at_ns)
        found = read.past.get(change)
        if found is None:
            stood = stood_at(read.given, at_ns)
            found = read.past[change] = _rules_of(stood, read.lives, self._bounds)
        return found

    def _latest(self) -> _Read:
        """What was read; threads that look meanwhile see all of the old or all of the new."""
        version, read = self._answers.version(), self._read
        anew, moved = version != read.version, self._moved(read.lives)
        if anew or moved:
            given = _keeping_back(self._answers.all()) if anew else read.given
            kept = {i: life for i, life in read.lives.items() if life and i not in moved}
            wanted = dict.fromkeys(one.event for one in given)
            lives = {i: kept.get(i) or called_normal(self._events.life(i)) for i in wanted}
            times = {one.at_ns for one in given} | {one.withdrawn_ns for one in given}
            rules = _rules_of(stood_at(given, max(times, default=0)), lives, self._bounds)
            self._read = read = _Read(version, given, sorted(times), lives, rules)
        return read

    def _moved(self, lives: _Lives) -> set[str]:
        """Ids of events that stood when they were read, and show more by now or are gone."""
        known = [life.event for life in lives.values() if life]
        stood = {one.id: one.revision for one in known if one.phase is not Phase.CLEARED}
        found = self._events.revisions(stood) if stood else {}
        return {event_id for event_id, at in stood.items() if found.get(event_id) != at}


def _keeping_back(given: Sequence[Answer]) -> list[Answer]:
    """Answers to events that ever kept others back, without those that have no part in that."""
    normal = (Action.VERDICT, Verdict.NORMAL)
    events = {a.event for a in given if a.action is Action.SNOOZE or (a.action, a.value) == normal}
    said = (Action.VERDICT, Action.SNOOZE)
    return [one for one in given if one.event in events and one.action in said]


def _rules_of(
    answered: Mapping[str, Sequence[Answer]], lives: _Lives, bounds: FeedbackSettings
) -> Rules:
    """What answers keep back."""
    normal: list[Exemption] = []
    snoozes: list[Snooze] = []
    for event_id, answers in answered.items():
        life = lives.get(event_id)
        if life is None:
            continue
        normal += exemptions_of(life, answers)
        given = [one for one in answers if one.action is Action.SNOOZE][-1:]
        snoozes += [Snooze(life.event, one.who, one.at_ns, int(one.value)) for one in given]
    return Rules(within(normal, bounds), snoozes)
