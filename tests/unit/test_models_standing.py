"""What stands still becomes background; what it must not take from the eye."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import pytest

from pipeline.core.errors import StoreError
from pipeline.models.background import Background, fit_background
from pipeline.models.features import NO_ITEMS, StreamFeatures
from pipeline.models.objects import things_in
from pipeline.models.recent import Recent
from pipeline.models.scene_standing import SceneStanding
from pipeline.models.standing import FORGET_S, MOST, STANDS_S
from pipeline.models.views import pack_views

HEIGHT, WIDTH = 60, 100
HOP_S = 5
GREY, COAT, SUN = 110, (40, 40, 190), (150, 160, 165)
NOWHERE = np.zeros((0, 0), np.float32)
Painter = Callable[[np.ndarray, int], None]


def place(at_s: int) -> np.ndarray:
    noise = np.random.default_rng(abs(at_s)).normal(0, 1.5, (HEIGHT, WIDTH, 3))
    return (GREY + noise).clip(0, 255).astype(np.uint8)


@lru_cache(maxsize=1)
def background() -> Background:
    return fit_background([place(-n) for n in range(1, 60)])


def paint(rows: slice, columns: slice, colour: object) -> Painter:
    def on(picture: np.ndarray, at_s: int) -> None:
        picture[rows, columns] = colour

    return on


PATCH = paint(slice(40, 55), slice(20, 60), SUN)
PERSON = paint(slice(15, 45), slice(70, 80), COAT)


class Watch:
    """A camera that is watched, and what stands out in its pictures."""

    def __init__(self, hop_s: int = HOP_S) -> None:
        self.hop_s = hop_s
        self.standing = SceneStanding({"cam": background()}, hop_s * 10**9)
        self.at_s = 1_000

    def see(self, *painted: Painter, degraded: bool = False) -> int:
        """Pixels of the things in the next picture, by their boxes."""
        picture = place(self.at_s)
        for paint_on in painted:
            paint_on(picture, self.at_s)
        view = pack_views([picture], 4.0, Recent())[0]
        seen = StreamFeatures(NOWHERE, NOWHERE.astype(bool), NO_ITEMS, (view,))
        start_ns, self.at_s = self.at_s * 10**9, self.at_s + self.hop_s
        found = self.standing.follow({"cam": seen}, start_ns, {"cam"} if degraded else ())["cam"]
        things = things_in(view, background(), found.stood)
        return sum(thing.width * thing.height for thing in things)

    def watch(self, seconds: float, *painted: Painter, degraded: bool = False) -> list[int]:
        return [self.see(*painted, degraded=degraded) for _ in range(0, round(seconds), self.hop_s)]


def standing_patch() -> Watch:
    """A site at which a patch of sun has become background."""
    site = Watch()
    site.watch(STANDS_S + 10, PATCH)
    return site


def test_what_stands_still_stands_out_first_and_is_background_then():
    site = Watch()
    assert max(site.watch(10)) == 0
    assert min(site.watch(STANDS_S - HOP_S, PATCH)) > 500
    site.watch(20, PATCH)
    assert max(site.watch(60, PATCH)) == 0


@pytest.mark.parametrize("hop_s", [2, 10, 30, 60])
def test_what_stands_still_is_background_as_soon_however_far_apart_the_windows_are(hop_s):
    site = Watch(hop_s)
    site.watch(2 * hop_s)
    shown = site.watch(2 * STANDS_S, PATCH)
    hidden_s = hop_s * sum(pixels > 0 for pixels in shown)
    assert STANDS_S - hop_s <= hidden_s <= STANDS_S + 10 + 2 * hop_s  # a little is forgotten
    assert shown[-1] == 0


def test_somebody_who_stands_still_for_a_minute_is_seen_all_the_time_and_afterwards():
    site = Watch()
    assert min(site.watch(60, PERSON)) > 250
    site.watch(60)
    assert min(site.watch(20, PERSON)) > 250


def test_what_begins_to_move_after_it_was_background_is_seen_again():
    site = Watch()
    site.watch(STANDS_S + 10, PERSON)
    assert site.see(PERSON) == 0
    moved = paint(slice(15, 45), slice(50, 60), COAT)
    assert site.see(moved) > 250


def test_what_comes_before_something_that_is_background_is_seen():
    site = standing_patch()
    before = paint(slice(30, 54), slice(35, 45), COAT)
    assert site.see(PATCH) == 0
    assert site.see(PATCH, before) > 200


def test_where_it_is_gone_the_learnt_background_is_as_valid_as_ever():
    site = standing_patch()
    assert max(site.watch(20)) == 0


def test_a_patch_of_sun_that_comes_and_goes_is_known_after_its_minutes_in_all():
    site = Watch()
    for _ in range(15):
        site.watch(20, PATCH)
        site.watch(60)
    assert max(site.watch(20, PATCH)) == 0


def test_what_is_gone_for_an_hour_is_new_again():
    site = Watch()
    site.watch(400, PATCH)
    site.watch(FORGET_S)
    assert site.see(PATCH) > 500


def creeping(grey_levels: int) -> Iterator[Painter]:
    """Something that becomes visible within minutes and goes on for half an hour."""
    for at_s in range(0, 1_800, HOP_S):
        yield paint(slice(20, 45), slice(30, 60), GREY + grey_levels * at_s // 1_800)


def test_what_creeps_in_is_found_when_it_is_first_visible_and_again_and_again():
    site = Watch()
    seen = np.array([site.see(one) > 500 for one in creeping(100)])
    first = int(np.argmax(seen))
    assert 100 * first * HOP_S / 1_800 < 25
    assert seen[first : first + round(60 / HOP_S)].all()
    assert np.count_nonzero(np.diff(seen.astype(int)) == 1) >= 3
    assert seen[first:].mean() > 0.3


def test_what_creeps_on_faster_than_its_colour_could_stand_is_never_background():
    site = Watch()
    seen = np.array([site.see(one) > 500 for one in list(creeping(140))[::3]])
    assert seen[np.argmax(seen) :].all()


def test_what_keeps_passing_in_the_same_clothes_never_becomes_background():
    site = Watch(hop_s=2)
    seen = [site.see(PERSON) if n % 5 < 2 else site.see() for n in range(600)]
    assert min(seen[::5]) > 250


def test_no_more_than_a_bounded_share_of_the_picture_is_hidden():
    site = Watch()
    stripes = [paint(slice(top, top + 5), slice(0, WIDTH), SUN) for top in (5, 25)]
    seen = site.watch(2 * STANDS_S, *stripes, PERSON)
    kept = site.standing.follow(
        {"cam": StreamFeatures(NOWHERE, NOWHERE.astype(bool), NO_ITEMS)}, site.at_s * 10**9, ()
    )["cam"].stood
    assert kept is not None
    assert MOST - 0.01 <= kept.there.any(axis=0).mean() <= MOST
    assert seen[-1] > 0


def test_a_camera_that_cannot_see_well_teaches_nothing():
    site = Watch()
    site.watch(3 * STANDS_S, PATCH, degraded=True)
    assert min(site.watch(20, PATCH)) > 500


def test_a_light_that_was_never_seen_teaches_nothing():
    site = Watch()
    half = paint(slice(0, HEIGHT), slice(0, WIDTH // 2), SUN)
    assert max(site.watch(3 * STANDS_S, half)) == 0  # too much of the picture to find things in
    assert site.standing.hiding == frozenset()


def test_a_gap_of_hours_is_not_time_in_which_something_stood():
    site = Watch()
    site.watch(10, PATCH)
    site.at_s += 10_000
    assert site.see(PATCH) > 500
    assert site.see(PATCH) > 500


def test_a_moment_counts_once_however_often_it_is_shown():
    site = Watch()
    for _ in range(60):
        site.see(PATCH)
        site.at_s -= HOP_S
    assert site.see(PATCH) > 500


def test_it_goes_on_from_its_saved_bytes_as_if_nothing_had_happened():
    whole, cut = Watch(), Watch()
    scenes = [(PATCH,)] * 45 + [()] * 5 + [(PATCH, PERSON)] * 25
    expected = [whole.see(*painted) for painted in scenes]
    for row, painted in enumerate(scenes):
        state = cut.standing.state()
        cut.standing = SceneStanding({"cam": background()}).restore(state)
        assert cut.standing.state() == state
        assert cut.see(*painted) == expected[row]
    assert cut.standing.state() == whole.standing.state()


def test_what_was_saved_of_another_camera_is_refused():
    state = standing_patch().standing.state()
    with pytest.raises(StoreError, match="other streams"):
        SceneStanding({"door": background()}).restore(state)
    small = fit_background([place(-n)[:40] for n in range(1, 20)])
    with pytest.raises(StoreError, match="cannot be read"):
        SceneStanding({"cam": small}).restore(state)
    with pytest.raises(StoreError, match="cannot be read"):
        SceneStanding({"cam": background()}).restore(b"\x00broken")
