"""The hidden cause of the real composite: visits, and what each stream shows of them.

A room is empty, or somebody is in it and does one thing. The camera shows who comes and goes,
the microphone hears doors and what is done, the readings follow a little later. Nothing here
reads a recording; which clip, sound or row is taken comes later.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from pipeline.training.labels import Label

_FIRST_S = 3.0  # into a visit until the machine runs


class Activity(StrEnum):
    """What a visitor does."""

    READ = "read"
    TALK = "talk"
    TYPE = "type"
    MACHINE = "machine"


HEARD: dict[Activity, tuple[str, ...]] = {
    Activity.READ: ("pageturn", "pageturn", "clearthroat"),
    Activity.TALK: ("speech", "speech", "laughter"),
    Activity.TYPE: ("keyboard", "keyboard", "drawer"),
    Activity.MACHINE: ("knock", "drawer"),
}
"""Classes of sounds that belong to what is done."""

DOOR, HUM = "doorslam", "hum"
_EVERY_S = (0.6, 3.2)  # from the start of one sound to the next


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody is in the room.

    Attributes:
        start_s: When.
        end_s: Until.
        activity: What is done.
        person: A number to choose the person by.
        backwards: Whether the picture of it runs backwards.
    """

    start_s: float
    end_s: float
    activity: Activity
    person: int = 0
    backwards: bool = False


@dataclass(frozen=True, slots=True)
class Cue:
    """Something is heard.

    Attributes:
        at_s: When it begins.
        sort: Class of the sound.
        number: To choose the sample by.
        length_s: How long it goes on; None: as long as the sample.
        level_db: Louder than such a sound usually is.
        unseen: Whether the class is one of those that never happen.
    """

    at_s: float
    sort: str
    number: int
    length_s: float | None = None
    level_db: float = 0.0
    unseen: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """From when until when, and a number to choose by."""

    start_s: float
    end_s: float
    number: int = 0


@dataclass(slots=True)
class Script:
    """What each stream is to show.

    Attributes:
        length_s: How long it is.
        pictured: Visits that the camera shows.
        cues: What is heard, in no order.
        sensed: Visits that the readings follow.
        pasted: When a strange thing is in the picture.
        faults: When the machine's readings are those of a fault.
        labels: What is wrong, by their start.
    """

    length_s: float
    pictured: list[Visit] = field(default_factory=list)
    cues: list[Cue] = field(default_factory=list)
    sensed: list[Visit] = field(default_factory=list)
    pasted: list[Span] = field(default_factory=list)
    faults: list[Span] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)

    def show(self, visit: Visit, random: np.random.Generator) -> None:
        """Let every stream show a visit."""
        self.pictured.append(visit)
        self.cues += cues_of(visit, random)
        self.sensed.append(felt(visit, random))


def cues_of(visit: Visit, random: np.random.Generator) -> list[Cue]:
    """What is heard of a visit: doors, what is done, and the machine if it is used."""
    start_s, end_s = visit.start_s, visit.end_s
    found = [_cue(start_s + random.uniform(-0.5, 0.3), DOOR, random)]
    at_s = start_s + random.uniform(1.5, 3.0)
    while at_s < end_s - 2.5:
        found.append(_cue(at_s, str(random.choice(HEARD[visit.activity])), random))
        at_s += random.uniform(*_EVERY_S)
    found.append(_cue(end_s + random.uniform(-0.5, 0.5), DOOR, random))
    if visit.activity is Activity.MACHINE:
        from_s = start_s + _FIRST_S + random.uniform(-0.5, 0.5)
        found.append(Cue(from_s, HUM, 0, end_s - 2.0 - from_s, float(random.normal(0.0, 1.0))))
    return found


def felt(visit: Visit, random: np.random.Generator) -> Visit:
    """A visit as the readings follow it: a little later."""
    delay_s = random.uniform(0.3, 1.5)
    return replace(visit, start_s=visit.start_s + delay_s, end_s=visit.end_s + delay_s)


def running(visit: Visit) -> Span | None:
    """When the machine runs in a visit that the readings follow; None if it does not."""
    if visit.activity is not Activity.MACHINE:
        return None
    return Span(visit.start_s + _FIRST_S - 1.0, visit.end_s - 2.5, visit.person)


def _cue(at_s: float, sort: str, random: np.random.Generator) -> Cue:
    return Cue(at_s, sort, int(random.integers(1 << 30)), None, float(random.normal(0.0, 2.5)))
