"""The script of the real composite: what happens when, and what is wrong with it.

In an ordinary script all streams show the same cause. In a wrong one two visits of three, or
the gaps after them, have an anomaly: of one stream alone (something in the picture, a sound, or
readings that nobody has met before), or of none alone, where every stream shows what it always
shows, but not what belongs to the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from enum import StrEnum

import numpy as np

from pipeline.training.labels import Label
from tests.benchmarks.real.composite_cause import (
    Activity,
    Cue,
    Script,
    Span,
    Visit,
    cues_of,
    felt,
    running,
)

VISIT_S = (18.0, 40.0)
GAP_S = (13.0, 36.0)
SHIFT_S = (10.0, 15.0)
_CLEAN = 3  # every so many visits nothing is wrong with one and the gap after it
_EDGE_S = 1.5  # of a gap, in which nothing is put


class Kind(StrEnum):
    """Sorts of anomaly; those with an X cannot be told from one stream."""

    OBJECT = "V-object"
    REVERSED = "V-reversed"
    SOUND = "A-unseen"
    FAULT = "S-fault"
    SILENT = "X-silent"
    UNSEEN = "X-sounds"
    SENSORS = "X-sensors"
    SHIFTED = "X-shifted"


MODALITIES: dict[Kind, tuple[str, ...]] = {
    Kind.OBJECT: ("video",),
    Kind.REVERSED: ("video",),
    Kind.SOUND: ("audio",),
    Kind.FAULT: ("sensor",),
    Kind.SILENT: ("video", "audio"),
    Kind.UNSEEN: ("video", "audio"),
    Kind.SENSORS: ("video", "sensor"),
    Kind.SHIFTED: ("video", "audio"),
}
BETWEEN = tuple(kind for kind in Kind if kind.startswith("X"))


def make_script(length_s: float, seed: int, *, wrong: bool = False) -> Script:
    """Write a script.

    Args:
        length_s: How long it is.
        seed: Of everything that is drawn.
        wrong: Whether anomalies happen.
    """
    random = np.random.default_rng(seed)
    script = Script(length_s)
    kinds = _deal(random) if wrong else None
    at_s, number = random.uniform(*GAP_S), 0
    while at_s + VISIT_S[1] + GAP_S[1] < length_s:
        end_s = at_s + random.uniform(*VISIT_S)
        activity = Activity(random.choice(list(Activity)))
        visit = Visit(at_s, end_s, activity, int(random.integers(1 << 30)))
        next_s = end_s + random.uniform(*GAP_S)
        kind = next(kinds) if kinds is not None and number % _CLEAN else None
        if kind is None:
            script.show(visit, random)
        else:
            _WRONG[kind](script, visit, next_s, random)
        at_s, number = next_s, number + 1
    return script


def _deal(random: np.random.Generator) -> Iterator[Kind]:
    """Kinds in an order that has each of them equally often."""
    while True:
        yield from (Kind(kind) for kind in random.permutation(list(Kind)))


def _label(script: Script, kind: Kind, span: tuple[float, float], what: str) -> None:
    script.labels.append(Label(*span, kind.value, MODALITIES[kind], what))


def _object(script: Script, visit: Visit, next_s: float, random: np.random.Generator) -> None:
    script.show(visit, random)
    start_s, end_s = _within(visit.end_s, next_s, (6.0, 12.0), random)
    script.pasted.append(Span(start_s, end_s, int(random.integers(1 << 30))))
    _label(script, Kind.OBJECT, (start_s, end_s), "a stranger stands in the empty room")


def _reversed(script: Script, visit: Visit, _: float, random: np.random.Generator) -> None:
    script.show(visit, random)
    script.pictured[-1] = replace(visit, backwards=True)
    _label(script, Kind.REVERSED, (visit.start_s, visit.end_s), "a visit runs backwards")


def _sound(script: Script, visit: Visit, next_s: float, random: np.random.Generator) -> None:
    script.show(visit, random)
    inside = bool(random.integers(2))
    begin_s, until_s = (visit.start_s, visit.end_s) if inside else (visit.end_s, next_s)
    start_s, end_s = _within(begin_s, until_s, (3.0, 6.0), random)
    number, level = int(random.integers(1 << 30)), float(random.normal(0.0, 2.5))
    script.cues.append(Cue(start_s, "", number, end_s - start_s, level, unseen=True))
    _label(script, Kind.SOUND, (start_s, end_s), "a sound that never happens")


def _fault(script: Script, visit: Visit, _: float, random: np.random.Generator) -> None:
    script.show(replace(visit, activity=Activity.MACHINE), random)
    span = running(script.sensed[-1])
    if span is not None:
        start_s = span.start_s + random.uniform(2.0, 4.0)
        script.faults.append(Span(start_s, span.end_s, int(random.integers(1 << 30))))
        _label(script, Kind.FAULT, (start_s, span.end_s), "the machine has a fault")


def _silent(script: Script, visit: Visit, _: float, random: np.random.Generator) -> None:
    script.pictured.append(visit)
    script.sensed.append(felt(visit, random))
    _label(script, Kind.SILENT, (visit.start_s, visit.end_s), f"{visit.activity} is not heard")


def _unseen(script: Script, visit: Visit, next_s: float, random: np.random.Generator) -> None:
    script.show(visit, random)
    ghost = _ghost(visit, next_s, (11.0, 18.0), random)
    script.cues += cues_of(ghost, random)
    _label(
        script, Kind.UNSEEN, (ghost.start_s, ghost.end_s), f"{ghost.activity} is heard of nobody"
    )


def _sensors(script: Script, visit: Visit, next_s: float, random: np.random.Generator) -> None:
    if random.integers(2):
        script.show(visit, random)
        ghost = _ghost(visit, next_s, (11.0, 18.0), random)
        script.sensed.append(ghost)
        start_s, end_s, what = ghost.start_s, ghost.end_s, "readings of a visit of nobody"
    else:
        visit = replace(visit, activity=Activity.MACHINE)
        script.show(visit, random)
        script.sensed.pop()
        start_s, end_s, what = visit.start_s, visit.end_s, "a visit that no reading follows"
    _label(script, Kind.SENSORS, (start_s, end_s), what)


def _shifted(script: Script, visit: Visit, next_s: float, random: np.random.Generator) -> None:
    later_s = random.uniform(SHIFT_S[0], min(SHIFT_S[1], next_s - visit.end_s - _EDGE_S))
    script.pictured.append(visit)
    script.sensed.append(felt(visit, random))
    script.cues += [replace(cue, at_s=cue.at_s + later_s) for cue in cues_of(visit, random)]
    end_s = visit.end_s + later_s
    _label(script, Kind.SHIFTED, (visit.start_s, end_s), f"is heard {later_s:.0f} s later")


def _ghost(
    visit: Visit, next_s: float, length_s: tuple[float, float], random: np.random.Generator
) -> Visit:
    """A visit of nobody in the gap after a visit."""
    start_s, end_s = _within(visit.end_s, next_s, length_s, random)
    return Visit(start_s, end_s, Activity(random.choice(list(Activity))), 0)


def _within(
    begin_s: float, end_s: float, length_s: tuple[float, float], random: np.random.Generator
) -> tuple[float, float]:
    """A span of about this length inside another one, away from its edges."""
    room_s = end_s - begin_s - 2 * _EDGE_S
    long_s = min(random.uniform(*length_s), room_s)
    start_s = begin_s + _EDGE_S + random.uniform(0.0, room_s - long_s)
    return start_s, start_s + long_s


_WRONG: dict[Kind, Callable[[Script, Visit, float, np.random.Generator], None]] = {
    Kind.OBJECT: _object,
    Kind.REVERSED: _reversed,
    Kind.SOUND: _sound,
    Kind.FAULT: _fault,
    Kind.SILENT: _silent,
    Kind.UNSEEN: _unseen,
    Kind.SENSORS: _sensors,
    Kind.SHIFTED: _shifted,
}
