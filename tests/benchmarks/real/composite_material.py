"""What the real composite is made of: clips, sounds and readings, as arrays.

`Material` knows nothing of files; `composite_files` reads it from the recordings, one for each
`Group`: no person, sound, session or stretch of the pump is in two of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

Pictures = npt.NDArray[np.uint8]
Sound = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Group(IntEnum):
    """What material is for."""

    LEARN = 0
    CALIBRATE = 1
    JUDGE = 2


@dataclass(frozen=True, slots=True)
class Clip:
    """One visit of one person, as the camera saw it.

    Attributes:
        coming: Until the person stands, uint8 ``(n, H, W, 3)``.
        staying: While the person stands.
        leaving: From the first step until the room is empty.
    """

    coming: Pictures
    staying: Pictures
    leaving: Pictures


@dataclass(frozen=True, slots=True)
class CutOut:
    """Something strange, to be pasted into a picture.

    Attributes:
        picture: ``(h, w, 3)``, grey levels.
        mask: How much of it covers what is behind, ``(h, w)``, from 0 to 1.
    """

    picture: Floats
    mask: Floats


@dataclass(frozen=True, slots=True)
class Session:
    """Climate of a room over an hour or two.

    Attributes:
        rows: Readings ``(n, C)``, a fixed time apart, their level when empty taken out.
        activity: Code of what was done, ``(n,)``; 0 when the room was empty.
    """

    rows: Floats
    activity: Ints


@dataclass(frozen=True, slots=True)
class Material:
    """Everything that a part can show.

    Attributes:
        clips: Visits, one a person.
        empty: Stretches of the empty room.
        strange: What is pasted into the picture when that is wrong.
        floor: What is always heard, at the recordings' level.
        sounds: Samples of each class, all equally loud.
        unseen: Samples of classes that never happen.
        hum: Of the machine.
        climate: Sessions.
        running: Readings of the machine at work, ``(n, P)``, a second apart.
        resting: Its readings when it is off, ``(P,)``.
        broken: Its readings with a fault, ``(n, P)``.
    """

    clips: tuple[Clip, ...]
    empty: tuple[Pictures, ...]
    strange: tuple[CutOut, ...]
    floor: Sound
    sounds: Mapping[str, tuple[Sound, ...]]
    unseen: tuple[Sound, ...]
    hum: Sound
    climate: tuple[Session, ...]
    running: Floats
    resting: Floats
    broken: Floats


@dataclass(frozen=True, slots=True)
class Cast:
    """What a site is made of.

    Attributes:
        groups: Material by `Group`.
        channels: Names of the readings: those of the climate, then those of the machine.
    """

    groups: tuple[Material, ...]
    channels: tuple[str, ...]
