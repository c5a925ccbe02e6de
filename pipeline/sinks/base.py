"""The contract of a sink.

``deliver()`` returns when the receiver has the event for good, or raises. Delivery is at
least once: the same ``event.key`` may come twice and the sink passes the key on, so that the
receiver can tell. A sink holds no retry loop of its own: the outbox retries
`SinkUnavailable` for as long as it takes and sets `SinkRejected` aside. A sink is opened, used
and closed by one thread; after a failure it is closed and opened again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import Field

from pipeline.core.clock import Clock
from pipeline.core.event import Event
from pipeline.core.settings import Settings
from pipeline.plugins import Family


@dataclass(frozen=True, slots=True)
class SinkContext:
    """What a sink is given to work with.

    Attributes:
        clock: Node time.
        deployment: Name of the deployment, for titles and topics.
        evidence: Folder that the paths in `Event.evidence` are relative to.
        scenes: Scenes of the deployment, for sinks that announce them ahead of any event.
    """

    clock: Clock
    deployment: str
    evidence: Path
    scenes: tuple[str, ...] = ()


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


class SinkSettings(Settings):
    """Settings that every kind of sink has."""

    type: str
    """Kind of sink; the name of its file."""

    name: str = ""
    """Name of the sink in logs and in the outbox; empty: its kind."""

    timeout_s: float = Field(default=10.0, gt=0)
    """Longest time one delivery may take, seconds."""

    @property
    def key(self) -> str:
        """The name the outbox keeps this sink's deliveries under."""
        return self.name or self.type

    def build(self, context: SinkContext) -> Sink:
        """Make the sink."""
        raise NotImplementedError


SINKS = Family(
    name="sinks",
    package="pipeline.sinks",
    base=SinkSettings,
    support=frozenset({"base", "delivery", "home_assistant", "outbox"}),
)
