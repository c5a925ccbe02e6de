"""What a sink is told now, later or not at all: quiet hours, escalation, and what was answered.

- A sink that escalates hears of an event only if nobody answered it in time: its phases are held
  until then, and called off when somebody acknowledges it, snoozes it or gives a verdict. They
  are held again when the answer is taken back. What is over by then goes only if it was severe.
- In the quiet hours of a sink, what is below their severity is held until they end. One that
  becomes that severe goes at once, with all its phases so far. What came and went meanwhile is
  told in one digest a scene, by kinds that tell digests at all.
- Of what is held, an update goes to make room for the next: its end is not a flood.
- A sink with ``answers`` is told what people answer to an event of which it was told.

One rule (`Holding.ruling`) decides, with the settings as they are now: when a phase comes, when
an answer comes, when a hold ends, and of all that is held when the node starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.core.answered import EventAnswer, settled_by
from pipeline.core.event import Event, Phase, Severity
from pipeline.sinks.base import AnswerSettings, DigestSettings, SinkSettings
from pipeline.store import Delivery, OutboxStore
from pipeline.store.outbox_holds import Ruling
from pipeline.store.outbox_tables import CALLED_OFF, HELD, PENDING

QUIET, ESCALATION = "quiet hours", "escalation"
ANSWERED, OVER, SUPERSEDED = "answered", "over", "superseded"
"""Why something is held, and why it is called off."""

LOOK_NS, AT_ONCE = 1_000_000_000, 100


@dataclass(slots=True)
class Plan:
    """What becomes of a phase or an answer, and of what came before it.

    Attributes:
        sinks: Who gets a delivery of it.
        rulings: By sink, what becomes of that delivery.
        earlier: Earlier deliveries, and what becomes of them.
    """

    sinks: list[str] = field(default_factory=list)
    rulings: dict[str, Ruling] = field(default_factory=dict)
    earlier: list[tuple[Sequence[Delivery], Ruling]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Life:
    """How an event stands with the sinks.

    Attributes:
        open: What is held, or was called off by an answer that may be taken back, by sink.
        told: Sinks that were told something of it.
        answered: What was answered, in words; empty: nothing that stands.
    """

    open: Mapping[str, list[Delivery]]
    told: set[str]
    answered: str


class Holding:
    """Rules what is held and what is called off.

    Args:
        sinks: All there are.
        store: The outbox.

    Attributes:
        held: Phases and answers that were held, by sink and reason.
        called_off: Those that were called off, likewise.
    """

    def __init__(self, sinks: Sequence[SinkSettings], store: OutboxStore) -> None:
        self._sinks = {sink.key: sink for sink in sinks}
        self._store = store
        self._looked_ns: int | None = None
        self.held: dict[tuple[str, str], int] = {}
        self.called_off: dict[tuple[str, str], int] = {}

    def phase(self, event: Event, sinks: Iterable[str], now_ns: int) -> Plan:
        """What becomes of a phase that goes to `sinks`."""
        plan = Plan(list(sinks))
        holding = [name for name in plan.sinks if self._holds(name)]
        if not holding:
            return plan
        life = self._life(event.id)
        for name in holding:
            open_ = life.open.get(name, [])
            phases = [*(one.event for one in open_), event]
            ruling = self.ruling(name, phases, name in life.told, life.answered, now_ns)
            plan.rulings[name] = ruling
            plan.earlier += _ruled(open_, ruling, followed=True)
        return plan

    def answer(self, event: Event, answer: EventAnswer, now_ns: int) -> Plan:
        """What becomes of an answer, and of what waits for one."""
        plan, life = Plan(), self._life(event.id, answer)
        for name, open_ in life.open.items():
            phases = [one.event for one in open_]
            ruling = self.ruling(name, phases, name in life.told, life.answered, now_ns)
            plan.earlier += _ruled(open_, ruling, followed=False)
        for name in sorted(life.told):
            sink = self._sinks.get(name)
            if isinstance(sink, AnswerSettings) and sink.answers:
                plan.sinks.append(name)
                plan.rulings[name] = self.ruling(name, [event], True, life.answered, now_ns)
        return plan

    def took(self, plan: Plan) -> None:
        """A plan was carried out: count it."""
        for name, ruling in plan.rulings.items():
            self._count(name, ruling)
        for deliveries, ruling in plan.earlier:
            if ruling.state == CALLED_OFF:
                self._count_off(deliveries, ruling)

    def look(self, now_ns: int) -> int:
        """Rule anew of what was held long enough, at first of all; looks once a second.

        Returns:
            How many deliveries go now.

        Raises:
            StoreError: The outbox cannot be used; nothing was changed.
        """
        if self._looked_ns is not None and now_ns - self._looked_ns < LOOK_NS:
            return 0
        holds = self._store.holds
        if self._looked_ns is None:
            holds.recall()
        due = holds.due(now_ns)[:AT_ONCE]
        found = [self._due(sink, event_id, now_ns) for sink, event_id in due]
        ruled = [one for one in found if one is not None]
        if ruled:
            holds.rule(ruled, self._together(ruled))
        for deliveries, ruling in ruled:
            if ruling.state == CALLED_OFF:
                self._count_off(deliveries, ruling)
        self._looked_ns = now_ns if len(due) < AT_ONCE else now_ns - LOOK_NS  # there is more
        return sum(len(one) for one, ruling in ruled if ruling.state == PENDING)

    def ruling(
        self, name: str, phases: Sequence[Event], told: bool, answered: str, now_ns: int
    ) -> Ruling:
        """What becomes of phases of one event at a sink; see the module.

        Args:
            name: The sink.
            phases: Those that it was not told of yet, in order.
            told: Whether it was told of earlier ones.
            answered: What was answered to the event, in words; empty: nothing that stands.
            now_ns: Node time.
        """
        sink, last = self._sinks.get(name), phases[-1]
        escalate, quiet = (sink.escalate, sink.quiet) if sink else (None, None)
        if escalate is not None and not told:
            if answered:
                return Ruling(CALLED_OFF, reason=f"{ANSWERED}: {answered}")
            due_ns = phases[0].end_ns + escalate.after_ns
            if now_ns < due_ns:
                return Ruling(HELD, due_ns, ESCALATION)
            if last.phase is Phase.CLEARED and _below(last, escalate.at_least):
                return Ruling(CALLED_OFF, reason=OVER)
        end_ns = quiet.end_ns(now_ns) if quiet and _below(last, quiet.at_least) else None
        return Ruling(PENDING) if end_ns is None else Ruling(HELD, end_ns, QUIET)

    def _due(
        self, name: str, event_id: str, now_ns: int
    ) -> tuple[Sequence[Delivery], Ruling] | None:
        """What is held of an event at a sink and what becomes of it; None: it was forgotten."""
        life = self._life(event_id)
        held = [one for one in life.open.get(name, ()) if one.state == HELD]
        if not held:
            return None
        phases = [one.event for one in held]
        return held, self.ruling(name, phases, name in life.told, life.answered, now_ns)

    def _together(self, ruled: Iterable[tuple[Sequence[Delivery], Ruling]]) -> set[int]:
        """What is let go now, was held for quiet hours, and whose sink tells digests."""
        going = [one for deliveries, r in ruled if r.state == PENDING for one in deliveries]
        holds = self._store.holds.of([one.id for one in going])
        quiet = {one for one, hold in holds.items() if hold.reason == QUIET}
        return {one.id for one in going if one.id in quiet and self._digests(one.sink)}

    def _digests(self, name: str) -> bool:
        sink = self._sinks.get(name)
        return isinstance(sink, DigestSettings) and sink.digest_after_s is not None

    def _holds(self, name: str) -> bool:
        sink = self._sinks[name]
        return sink.quiet is not None or sink.escalate is not None

    def _life(self, event_id: str, *answer: EventAnswer) -> _Life:
        """How an event stands, with an answer that has just come."""
        holds = self._store.holds
        settling = settled_by([*holds.answers(event_id), *answer])
        words = settling.words if settling else ""
        return _Life(holds.open(event_id, ANSWERED), holds.told(event_id), words)

    def _count_off(self, deliveries: Iterable[Delivery], ruling: Ruling) -> None:
        for one in deliveries:
            if one.state != CALLED_OFF:
                self._count(one.sink, ruling)

    def _count(self, name: str, ruling: Ruling) -> None:
        if ruling.state in (HELD, CALLED_OFF):
            counts = self.held if ruling.state == HELD else self.called_off
            key = name, ruling.reason.partition(":")[0]
            counts[key] = counts.get(key, 0) + 1


def _ruled(
    open_: Sequence[Delivery], ruling: Ruling, *, followed: bool
) -> list[tuple[Sequence[Delivery], Ruling]]:
    """What becomes of earlier deliveries: an update that another phase follows is not needed."""
    past = open_ if followed else open_[:-1]
    gone = [one for one in past if _is_update(one)]
    kept = [one for one in open_ if one not in gone]
    return [(gone, Ruling(CALLED_OFF, reason=SUPERSEDED)), (kept, ruling)]


def _is_update(one: Delivery) -> bool:
    return one.answer is None and one.event.phase is Phase.UPDATED


def _below(event: Event, least: Severity) -> bool:
    steps = tuple(Severity)
    return steps.index(event.severity) < steps.index(least)
