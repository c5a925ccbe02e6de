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

from nodes.exemptions import Exemption, exemptions_of, within, worst
from pipeline.config.feedback import FeedbackSettings
from pipeline.core.errors import StoreError
from pipeline.core.event import Event, Phase, Severity
from pipeline.core.timestamps import format_iso
from pipeline.store import Action, Answer, AnswerStore, FusionStore, stood_at

log = structlog.get_logger(__name__)

_SEVERITIES = tuple(Severity)


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
        version: Of the answers.
        given: Every answer ever given, in order.
        changes: When any was given or taken back, in order.
        rules: What keeps events back now.
        standing: Whether an event that was answered still stood: what it shows later counts, too.
        past: What kept them back before, by how many changes there had been.
    """

    version: int = -1
    given: Sequence[Answer] = ()
    changes: Sequence[int] = ()
    rules: Rules = _NOTHING
    standing: bool = False
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
            found = self._withheld(event, self.rules())
        except StoreError as error:
            log.error("answers cannot be read, all events are sent", error=str(error), every_s=60)
            return event
        return event if found is None else msgspec.structs.replace(event, withheld=found.words)

    def _withheld(self, event: Event, now: Rules) -> Withheld | None:
        """Why a phase is not sent, by the answers now, or by those when the event was raised."""
        if not event.revision:
            self._raised_by[event.id] = now
        then = self._raised_by.get(event.id, _NOTHING)
        if event.phase is Phase.CLEARED:
            self._raised_by.pop(event.id, None)
        if not now and not then:
            return None
        so_far = [p for p in self._events.life(event.id) if p.revision <= event.revision]
        return now.of(so_far) or then.of(so_far)

    def rules(self) -> Rules:
        """What keeps events back now.

        Raises:
            StoreError: The answers or the events cannot be read.
        """
        return self._latest().rules

    def rules_at(self, at_ns: int) -> Rules:
        """What kept events back at a time, by the answers that stood then; raises as `rules`."""
        read = self._latest()
        change = bisect_right(read.changes, at_ns)
        found = read.past.get(change)
        if found is None:
            found = read.past[change] = self._rules_of(stood_at(read.given, at_ns))[0]
        return found

    def fate(self, phases: Sequence[Event]) -> Fate:
        """What became of an event by the answers when it was raised; raises as `rules`.

        Of an event that was raised and not yet handed on when an answer was given or taken back,
        this is what the answers before would have done.

        Args:
            phases: Its phases so far, in order.
        """
        withheld, now = self.rules_at(phases[0].end_ns).of(phases), self.rules().of(phases)
        like = next((found.like for found in (withheld, now) if found and found.like), "")
        return Fate(withheld.words if withheld else "", like)

    def may_be_withheld(self, event: Event) -> bool:
        """Whether `fate` could be other than sent, by the last phase alone; raises as `rules`."""
        then = self.rules_at(event.start_ns), self.rules_at(event.end_ns), self.rules()
        return any(rules.of([event]) for rules in then)

    def _latest(self) -> _Read:
        """What was read; threads that look meanwhile see all of the old or all of the new."""
        version = self._answers.version()
        if version != self._read.version or self._read.standing:
            given = self._answers.all()
            times = {one.at_ns for one in given} | {one.withdrawn_ns for one in given}
            answered = stood_at(given, max(times, default=0))
            rules, standing = self._rules_of(answered)
            self._read = _Read(version, given, sorted(times), rules, standing)
        return self._read

    def _rules_of(self, answered: Mapping[str, Sequence[Answer]]) -> tuple[Rules, bool]:
        """What answers keep back, and whether an event that they are of still stands."""
        standing = False
        normal: list[Exemption] = []
        snoozes: list[Snooze] = []
        for event_id, answers in answered.items():
            phases = self._events.life(event_id)
            event = worst(phases)
            if event is None:
                continue
            called = exemptions_of(phases, answers)
            given = [one for one in answers if one.action is Action.SNOOZE][-1:]
            normal += called
            snoozes += [Snooze(event, one.who, one.at_ns, int(one.value)) for one in given]
            standing |= bool(called or given) and phases[-1].phase is not Phase.CLEARED
        return Rules(within(normal, self._bounds), snoozes), standing
