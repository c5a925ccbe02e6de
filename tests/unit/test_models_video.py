from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch

from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.window import VideoSlice, Window
from pipeline.detection.scorer import Scorer
from pipeline.models.background import fit_background
from pipeline.models.objects import (
    AS_OBJECT,
    BY_MOVE,
    ObjectDensity,
    fit_objects,
    things_in,
)
from pipeline.models.recent import Recent
from pipeline.models.settings import DetectorSettings
from pipeline.models.video_light import calmed, usual_unrest
from pipeline.models.video_motion import moment_beside, pack_motion, unpack_motion
from pipeline.models.video_places import beside
from pipeline.models.views import pack_views, unpack_velocity
from pipeline.models.wording import describe
from pipeline.training.commissioning import commission

HEIGHT, WIDTH, RATE_HZ = 60, 110, 10.0
FRAMES = 10  # of a window
HOP_NS = 500_000_000
LEARNT = 150  # windows
FIRST = 3_400_000_000
CAMERA = StreamInfo("cam", Modality.VIDEO, RATE_HZ, (HEIGHT, WIDTH, 3), "uint8")
QUICK = DetectorSettings(block_s=10.0, folds=3, place_memory=60, memory=100, evidence=())


def floor(light: np.ndarray | float = 1.0) -> np.ndarray:
    """A still place in some light, ``(H, W, 3)``."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    grey = 110 + 25 * np.sin(columns / 5) + 15 * np.cos(rows / 4)
    return np.stack([grey, grey * 0.95, grey * 0.9], axis=-1) * light


def walker(left: float, foot: int = 50) -> tuple[slice, slice]:
    """Where somebody is; as tall as half of the row that the feet are on."""
    at = round(left)
    return slice(foot - foot // 2, foot), slice(max(0, at), max(0, at + 9))


def filmed(
    lefts: list[float],
    seed: int,
    foot: int = 50,
    corner: bool = False,
    light: np.ndarray | float = 1.0,
) -> list[np.ndarray]:
    """Pictures of somebody who is at one place after the other."""
    random = np.random.default_rng(seed)
    cloth = random.uniform(20, 70) + 12 * np.sin(np.arange(foot)[:, None, None] / 2.0)
    frames = []
    for left in lefts:
        frame = floor(light)
        where = walker(left, foot)
        frame[where] = cloth[: foot // 2] * np.ones_like(frame[where])
        if corner:
            frame[3:8, WIDTH - 9 : WIDTH - 3] = (20, 240, 250)
        frames.append((frame + random.normal(0, 1.5, frame.shape)).clip(0, 255).astype(np.uint8))
    return frames


def way(number: int, step: float = 1.2, forth: bool = True) -> list[float]:
    """Where somebody is who crosses the picture to the right, or to the left."""
    random = np.random.default_rng(number)
    begin = float(random.uniform(5, WIDTH - 25))
    steps = step * np.arange(FRAMES) * (1 if forth else -1)
    return list(begin + steps)


def foot_of(number: int) -> int:
    return 42 + 2 * (number % 8)


@lru_cache(maxsize=1)
def learnt() -> ObjectDensity:
    """A place that everybody crosses from the left to the right, at a walk."""
    views = [
        pack_views(filmed(way(n) if n % 4 else [-20.0] * FRAMES, n, foot_of(n)), RATE_HZ, Recent())
        for n in range(120)
    ]
    objects = fit_objects(views, 1000, 0)
    assert objects is not None
    return objects


def newness(frames: list[np.ndarray]) -> np.ndarray:
    """As an object, and by the move."""
    return learnt().scores([pack_views(frames, RATE_HZ, Recent())])[0].numpy()


@lru_cache(maxsize=1)
def passing() -> np.ndarray:
    """Newness of those who pass as everybody does, ``(n, 2)``."""
    return np.stack([newness(filmed(way(n), n, foot_of(n))) for n in range(1000, 1025)])


def test_velocities_are_told_with_their_direction_and_survive_packing():
    random = np.random.default_rng(0)
    pictures = []
    for left in (30, 33, 27):
        picture = floor().astype(np.uint8)
        patch = np.random.default_rng(5).integers(0, 255, (5, 4, 1)).astype(np.uint8)
        picture[20:40, left : left + 16] = patch.repeat(4, axis=0).repeat(4, axis=1)
        pictures.append(picture + random.integers(0, 3, picture.shape).astype(np.uint8))
    middle = slice(23, 37), slice(34, 42)
    for other, expected in ((pictures[1], 1.5), (pictures[2], -1.5)):
        velocity = unpack_motion(pack_motion(pictures[0], other, 0.2), pictures[0].shape)
        right, down = np.median(velocity[middle].reshape(-1, 2), axis=0)
        assert right == pytest.approx(expected, abs=0.3) and abs(down) < 0.2
        assert np.abs(velocity[:, 80:]).max() < 0.5
    earlier = unpack_motion(pack_motion(pictures[0], pictures[1], -0.2), pictures[0].shape)
    assert np.median(earlier[middle][..., 0]) == pytest.approx(-1.5, abs=0.3)
    alone = unpack_motion(pack_motion(pictures[0], pictures[0], 0.0), pictures[0].shape)
    assert not alone.any()


@pytest.mark.parametrize("shape", [(10, 10), (10, 160), (160, 10), (40, 360), (90, 160)])
def test_pictures_of_any_shape_have_velocities(shape):
    random = np.random.default_rng(0)
    first, second = (random.integers(0, 255, (*shape, 3)).astype(np.uint8) for _ in range(2))
    assert unpack_motion(pack_motion(first, second, 0.2), shape).shape == (*shape, 2)


def test_a_picture_is_compared_with_one_a_moment_before_or_else_after_it():
    assert moment_beside(5, range(20), 10.0) == 3
    assert moment_beside(1, range(20), 10.0) == 3
    assert moment_beside(0, range(1), 10.0) == 0
    assert moment_beside(30, range(60), 30.0) == 24
    assert moment_beside(1, range(3), 1.0) == 0


def test_where_pictures_are_missing_the_nearest_to_that_moment_is_compared_with():
    half = range(0, 20, 2)
    assert moment_beside(5, half, 10.0) == 4
    assert moment_beside(0, half, 10.0) == 1
    assert moment_beside(2, (0, 9, 10, 12), 10.0) == 3
    assert moment_beside(1, (0, 9), 10.0) == 0


def test_a_thing_is_as_fast_however_many_pictures_are_missing():
    shown = filmed(list(30 + 1.5 * np.arange(20)), 0)
    shape = shown[0].shape

    def speed(steps):
        views = pack_views([shown[step] for step in steps], RATE_HZ, Recent(), steps)
        moving = np.stack([np.hypot(*unpack_velocity(view, shape).T) for view in views])
        return np.quantile(moving, 0.98)

    whole = speed(range(20))
    assert whole > 1.0
    for steps in (range(0, 20, 2), [0, 1, 2, 5, 6, 9, 10, 11, 14, 15, 17, 18, 19]):
        assert speed(steps) == pytest.approx(whole, rel=0.25)


def test_somebody_who_walks_the_other_way_is_new_by_the_move_alone():
    ways = {n: way(n, forth=False) for n in range(2000, 2012)}
    back = np.stack([newness(filmed(one, n, foot_of(n))) for n, one in ways.items()])
    usual = passing()
    assert np.quantile(back[:, 1], 0.1) > np.quantile(usual[:, 1], 0.9)
    assert np.median(back[:, 0]) < np.quantile(usual[:, 0], 0.95)


def test_somebody_who_runs_is_new():
    runs = np.stack([newness(filmed(way(n, 4.0), n, foot_of(n))) for n in range(3000, 3012)])
    assert np.quantile(runs[:, 1], 0.25) > np.quantile(passing()[:, 1], 0.95)


def test_somebody_who_stays_where_others_walk_is_new():
    stays = np.stack([newness(filmed([40.0] * FRAMES, n, foot_of(n))) for n in range(4000, 4012)])
    assert np.quantile(stays.max(axis=1), 0.25) > np.quantile(passing().max(axis=1), 0.95)


def test_a_small_thing_in_a_corner_is_found_and_pointed_at():
    frames = filmed(way(7), 7, foot_of(7), corner=True)
    assert newness(frames)[0] > passing()[:, 0].max()
    thing = learnt().newest_of(pack_views(frames, RATE_HZ, Recent()))
    assert thing is not None
    assert thing.left == pytest.approx(WIDTH - 9, abs=4) and thing.top == pytest.approx(3, abs=4)
    by_either = [
        learnt().newest_of(pack_views(frames, RATE_HZ, Recent()), part)
        for part in (AS_OBJECT, BY_MOVE)
    ]
    assert all(one is not None and one.top < 10 for one in by_either)


def test_in_a_light_that_was_never_seen_nothing_is_taken_for_a_thing():
    columns = np.arange(WIDTH)[None, :, None]
    lamp = np.where(columns < WIDTH * 0.4, 1.8, 0.8)
    view = pack_views(filmed([-20.0] * FRAMES, 1, light=lamp), RATE_HZ, Recent())[0]
    assert things_in(view, learnt().background) == []


def test_a_thing_that_fills_as_much_as_others_did_is_still_a_thing():
    random = np.random.default_rng(0)
    empty = [floor() + random.normal(0, 1.5, (HEIGHT, WIDTH, 3)) for _ in range(100)]
    for number in range(0, 100, 30):
        empty[number][:, 10 + number // 3 :][:, :40] = 20 + number
    background = fit_background([picture.clip(0, 255).astype(np.uint8) for picture in empty])
    assert float(background.fullest) == pytest.approx(40 / WIDTH, abs=0.05)
    columns = np.broadcast_to(np.arange(WIDTH), (HEIGHT, WIDTH))
    assert not background.covered(columns < 50)
    assert background.covered(columns < 70)
    assert replace(background, fullest=np.zeros(())).covered(columns < 50)


def test_a_cell_that_saw_nobody_is_not_steadier_than_those_around_it():
    generator = torch.Generator().manual_seed(0)
    places = torch.randn(300, 9 * 9, 2, generator=generator, dtype=torch.float64) * 0.02
    crossed = torch.arange(81) % 9 < 4
    places[::7, crossed, 0] += 3.0
    wider = beside(places, torch.ones(300, 81, dtype=torch.bool), 9, 9)
    assert wider.min() >= 1.0
    next_to, far = wider[4 * 9 + 4], wider[4 * 9 + 8]
    assert next_to[0] > 5.0 and next_to[1] < 1.5
    assert far[0] < 1.5


def test_what_all_cells_share_in_being_new_is_light_and_what_stands_out_is_not():
    generator = torch.Generator().manual_seed(1)
    normal = torch.randn(200, 144, 1, generator=generator, dtype=torch.float64) * 0.2
    usual = usual_unrest(normal)
    torch.testing.assert_close(calmed(normal[:50], usual * 2), normal[:50])
    thing = normal[:1].clone()
    thing[0, 10:14] = 8.0
    torch.testing.assert_close(calmed(thing, usual * 2)[0, 10:14], thing[0, 10:14])
    lit = torch.randn(1, 144, 1, generator=generator, dtype=torch.float64) * 4.0
    assert calmed(lit, usual).abs().max() < normal.abs().max()
    lit[0, 20] = 60.0
    assert calmed(lit, usual).abs()[0].argmax() == 20


def window(
    number: int, light: np.ndarray | float = 1.0, corner: bool = False, hurry: float = 1.0
) -> Window:
    """Two seconds in which somebody may cross the place."""
    frames: list[np.ndarray] = []
    for hop in range(number, number + 4):
        someone = hop // 8 % 3 == 0
        begin = 5.0 + 6.0 * (hop % 8)
        lefts = [begin + 1.2 * hurry * i if someone else -20.0 for i in range(5)]
        frames += filmed(lefts, hop, foot_of(hop // 8), corner, light)
    start_ns = (FIRST + number) * HOP_NS
    grid = start_ns + np.arange(20, dtype=np.int64) * 100_000_000
    samples = tuple(Sample("cam", i, 0, f, Encoding.RAW) for i, f in enumerate(frames))
    part = VideoSlice(CAMERA, grid, samples, np.ones(20, np.bool_), 1.0)
    return Window("hall", FIRST + number, start_ns, start_ns + 4 * HOP_NS, {"cam": part})


def test_a_slow_change_of_light_raises_nothing_and_a_new_thing_in_it_is_found():
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    lights = 1.0 + 0.03 * random.normal(size=LEARNT)
    model, _ = commission("hall", (window(i, lights[i]) for i in range(LEARNT)), QUICK)
    scorer = Scorer({"hall": model}, "cpu")

    def rarity(windows: list[Window]) -> np.ndarray:
        return np.array([score.p for score in scorer.score(windows)])

    usual = rarity([window(i) for i in range(300, 316)])
    sideways = 1.0 + 0.35 * np.linspace(-1, 1, WIDTH)[None, :, None]
    for light in (0.7, 1.25, sideways):
        later = rarity([window(i, light) for i in range(400, 412)])
        assert np.median(later) > 0.05 and np.median(later) > 0.2 * np.median(usual)
    found = rarity([window(i, 0.8, corner=True) for i in range(500, 508)])
    assert found.max() < np.quantile(usual, 0.1)
    strange = window(500, corner=True)
    stream, features = model.streams[0], model.features(strange)["cam"]
    said = describe(stream, "moves", features, np.zeros(1), strange.slices["cam"])
    assert said == "something that moves as nothing did here before at upper right"
