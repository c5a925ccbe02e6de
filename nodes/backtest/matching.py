"""Alarms gained, lost and kept: events of two sides matched by scene and time.

Two events are one to an operator when they are of one scene and overlap in time, or nearly: they
lie no further apart than ``within_ns``. What hangs together so is one *moment*, however the two
sides cut it into events. A moment that one side alone tells was gained or lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core.event import Event

NEAR_NS = 2_000_000_000
"""Events so close are of one moment: the usual time after which an alarm clears."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What happened once in a scene, as both sides told it.

    Attributes:
        scene: Name of the scene.
        old: Events of the old side, by when they began; empty: gained.
        new: Events of the new side; empty: lost.
    """

    scene: str
    old: tuple[Event, ...]
    new: tuple[Event, ...]

    @property
    def start_ns(self) -> int:
        """When the first of it began."""
        return min(event.start_ns for event in (*self.old, *self.new))

    @property
    def end_ns(self) -> int:
        """When the last of it ended."""
        return max(event.end_ns for event in (*self.old, *self.new))


def match(
    scene: str, old: Sequence[Event], new: Sequence[Event], within_ns: int = NEAR_NS
) -> list[Moment]:
    """The moments of one scene, in order.

    Two events of the same side are of one moment only if one of the other side joins them.

    Args:
        scene: Name of the scene.
        old: Events of the old side.
        new: Events of the new side.
        within_ns: Events of the two sides this far apart still are of one moment.
    """
    events = [*((event, False) for event in old), *((event, True) for event in new)]
    parent = list(range(len(events)))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    order = sorted(range(len(events)), key=lambda at: events[at][0].start_ns)
    active: list[int] = []
    for at in order:
        event, is_new = events[at]
        active = [a for a in active if events[a][0].end_ns + within_ns >= event.start_ns]
        for other in active:
            if events[other][1] != is_new:
                parent[root(at)] = root(other)
        active.append(at)
    moments: dict[int, tuple[list[Event], list[Event]]] = {}
    for at in order:
        event, is_new = events[at]
        moments.setdefault(root(at), ([], []))[is_new].append(event)
    found = [Moment(scene, tuple(before), tuple(after)) for before, after in moments.values()]
    return sorted(found, key=lambda moment: moment.start_ns)
