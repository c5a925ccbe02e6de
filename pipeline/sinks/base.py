"""The contract of a sink.

``deliver()`` returns when the receiver has the event for good, or raises. Delivery is at
least once: the same ``event.key`` may come twice and the sink passes the key on, so that the
receiver can tell. A sink holds no retry loop of its own: the outbox retries
`SinkUnavailable` for as long as it takes and sets `SinkRejected` aside. A sink is opened, used
and closed by one thread; after a failure it is closed and opened again. A kind that can tell of
many events at once derives its settings from `DigestSettings` and offers ``deliver_digest()``;
one that can tell what people answered, from `AnswerSettings` and offers ``deliver_answer()``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

from pydantic import Field, model_validator

from pipeline.core.answered import EventAnswer
from pipeline.core.clock import Clock
from pipeline.core.digest import Digest
from pipeline.core.event import Event, Severity
from pipeline.core.settings import Settings
from pipeline.plugins import Family
from pipeline.sinks.delivery import Pace
from pipeline.sinks.escalation import Escalation
from pipeline.sinks.quiet_hours import QuietHours

WEB_ADDRESS = r"^(https?://[^\s/]\S*)?$"
"""What a link may be in settings; it may be empty."""


@dataclass(frozen=True, slots=True)
class SinkContext:
    """What a sink is given to work with.

    Attributes:
        clock: Node time.
        deployment: Name of the deployment, for titles and topics.
        evidence: Folder that the paths in `Event.evidence` are relative to.
        scenes: Scenes of the deployment, for sinks that announce them ahead of any event.
        trial: Whether the sink is tried while the alert node may run: it takes no name at the
            receiver that is the node's, and says nothing of whether that is there.
    """

    clock: Clock
    deployment: str
    evidence: Path
    scenes: tuple[str, ...] = ()
    trial: bool = False


class Sink(Protocol):
    """A receiver of events."""

    def open(self) -> None:
        """Connect or create what is needed. Raises `SinkUnavailable`."""
        ...

    def deliver(self, event: Event) -> None:
        """Hand the event over for good.

        Raises:
            SinkUnavailable: Not now; try again later.
            SinkRejected: The receiver will never take this event.
        """
        ...

    def close(self) -> None:
        """Let go of everything; may be called twice."""
        ...


@runtime_checkable
class DigestSink(Sink, Protocol):
    """A receiver of events that can be told of many at once."""

    def deliver_digest(self, digest: Digest) -> None:
        """Hand a digest over for good; raises as `deliver` does."""
        ...


@runtime_checkable
class AnswerSink(Sink, Protocol):
    """A receiver of events that can be told what people answered to them."""

    def deliver_answer(self, event: Event, answer: EventAnswer) -> None:
        """Hand an answer over for good; raises as `deliver` does.

        Args:
            event: What was answered, as it was then, without its explanation.
            answer: The answer, or that it was taken back.
        """
        ...


class SinkSettings(Settings):
    """Settings that every kind of sink has."""

    type: str
    """Kind of sink; the name of its file."""

    name: str = ""
    """Name of the sink in logs and in the outbox; empty: its kind."""

    timeout_s: float = Field(default=10.0, gt=0)
    """Longest time one delivery may take, seconds."""

    scenes: list[str] = []
    """Tell of these scenes only; empty: of all."""

    at_least: Severity = Severity.LOW
    """Tell of an event once it is this severe, and then to its end."""

    equipment: bool = True
    """Tell of the equipment too: streams that cannot see, clocks, losses."""

    group: bool = False
    """Tell of what happens in several scenes at once (``incidents``) as of one event: raised with
    the first, updated when another joins or it becomes more severe, cleared when all are. Not
    together with ``quiet``, ``escalate`` or ``answers``, which go by single events."""

    max_per_minute: int | None = Field(default=None, ge=1)
    """Most deliveries tried in any minute, what is more waits; none: no limit."""

    quiet: QuietHours | None = None
    """Hours in which what is not severe is held, to be told when they are over; none: never."""

    escalate: Escalation | None = None
    """Tell only of what nobody answered in time; none: of all, at once."""

    @model_validator(mode="after")
    def _by_event_or_incident(self) -> Self:
        if self.group and (self.quiet or self.escalate or getattr(self, "answers", False)):
            raise ValueError("group goes without quiet, escalate and answers: use two sinks")
        return self

    @property
    def key(self) -> str:
        """The name the outbox keeps this sink's deliveries under."""
        return self.name or self.type

    @property
    def pace(self) -> Pace:
        """How fast it is fed."""
        return Pace(max_per_minute=self.max_per_minute)

    def build(self, context: SinkContext) -> Sink:
        """Make the sink."""
        raise NotImplementedError


class DigestSettings(SinkSettings):
    """Settings of kinds that can tell of many events at once."""

    digest_after_s: float | None = Field(default=900.0, ge=0)
    """After the sink was down: events that began and ended unseen by it, and ended longer ago
    than this, seconds, are told in one digest per scene instead of phase by phase; none: never.
    What still stands, or was begun to be told, is always told phase by phase."""

    @property
    def pace(self) -> Pace:
        """How fast it is fed."""
        return replace(super().pace, digest_after_s=self.digest_after_s)


class AnswerSettings(SinkSettings):
    """Settings of kinds that can tell what people answered."""

    answers: bool = False
    """Tell also what people answer to an event of which this sink was told."""


class MessengerSettings(DigestSettings):
    """Settings of kinds that tell people, by a service that takes several messages at once."""

    concurrency: int = Field(default=1, ge=1, le=32)
    """Deliveries under way at once, each of another scene and on a connection of its own; order
    is kept within a scene."""

    @property
    def pace(self) -> Pace:
        """How fast it is fed."""
        return replace(super().pace, concurrency=self.concurrency)


SINKS = Family(
    name="sinks",
    package="pipeline.sinks",
    base=SinkSettings,
    support=frozenset(
        {
            "base",
            "delivery",
            "escalation",
            "home_assistant",
            "lane",
            "message",
            "mqtt_link",
            "mqtt_standing",
            "outbox",
            "quiet_hours",
            "signature",
        }
    ),
)
