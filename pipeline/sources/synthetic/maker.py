"""Making anomalies: each exists physically, with an exact span.

Somebody who is not heard walks like everybody else; a sound without a cause is that of a walk
or a door which nobody sees. What an anomaly looks like depends on the seed and its number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np

from pipeline.core.sample import Modality
from pipeline.sources.synthetic.anomalies import Anomaly, Box, Shift
from pipeline.sources.synthetic.chance import Chance, Floats
from pipeline.sources.synthetic.clips import echo
from pipeline.sources.synthetic.faults import FAULTS, PRETENCES, Fault, Pretence
from pipeline.sources.synthetic.people import Person, draw_person
from pipeline.sources.synthetic.perspective import Camera
from pipeline.sources.synthetic.routes import roam
from pipeline.sources.synthetic.sensors import ANALOG, CHANNELS
from pipeline.sources.synthetic.settings import VARIANTS, Kind, SiteSettings
from pipeline.sources.synthetic.sound import (
    Earshot,
    Sounding,
    slam_tail_s,
    step_tail_s,
)
from pipeline.sources.synthetic.strange import STRANGE, strange_sound
from pipeline.sources.synthetic.things import THINGS, draw_stay
from pipeline.sources.synthetic.visits import (
    CLOSE_AFTER_S,
    CLOSING_S,
    OPEN_BEFORE_S,
    Visit,
    door_angle,
    make_visit,
)
from pipeline.sources.synthetic.world import World

VIDEO, AUDIO, SENSOR = Modality.VIDEO, Modality.AUDIO, Modality.SENSOR
_EPSILON_S = 1e-4


class Maker:
    """Makes anomalies for one site.

    Args:
        settings: Which streams there are, and the seed.
        world: What else happens.
        camera: Says what is in the picture.
        earshot: Says what is heard of somebody; None without a microphone.
    """

    def __init__(
        self, settings: SiteSettings, world: World, camera: Camera, earshot: Earshot | None
    ) -> None:
        self._there = settings.modalities
        self._hz = settings.audio_hz
        self._world = world
        self._place = world.place
        self._camera = camera
        self._earshot = earshot
        self._chance = Chance(settings.seed, "anomalies")
        self._make: dict[Kind, Callable[..., Anomaly]] = {
            Kind.V: self._object,
            Kind.A: self._sound,
            Kind.S: self._fault,
            Kind.X1: self._silent,
            Kind.X2: self._unseen,
            Kind.X3: self._pretence,
            Kind.X4: self._shift,
        }

    def make(
        self, kind: Kind, at_s: float, duration_s: float, variant: str | None, index: int
    ) -> Anomaly:
        """Anomaly `index`: of a kind, within ``[at_s, at_s + duration_s)``."""
        rng = self._chance.at(index)
        choice = [v for v in VARIANTS[kind] if kind is not Kind.X4 or Modality(v) in self._there]
        drawn = choice[int(rng.integers(len(choice)))]
        made = self._make[kind](rng, at_s, at_s + duration_s, variant or drawn, index)
        shown = tuple(m for m in made.modalities if m in self._there)
        return replace(made, modalities=shown, altered=made.altered & self._there)

    def _object(
        self, rng: np.random.Generator, start: float, end: float, variant: str, index: int
    ) -> Anomaly:
        kind = next(k for k in THINGS if k == variant)
        stay = draw_stay(self._place, rng, kind, start, end)
        seen = [stay.at(float(t)).corners() for t in np.linspace(start, end - 1e-3, 40)]
        box, first, last = self._outline(seen, start, end, 0.3)
        return Anomaly(
            kind=Kind.V,
            start_s=first,
            end_s=last,
            variant=variant,
            modalities=(VIDEO,),
            altered=frozenset({VIDEO}),
            description=f"an object never seen here: {variant}",
            box=box,
            stay=stay,
        )

    def _sound(
        self, rng: np.random.Generator, start: float, end: float, variant: str, index: int
    ) -> Anomaly:
        kind = next(k for k in STRANGE if k == variant)
        room = echo(self._place, self._hz)
        wave = strange_sound(rng, kind, end - start, self._hz, room)
        gain = float(10 ** rng.uniform(-1.35, -0.6))
        return Anomaly(
            kind=Kind.A,
            start_s=start - _EPSILON_S,
            end_s=start + len(wave) / self._hz,
            variant=variant,
            modalities=(AUDIO,),
            altered=frozenset({AUDIO}),
            description=f"a sound never heard here: {variant}",
            sounding=Sounding(start, wave, gain),
        )

    def _fault(
        self, rng: np.random.Generator, start: float, end: float, variant: str, index: int
    ) -> Anomaly:
        name = ANALOG[int(rng.integers(len(ANALOG)))]
        size = float(rng.uniform(6.0, 14.0) * rng.choice([-1.0, 1.0]))
        kind = next(k for k in FAULTS if k == variant)
        return Anomaly(
            kind=Kind.S,
            start_s=start,
            end_s=end,
            variant=variant,
            modalities=(SENSOR,),
            altered=frozenset({SENSOR}),
            description=f"{name} is faulty: {variant}",
            fault=Fault(kind, CHANNELS.index(name), size, start, end, index),
        )

    def _silent(
        self, rng: np.random.Generator, start: float, end: float, variant: str, index: int
    ) -> Anomaly:
        visit = self._wanderer(rng, start, end)
        times = np.linspace(visit.walk.times_s[0], visit.walk.times_s[-1] - 1e-3, 80)
        box, first, last = self._outline(
            [visit.corners(float(t)) for t in times], float(times[0]), float(times[-1]), 0.5
        )
        visit = replace(visit, heard=False, present=(first, last))
        return Anomaly(
            kind=Kind.X1,
            start_s=first,
            end_s=last,
            variant=variant,
            modalities=(AUDIO, VIDEO),
            altered=frozenset({VIDEO, SENSOR}),
            description="somebody walks without a sound",
            box=box,
            visit=visit,
        )

    def _unseen(
        self, rng: np.random.Generator, start: float, end: float, variant: str, index: int
    ) -> Anomaly:
        shutting = OPEN_BEFORE_S + CLOSE_AFTER_S + CLOSING_S + slam_tail_s() + 0.05
        if variant == "door" and end - start >= shutting:
            visit = self._wanderer(rng, start, end)
            visit = replace(
                visit, strikes_s=np.zeros(0), doors_s=(start + OPEN_BEFORE_S,), seen=False
            )
            tail, words = slam_tail_s(), "the door is heard but does not move"
        else:
            visit = replace(self._wanderer(rng, start, end - step_tail_s() - 0.05), seen=False)
            tail, words, variant = step_tail_s(), "steps are heard but nobody is there", "steps"
        heard = self._earshot.of(visit) if self._earshot is not None else ()
        moments = [s.at_s for s in heard]
        return Anomaly(
            kind=Kind.X2,
            start_s=min(moments, default=start) - _EPSILON_S,
            end_s=max(moments, default=end - tail) + tail,
            variant=variant,
            modalities=(AUDIO, VIDEO),
            altered=frozenset({AUDIO}),
            description=words,
            visit=visit,
        )

    def _pretence(
        self, rng: np.random.Generator, start: float, end: float, variant: str, index: int
    ) -> Anomaly:
        kind = next(k for k in PRETENCES if k == variant)
        if kind == "door":
            start, end = self._door_rests(start, end)
        others = {"load": (AUDIO, VIDEO), "door": (VIDEO, AUDIO), "light": (VIDEO,)}[kind]
        words = {
            "load": "current and vibration change, the machine does not",
            "door": "the door's contact opens, the door does not",
            "light": "the light sensor changes, the light does not",
        }[kind]
        return Anomaly(
            kind=Kind.X3,
            start_s=start,
            end_s=end,
            variant=variant,
            modalities=(SENSOR, *others),
            altered=frozenset({SENSOR}),
            description=words,
            pretence=Pretence(kind, start, end),
        )

    def _door_rests(self, start: float, end: float) -> tuple[float, float]:
        """The longest part of a span in which the real door stays shut."""
        moments = np.arange(start, end, 0.05)
        visits = self._world.visits.slots.between(start, end)
        passes = [at for v in visits for at in v.doors_s]
        moving = [i for i, t in enumerate(moments) if door_angle(passes, float(t)) > 0]
        edges = [-1, *moving, len(moments)]
        free = [(b - a, a + 1) for a, b in pairwise(edges)]
        length, first = max(free)
        if length < 20:
            return start, end
        return float(moments[first]), float(moments[first]) + 0.05 * (length - 1)

    def _shift(
        self, rng: np.random.Generator, start: float, end: float, variant: str, index: int
    ) -> Anomaly:
        odd = Modality(variant)
        by = float(rng.uniform(1.5, 3.0) * rng.choice([-1.0, 1.0]))
        words = f"{odd} is {abs(by):.1f} s {'late' if by < 0 else 'early'}"
        if not self._stirs(start, end):
            by = self._elsewhere(rng, start, end)
            words = f"{odd} comes from another time, {by:+.0f} s"
        rest = tuple(m for m in (VIDEO, AUDIO, SENSOR) if m is not odd)
        return Anomaly(
            kind=Kind.X4,
            start_s=start,
            end_s=end,
            variant=variant,
            modalities=(odd, *rest),
            altered=frozenset({odd}),
            description=words,
            shift=Shift(odd, by),
        )

    def _stirs(self, start: float, end: float) -> bool:
        """Whether enough happens for a small shift to be noticed."""
        return self._steps(start, end) >= 3

    def _steps(self, start: float, end: float) -> int:
        visits = self._world.visits.slots.between(start, end)
        return sum(int(np.sum((v.strikes_s >= start) & (v.strikes_s < end))) for v in visits)

    def _elsewhere(self, rng: np.random.Generator, start: float, end: float) -> float:
        """The way to another time nearby at which much more happens."""
        ways = rng.choice([-1.0, 1.0], 40) * rng.uniform(20.0, 240.0, 40)
        steps = [self._steps(start + float(way), end + float(way)) for way in ways]
        return float(ways[int(np.argmax(steps))])

    def _wanderer(self, rng: np.random.Generator, start: float, end: float) -> Visit:
        """Somebody who walks into the picture and out of it in the given time."""
        person: Person = draw_person(rng)
        stops, metres = roam(self._place, rng, (end - start) * person.speed_m_s)
        speed = metres / (end - start)
        stride = person.height_m * (0.27 + 0.12 * min(max(speed, 0.7), 1.8))
        person = replace(person, speed_m_s=speed, step_m=stride)
        return make_visit(self._place, person, stops, start, speed)

    def _outline(
        self, corners: list[Floats], start: float, end: float, margin_m: float = 0.0
    ) -> tuple[Box | None, float, float]:
        """Where points, one set per moment, are in the picture, and when they are nearly in it.

        The margin, metres to each side, is for shadows, which enter the picture first.
        """
        size = np.array([self._camera.width, self._camera.height])
        boxes = [self._camera.project(c) / size for c in corners]
        spans = [np.concatenate([b.min(axis=0), b.max(axis=0)]) for b in boxes]
        spread = [margin_m * self._camera.scale(*c.mean(axis=0)) / size[0] for c in corners]
        near = [s[2] > -m and s[0] < 1 + m for s, m in zip(spans, spread, strict=True)]
        shown = [s for s in spans if s[2] > 0 and s[0] < 1 and s[3] > 0 and s[1] < 1]
        if not shown:
            return None, start, end
        seen = np.clip(np.array(shown), 0, 1)
        low, high = seen.min(axis=0), seen.max(axis=0)
        moments = np.linspace(start, end, len(corners))
        first, last = int(np.argmax(near)), len(near) - 1 - int(np.argmax(near[::-1]))
        begin = float(moments[max(first - 1, 0)])
        finish = float(moments[min(last + 1, len(moments) - 1)]) + _EPSILON_S
        box = (float(low[0]), float(low[1]), float(high[2]), float(high[3]))
        return box, begin, finish
