"""Events that are explained, for tests of what compares or withholds them."""

from __future__ import annotations

import msgspec

from pipeline.core.event import Event
from pipeline.core.explanation import Band, Basis, Box, Channel, Explanation
from tests.event_samples import event

BOX = Box("cam", 0.4, 0.4, 0.6, 0.6, 3.0)
BAND = Band("mic", 1000.0, 4000.0, 0.5, 1.0, -30.0, -60.0, -50.0)
CHANNEL = Channel("plc", "heat", "value", 60.0, 20.0, 30.0)
WHY = Explanation(
    kind=Basis.SINGLE,
    contributions={"cam": 2.0, "mic": 2.0, "plc": 2.0, "log": 0.1},
    boxes=(BOX,),
    bands=(BAND,),
    channels=(CHANNEL,),
)


def told(why: Explanation | None = WHY, **changes: object) -> Event:
    return event(7, explanation=why, **changes)


def with_(**changes: object) -> Explanation:
    return msgspec.structs.replace(WHY, **changes)


def moved(box: Box, by: float) -> Box:
    return msgspec.structs.replace(box, left=box.left + by, right=box.right + by)
