"""A test event to every sink: does it arrive there, and if not, why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from random import Random

from msgspec import structs

from nodes.places import evidence_folder
from pipeline.config.deployment import Deployment
from pipeline.core.clock import Clock
from pipeline.core.errors import FusewatchError
from pipeline.core.event import TEST_PREFIX, Event, Phase, Severity
from pipeline.sinks.base import SinkContext


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of the test event at one sink.

    Attributes:
        sink: Name of the sink.
        error: Why it did not arrive; empty when it did.
    """

    sink: str
    error: str = ""


def try_sinks(deployment: Deployment, clock: Clock) -> Iterator[Tried]:
    """Deliver a marked event to each sink, past the outbox: nothing is tried twice.

    It is raised and over at once, so that whoever opened a case for it closes it.
    """
    context = SinkContext(
        clock=clock,
        deployment=deployment.name,
        evidence=evidence_folder(deployment),
        scenes=tuple(deployment.scenes),
        trial=True,
    )
    phases = marked_event(next(iter(deployment.scenes)), clock)
    for settings in deployment.alert.sinks:
        try:
            with closing(settings.build(context)) as sink:
                sink.open()
                for phase in phases:
                    sink.deliver(phase)
        except FusewatchError as error:
            yield Tried(settings.key, str(error))
        else:
            yield Tried(settings.key)


def marked_event(scene: str, clock: Clock) -> tuple[Event, Event]:
    """Both phases of an event that says of itself that it is a test.

    Like one of the equipment, it changes no state that a receiver keeps of the scene.
    """
    now_ns = clock.now_ns()
    raised = Event(
        id=f"{TEST_PREFIX}{Random(now_ns).randbytes(6).hex()}",
        revision=0,
        scene=scene,
        alarm="test",
        phase=Phase.RAISED,
        severity=Severity.LOW,
        start_ns=now_ns,
        end_ns=now_ns,
        p=1.0,
        score=0.0,
        summary="This is a test of fusewatch: nothing happened",
    )
    return raised, structs.replace(raised, revision=1, phase=Phase.CLEARED)
