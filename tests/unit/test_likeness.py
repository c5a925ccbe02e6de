from __future__ import annotations

import msgspec
import pytest

from pipeline.core.event import HEALTH_PREFIX, Heard
from pipeline.core.explanation import Basis, Box, Explanation
from pipeline.core.likeness import alike, main_streams
from tests.explained_samples import BAND, BOX, CHANNEL, WHY, moved, told, with_


def band(**changes: float) -> Explanation:
    return with_(bands=(msgspec.structs.replace(BAND, **changes),))


def channel(**changes: object) -> Explanation:
    return with_(channels=(msgspec.structs.replace(CHANNEL, **changes),))


@pytest.mark.parametrize(
    "why",
    [
        WHY,
        with_(boxes=(moved(BOX, 0.1),)),
        with_(boxes=(), contributions={"mic": 2.0, "plc": 2.0}),
        with_(contributions={"mic": 2.0}),
        band(low_hz=1500.0, high_hz=3000.0, seen_db=-26.0),
        channel(seen=70.0),
        channel(seen=35.0),
    ],
)
def test_the_same_again_or_less_of_it_is_alike(why: Explanation) -> None:
    assert alike(told(why), told())


@pytest.mark.parametrize(
    "why",
    [
        None,
        with_(boxes=()),
        with_(boxes=(moved(BOX, 0.3),)),
        with_(boxes=(BOX, moved(BOX, 0.3))),
        with_(boxes=(Box("cam", 0.0, 0.0, 1.0, 1.0, 3.0),)),
        with_(boxes=(Box("yard", 0.4, 0.4, 0.6, 0.6, 3.0),), contributions={"yard": 2.0}),
        with_(boxes=(), bands=(), channels=()),
        with_(contributions={"log": 2.0}),
        band(low_hz=4000.0, high_hz=8000.0),
        band(seen_db=-20.0),
        channel(seen=5.0),
        channel(seen=90.0),
        channel(name="current"),
        channel(what="slope"),
        with_(kind=Basis.BETWEEN, pair=("cam", "mic")),
    ],
)
def test_anything_more_elsewhere_or_unexplained_is_not(why: Explanation | None) -> None:
    assert not alike(told(why), told())


def test_what_scores_clearly_higher_is_not_alike() -> None:
    assert alike(told(score=5.4), told(score=5.0))
    assert not alike(told(score=5.6), told(score=5.0))


@pytest.mark.parametrize(
    ("scores", "is_alike"),
    [
        ({}, True),
        ({"video:cam": 9.0}, True),
        ({"video:cam": 5.0, "between": 3.4}, True),
        ({"video:cam": 5.0, "between": 3.6}, False),
        ({"video:cam": 5.0, "between": 9.0}, False),
        ({"video:cam": 5.0, "odd": 3.1}, False),
        (None, True),
    ],
)
def test_what_speaks_up_by_itself_must_have_done_so_then(
    scores: dict[str, float] | None, is_alike: bool
) -> None:
    """What is louder hides it from the score; an event of an older version does not say."""
    heard = scores and {name: Heard(score) for name, score in scores.items()}
    then = {"video:cam": Heard(5.0), "between": Heard(3.0)}
    assert alike(told(heard=heard), told(heard=then)) is is_alike
    assert alike(told(heard=heard), told(heard=None))


def test_another_scene_and_the_equipment_are_never_alike() -> None:
    assert not alike(told(scene="yard"), told())
    assert not alike(told(id=f"{HEALTH_PREFIX}1"), told(id=f"{HEALTH_PREFIX}1"))


def test_streams_that_do_not_belong_together_are_alike_as_a_pair_only() -> None:
    pair = with_(kind=Basis.BETWEEN, pair=("cam", "mic"))
    turned = msgspec.structs.replace(pair, pair=("mic", "cam"))
    other = msgspec.structs.replace(pair, pair=("cam", "plc"))
    assert alike(told(turned), told(pair))
    silent = msgspec.structs.replace(pair, boxes=(), contributions={"mic": 2.0})
    assert alike(told(silent), told(pair))
    assert not alike(told(other), told(pair))


def test_streams_that_hardly_show_it_do_not_count() -> None:
    assert main_streams(with_(contributions={"cam": 3.0, "mic": 0.2, "plc": -4.0})) == {"cam"}


@pytest.mark.parametrize(
    ("known_s", "length_s", "same"),
    [(2, 29, True), (2, 30, False), (20, 59, True), (20, 60, False)],
)
def test_what_lasts_much_longer_is_not_alike(known_s: int, length_s: int, same: bool) -> None:
    known, again = (told(end_ns=(7 + length) * 10**9) for length in (known_s, length_s))
    assert alike(again, known) is same
