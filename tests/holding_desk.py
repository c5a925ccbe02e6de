"""An outbox with one sink that may hold, as an alert node has it, and what goes into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import msgspec

from nodes.holding import Holding
from pipeline.core.answered import EventAnswer
from pipeline.core.clock import ManualClock
from pipeline.core.digest import Digest
from pipeline.core.event import Event, Phase, Severity
from pipeline.sinks.base import AnswerSettings, DigestSettings, SinkSettings
from pipeline.sinks.lane import Outcome, Outlet
from pipeline.sinks.outbox import OutboxDelivery
from pipeline.store import OutboxStore
from tests.event_samples import event

SECOND = 10**9
NIGHT = {"start": "22:00", "end": "06:30", "timezone": "Europe/Berlin"}
EVENING_S = int(datetime(2026, 1, 14, 22, 0, tzinfo=UTC).timestamp())  # 23:00 in Berlin
DAY_S = 86_400
MORNING_S = int(datetime(2026, 1, 15, 5, 30, tzinfo=UTC).timestamp())  # 06:30


class TellingSettings(AnswerSettings, DigestSettings):
    """A kind that can tell everything."""


class Telling:
    def __init__(self) -> None:
        self.told: list[str] = []

    def open(self) -> None: ...

    def close(self) -> None: ...

    def deliver(self, event: Event) -> None:
        self.told.append(event.key)

    def deliver_digest(self, digest: Digest) -> None:
        self.told.append(f"digest of {len(digest.last)}")

    def deliver_answer(self, event: Event, answer: EventAnswer) -> None:
        self.told.append(f"{event.id}: {answer.words}")


class Desk:
    """An outbox with one sink, as an alert node has it."""

    def __init__(self, folder: Path, kind: type[SinkSettings], **settings: object) -> None:
        self.folder, self.kind = folder, kind
        self.clock = ManualClock(EVENING_S * SECOND)
        self.sink = Telling()
        self.start(**settings)

    def start(self, **settings: object) -> None:
        self.settings = self.kind.model_validate({"type": "web"} | settings)
        self.store = OutboxStore(self.folder / "alert.db")
        self.holding = Holding([self.settings], self.store)
        outlet = Outlet([self.sink], self.settings.pace)
        self.delivery = OutboxDelivery(self.store, {"web": outlet}, self.clock, rng=Random(1))
        self.store.wake()

    def restart(self, **settings: object) -> None:
        self.store.close()
        self.start(**settings)

    def take(self, *phases: Event) -> None:
        for one in phases:
            plan = self.holding.phase(one, ["web"], self.clock.now_ns())
            if self.store.accept(one, plan.sinks, rulings=plan.rulings, earlier=plan.earlier):
                self.holding.took(plan)

    def answer(self, to: Event, answer: EventAnswer) -> None:
        plan = self.holding.answer(to, answer, self.clock.now_ns())
        if self.store.accept(
            to, plan.sinks, answer=answer, rulings=plan.rulings, earlier=plan.earlier
        ):
            self.holding.took(plan)

    def at(self, time_s: float) -> list[str]:
        """What the sink was told by then, since it was asked last."""
        self.clock.advance(round(time_s * SECOND) - self.clock.now_ns())
        self.holding.look(self.clock.now_ns())
        while self.delivery.step("web") is Outcome.DELIVERED:
            pass
        told, self.sink.told[:] = list(self.sink.told), []
        return told

    def now(self) -> list[str]:
        return self.at(self.clock.now_ns() / SECOND)


def phase(number: int, after_s: float = 0, severity: str = "low", scene: str = "hall") -> Event:
    """A phase of the event that began in the evening: raised, updated, updated, ... ."""
    made = event(EVENING_S, number, scene, severity=Severity(severity))
    end_ns = round((EVENING_S + after_s) * SECOND)
    return msgspec.structs.replace(made, end_ns=end_ns)


def cleared(number: int, after_s: float = 0, severity: str = "low", scene: str = "hall") -> Event:
    return msgspec.structs.replace(phase(number, after_s, severity, scene), phase=Phase.CLEARED)


def seen(position: int = 1, **changes: object) -> EventAnswer:
    said = {"position": position, "action": "seen", "who": "Ada", "at_ns": EVENING_S * SECOND}
    return EventAnswer(**(said | changes))


@contextmanager
def desks(folder: Path) -> Iterator[Callable[..., Desk]]:
    """Makes desks, and clears them away."""
    made: list[Desk] = []

    def make(kind: type[SinkSettings] = TellingSettings, **settings: object) -> Desk:
        made.append(Desk(folder, kind, **settings))
        return made[-1]

    yield make
    for one in made:
        one.store.close()
