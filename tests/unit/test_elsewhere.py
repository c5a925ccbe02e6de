from __future__ import annotations

import msgspec
import pytest

from pipeline.core.elsewhere import elsewhere
from pipeline.core.explanation import Explanation
from tests.explained_samples import BAND, BOX, CHANNEL, WHY, moved, with_


def other(thing: object, **changes: object) -> object:
    return msgspec.structs.replace(thing, **changes)


def test_the_same_again_however_much_of_it_is_not_elsewhere() -> None:
    assert not elsewhere(WHY, [WHY])
    louder = other(BAND, seen_db=0.0)
    larger = other(BOX, top=0.0, left=0.0, bottom=1.0, right=1.0)
    further = other(CHANNEL, seen=900.0)
    assert not elsewhere(with_(boxes=(larger,), bands=(louder,), channels=(further,)), [WHY])


@pytest.mark.parametrize(
    "seen",
    [
        with_(contributions={"log": 3.0}),
        with_(boxes=(moved(BOX, 0.35),)),
        with_(boxes=(BOX, moved(BOX, -0.35))),
        with_(bands=(other(BAND, low_hz=5000.0, high_hz=9000.0),)),
        with_(channels=(other(CHANNEL, name="speed"),)),
        with_(channels=(other(CHANNEL, seen=1.0),)),
    ],
)
def test_another_stream_place_band_channel_or_side_is_elsewhere(seen: Explanation) -> None:
    assert elsewhere(seen, [WHY])


def test_another_aspect_of_the_same_channel_is_not_elsewhere() -> None:
    assert not elsewhere(with_(channels=(other(CHANNEL, what="slope", seen=-9.0),)), [WHY])


def test_what_is_not_said_is_not_different() -> None:
    assert not elsewhere(WHY, [with_(boxes=(), bands=(), channels=())])
    assert not elsewhere(with_(boxes=(), bands=(), channels=()), [WHY])


def test_what_several_showed_is_known_together() -> None:
    camera = with_(contributions={"cam": 3.0})
    sound = with_(contributions={"mic": 3.0})
    both = with_(contributions={"cam": 3.0, "mic": 3.0})
    assert elsewhere(both, [camera])
    assert not elsewhere(both, [camera, sound])
