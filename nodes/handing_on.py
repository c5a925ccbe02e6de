"""Committed events to the alert node: in order, at least once, and some of them later or not.

An event goes on as soon as it is committed, with all its phases. Three things may be said of one
at its first phase (the rules are in `nodes.inhibition`):

- It is *held* while an event stands that it follows from. When it stops following from that (it
  grew, or shows elsewhere now) it is sent at once. When the cause is over, it is sent if it stands
  ``hold_s`` later: what had one cause is seen to be well again within a moment, in no order. When
  it ends first, or in that time, it goes on as withheld, with the reason, and is counted there.
- It *waits* when it may follow from one that is not found yet: a stream is told as gone a moment
  before its node, a node in one scene before it is in another that has more of its streams. It
  waits ``hold_s`` at most, twice that where its node may wait too. Only events of the equipment
  wait, which was judged over seconds anyway. An event of a scene never does: suspicion is no
  reason to tell later that somebody covers the camera, and so its way stays as quick as it is.
- Or it is sent, and then all that follows of it, whatever comes.

What is held or waits stays unforwarded in the store, so a kill loses none of it: why an event is
held is in the store too, and a wait begins anew. Every event is sent or withheld in the end,
except those whose cause stands. A node that ends lets nothing wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from msgspec.structs import replace

from nodes.answer_handover import AnswerHandover
from nodes.inhibition import Inhibition, stands
from nodes.withholding import Withholding
from pipeline.core.clock import Clock
from pipeline.core.event import Event, Phase, to_json
from pipeline.store import FusionStore, Held
from pipeline.transport.event_link import EventSender

IN_FLIGHT = 64


class Outcome(StrEnum):
    """What came of an event that was held."""

    HELD = "held"  # it was, at first
    SENT = "sent"  # after all
    WITHHELD = "withheld"  # to its end


@dataclass(slots=True)
class _Wait:
    """An event that is not handed on yet.

    Attributes:
        scene: Its scene.
        held: What it is held for; None: nothing is found.
        since_ns: Since when nothing stands that it follows from; None: something does.
        times: How many times ``hold_ns`` it waits from then on.
    """

    scene: str
    held: Held | None = None
    since_ns: int | None = None
    times: int = 1


class HandingOn:
    """Hands the events of a store on, as far as the link takes them.

    Args:
        store: Where they are.
        link: The way to the alert node.
        withholding: What was answered that keeps events back.
        answers: Hands on what was answered, the same way.
        inhibition: What follows from what.
        clock: Node time.
        hold_ns: How long an event waits for its cause, and for its end when that is over.
    """

    def __init__(
        self,
        store: FusionStore,
        link: EventSender,
        withholding: Withholding,
        answers: AnswerHandover,
        inhibition: Inhibition,
        clock: Clock,
        hold_ns: int,
    ) -> None:
        self._store = store
        self._link = link
        self._withholding = withholding
        self._answers = answers
        self._inhibition = inhibition
        self._clock = clock
        self._hold_ns = hold_ns
        self._news = True  # there may be more to hand on
        self._changed = True  # what is held may be decided otherwise
        self._on_the_way: set[str] = set()
        self._waits: dict[str, _Wait] = {}
        self._released: set[str] = set()
        self._withheld: dict[str, Held] = {}
        self._causes: dict[str, Event] = {}
        self.counts: Counter[tuple[str, Outcome]] = Counter()

    @property
    def held(self) -> Counter[str]:
        """How many events are held or wait now, by scene."""
        return Counter(wait.scene for wait in self._waits.values())

    @property
    def idle(self) -> bool:
        """Whether all is handed on and taken that is to be."""
        return not self._store.unforwarded(limit=1, but=self._waits)

    def restore(self, equipment: Iterable[Event]) -> None:
        """Take up what stands, from all phases of the equipment ever committed, in order."""
        lives: dict[str, list[Event]] = {}
        for event in equipment:
            lives.setdefault(event.id, []).append(event)
        standing = {name: life for name, life in lives.items() if stands(life[-1])}
        waiting = {event.key for event in self._store.unforwarded()} if standing else set()
        held = self._store.held.of(standing)
        for name, life in standing.items():
            if life[0].key not in waiting and name not in held:
                self._tell(self._withholding.as_raised(life[0]), life)

    def committed(self, events: Iterable[Event]) -> None:
        """More events were committed."""
        for event in events:
            self._news = self._changed = True
            if event.id in self._causes:
                self._causes[event.id] = event
                if not stands(event):
                    del self._causes[event.id]

    def step(self, wait_s: float) -> None:
        """Hear what was taken, waiting for it at most `wait_s`, and hand more on."""
        taken = self._answers.confirmed(self._link.poll(wait_s))
        if taken:
            self._store.forwarded(taken)
            self._on_the_way.difference_update(taken)
        self._answers.offer(self._link)
        now_ns = self._clock.now_ns()
        if self._changed or now_ns >= self._due_ns():
            self._changed = False
            self._look_again(now_ns)
        if self._news and len(self._on_the_way) <= IN_FLIGHT // 2:
            self._news = False
            self._hand_on(now_ns)

    def hurry(self) -> None:
        """Let nothing wait any more that no cause is found for: the node ends."""
        self._hold_ns, self._changed = 0, True

    def _due_ns(self) -> float:
        due = (
            wait.since_ns + wait.times * self._hold_ns
            for wait in self._waits.values()
            if wait.since_ns is not None
        )
        return min(due, default=float("inf"))

    def _look_again(self, now_ns: int) -> None:
        for event_id in list(self._waits):
            self._decide(event_id, now_ns)

    def _hand_on(self, now_ns: int) -> None:
        """Hand on what is next, as much as is taken under way at once."""
        batch = self._store.unforwarded(limit=IN_FLIGHT, but=self._waits)
        for event in batch:
            if event.key in self._on_the_way or event.id in self._waits:
                continue
            if event.revision or event.id in self._released or event.id in self._withheld:
                self._send(event)
            else:
                held = self._store.held.of([event.id]).get(event.id)
                self._waits[event.id] = _Wait(event.scene, held)
                self._decide(event.id, now_ns)
                if event.id not in self._waits:
                    self._send(event)
        self._news = self._news or len(batch) == IN_FLIGHT

    def _decide(self, event_id: str, now_ns: int) -> None:
        """Whether an event goes on holding, is to be sent or to be withheld."""
        wait = self._waits[event_id]
        life = self._store.life(event_id)
        if not life:  # it was forgotten meanwhile
            del self._waits[event_id]
            return
        over = life[-1].phase is Phase.CLEARED
        found = self._inhibition.cause_of(life, self._causes.values())
        if found is not None:
            self._hold(wait, found)
            if over:
                self._withhold(wait, found)
        elif over and wait.held is not None and wait.held.cause not in self._causes:
            self._withhold(wait, wait.held)
        elif over or not self._may_wait(wait, life[0], now_ns):
            self._release(event_id, wait)

    def _may_wait(self, wait: _Wait, first: Event, now_ns: int) -> bool:
        """Whether an event that follows from nothing that stands may still wait."""
        times = self._inhibition.waits(first) if wait.held is None else 1
        if not times or (wait.held is not None and wait.held.cause in self._causes):
            return False
        wait.since_ns = now_ns if wait.since_ns is None else wait.since_ns
        wait.times = times
        return now_ns - wait.since_ns < times * self._hold_ns

    def _hold(self, wait: _Wait, found: Held) -> None:
        wait.since_ns = None
        if wait.held != found:
            self.counts[wait.scene, Outcome.HELD] += wait.held is None
            self._store.held.put(found)
            wait.held = found

    def _release(self, event_id: str, wait: _Wait) -> None:
        if wait.held is not None:
            self.counts[wait.scene, Outcome.SENT] += 1
            self._store.held.drop(event_id)
        del self._waits[event_id]
        self._released.add(event_id)
        self._news = True

    def _withhold(self, wait: _Wait, held: Held) -> None:
        self.counts[wait.scene, Outcome.WITHHELD] += 1
        del self._waits[held.event]
        self._withheld[held.event] = held
        self._news = True

    def _send(self, event: Event) -> None:
        marked = self._withholding.marked(event)
        held = self._withheld.get(event.id)
        if held is None and event.revision and event.id not in self._released:
            held = self._store.held.of([event.id]).get(event.id)
        if held is not None and not marked.withheld:
            marked = replace(marked, withheld=held.words, cause=held.cause)
        if event.health and event.revision == 0:
            self._tell(marked, self._store.life(event.id))
        if event.phase is Phase.CLEARED:
            self._released.discard(event.id)
            self._withheld.pop(event.id, None)
        self._on_the_way.add(event.key)
        self._link.send(to_json(marked), event.key)

    def _tell(self, first: Event, life: list[Event]) -> None:
        """An event of the equipment is sent: while it stands, others may follow from it."""
        if stands(life[-1]) and not first.withheld:
            self._causes[first.id] = life[-1]
            self._changed = True
