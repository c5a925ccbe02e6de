"""Anomalies: what is wrong for a while, exactly when, and what it touches.

`Anomaly.altered` are the modalities whose samples differ from the same site without it, and
only within ``[start_s, end_s)``; `Anomaly.modalities` are those that an observer would point
at, the odd one first. They differ for X1, for instance: the person is new to the camera and
to the motion sensor, but what is wrong is between picture and sound.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.core.sample import Modality
from pipeline.sources.synthetic.faults import Fault, Pretence
from pipeline.sources.synthetic.settings import Kind
from pipeline.sources.synthetic.sound import Sounding
from pipeline.sources.synthetic.things import Stay
from pipeline.sources.synthetic.visits import Visit

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Shift:
    """One modality shows another time: scene second ``t`` shows ``t + by_s``."""

    modality: Modality
    by_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Anomaly:
    """Something that is wrong for a while.

    Attributes:
        kind: Which kind.
        start_s: First scene second at which a sample differs.
        end_s: End, exclusive.
        variant: Which sort of this kind.
        modalities: Where it shows, the odd one first.
        altered: Modalities whose samples differ from the site without it.
        description: One line a person understands.
        box: Where in the picture, ``(x0, y0, x1, y1)`` as shares of width and height.
        visit: Somebody who is not seen or not heard.
        stay: An object.
        sounding: A sound.
        fault: A broken instrument.
        pretence: A change of the sensors.
        shift: A modality that shows another time.
    """

    kind: Kind
    start_s: float
    end_s: float
    variant: str
    modalities: tuple[Modality, ...]
    altered: frozenset[Modality]
    description: str
    box: Box | None = None
    visit: Visit | None = None
    stay: Stay | None = None
    sounding: Sounding | None = None
    fault: Fault | None = None
    pretence: Pretence | None = None
    shift: Shift | None = None
