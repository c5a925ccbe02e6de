from functools import lru_cache

import numpy as np
import pytest
import torch

from pipeline.core.errors import ModelError
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.window import VideoSlice, Window
from pipeline.detection.scorer import Scorer
from pipeline.models.background import fit_background
from pipeline.models.checkpoint import load_model, save_model
from pipeline.models.objects import ObjectDensity, fit_objects, things_in
from pipeline.models.recent import Recent
from pipeline.models.settings import DetectorSettings
from pipeline.models.views import VIEWS, pack_views, unpack_view
from pipeline.models.wording import describe
from pipeline.training.commissioning import commission

HEIGHT, WIDTH = 60, 110
CAMERA = StreamInfo("cam", Modality.VIDEO, 4.0, (HEIGHT, WIDTH, 3), "uint8")
HOP_NS, FIRST = 500_000_000, 3_400_000_000
SHIRTS = ((40, 40, 190), (180, 60, 40), (60, 150, 60), (40, 160, 190), (150, 60, 150))
QUICK = DetectorSettings(block_s=10.0, folds=3, place_memory=60, memory=100)


def place(random: np.random.Generator, light: float = 1.0) -> np.ndarray:
    """A still place in some light, with the noise of a camera."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    grey = 110 + 30 * np.sin(columns / 13) + 15 * np.cos(rows / 9)
    picture = np.stack([grey, grey * 0.95, grey * 0.9], axis=-1) * light
    return (picture + random.normal(0, 1.5, picture.shape)).clip(0, 255).astype(np.uint8)


def person(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Somebody upright, dressed in one of a few colours, somewhere on the floor."""
    foot, left = int(random.integers(40, 56)), int(random.integers(2, WIDTH - 12))
    tall = foot // 2
    picture[foot - tall : foot - tall // 2, left : left + 8] = SHIRTS[random.integers(5)]
    picture[foot - tall // 2 : foot, left + 1 : left + 7] = (60, 40, 35)
    return picture


def animal(picture: np.ndarray, left: int = 40) -> np.ndarray:
    """Something low and long, of a colour that people wear."""
    picture[44:52, left : left + 22] = (60, 40, 35)
    return picture


def view(picture: np.ndarray) -> bytes:
    return pack_views([picture], 4.0, Recent())[0]


@lru_cache(maxsize=1)
def learnt() -> ObjectDensity:
    """A place where someone is in every other picture."""
    random = np.random.default_rng(0)
    pictures = [place(random) for _ in range(400)]
    shown = [person(p, random) if i % 2 else p for i, p in enumerate(pictures)]
    objects = fit_objects([[view(p)] for p in shown], 1000, 0)
    assert objects is not None
    return objects


def newness(*pictures: np.ndarray) -> float:
    return float(learnt().scores([[view(p) for p in pictures]])[0, 0])


def test_a_thing_of_a_new_shape_is_newer_than_anybody_who_passes():
    random = np.random.default_rng(1)
    passing = [newness(person(place(random), random)) for _ in range(60)]
    strange = [newness(animal(place(random), left)) for left in range(5, 80, 5)]
    assert min(strange) > np.quantile(passing, 0.95)
    assert np.median(strange) > 2 * np.median(passing)


def test_a_small_thing_of_a_new_colour_is_newer_than_anybody_who_passes():
    random = np.random.default_rng(2)
    passing = [newness(person(place(random), random)) for _ in range(60)]
    ball = place(random)
    ball[46:51, 50:55] = (20, 240, 250)
    assert newness(ball) > max(passing)


@pytest.mark.parametrize("light", [0.7, 0.85, 1.2])
def test_a_lamp_that_is_switched_shows_nothing_new(light):
    assert newness(place(np.random.default_rng(3), light)) == 0.0


def test_the_shadow_of_a_cloud_shows_nothing_new():
    soft = 1.0 - 0.08 * (1 + np.tanh((np.arange(WIDTH) - 50) / 15)) / 2
    shaded = place(np.random.default_rng(4)) * soft[None, :, None]
    assert newness(shaded.astype(np.uint8)) == 0.0


def test_what_is_left_standing_stays_new():
    random = np.random.default_rng(5)
    levels = [newness(*(animal(place(random)) for _ in range(VIEWS))) for _ in range(20)]
    assert min(levels) > 0.8 * max(levels) > 0


def test_what_flashes_in_one_view_only_does_not_count():
    random = np.random.default_rng(6)
    still = [place(random) for _ in range(VIEWS - 1)]
    assert newness(*still, animal(place(random))) == 0.0
    assert newness(*still[1:], animal(place(random)), animal(place(random))) > 0.0


def test_a_door_that_is_open_for_a_part_of_the_time_is_background():
    random = np.random.default_rng(7)
    pictures = [place(random) for _ in range(100)]
    for number in range(0, 100, 8):
        pictures[number][10:45, 80:100] = (30, 30, 30)
    background = fit_background(pictures)
    open_door, elsewhere = place(random), place(random)
    open_door[10:45, 80:100] = (30, 30, 30)
    elsewhere[10:45, 20:40] = (30, 30, 30)
    assert things_in(view(open_door), background) == []
    assert [(t.left, t.width) for t in things_in(view(elsewhere), background)] == [
        (pytest.approx(20, abs=2), pytest.approx(20, abs=4))
    ]


def test_whoever_works_at_one_place_now_and_then_is_seen_whole_there():
    random = np.random.default_rng(6)

    def worker(shirt: int) -> np.ndarray:
        picture = place(random)
        picture[26:40, 50:58], picture[40:54, 50:58] = SHIRTS[shirt], (60, 40, 35)
        return picture

    # 3 % of the pictures show somebody there, all in the same trousers.
    shown = {number: number % 4 for number in range(0, 200, 33)}
    pictures = [worker(shown[n]) if n in shown else place(random) for n in range(200)]
    background = fit_background(pictures)
    (seen,) = things_in(view(worker(4)), background)
    assert (seen.top, seen.height) == (pytest.approx(26, abs=1), pytest.approx(28, abs=2))


def test_a_place_where_nothing_ever_passes_tells_nothing_of_things():
    random = np.random.default_rng(8)
    assert fit_objects([[view(place(random))] for _ in range(40)], 100, 0) is None
    assert fit_objects([], 100, 0) is None
    with pytest.raises(ModelError, match="no picture"):
        fit_background([])


def test_learning_twice_gives_the_same():
    random = np.random.default_rng(9)
    views = [[view(person(place(random), random))] for _ in range(80)]
    first, second = fit_objects(views, 30, 0), fit_objects(views, 30, 0)
    assert first is not None and second is not None
    torch.testing.assert_close(first.things.memory, second.things.memory, rtol=0, atol=0)
    np.testing.assert_array_equal(first.background.colours, second.background.colours)


def test_views_are_spread_over_the_window_and_hardly_changed_by_packing():
    random = np.random.default_rng(10)
    frames = [(place(random) * (0.5 + i / 40)).astype(np.uint8) for i in range(20)]
    kept = [unpack_view(v).astype(int) for v in pack_views(frames, 4.0, Recent())]
    for number, picture in zip((2, 7, 12, 17), kept, strict=True):
        assert np.abs(picture - frames[number]).mean() < 2


def window(number: int, strange: bool = False) -> Window:
    """Two seconds in which somebody may walk; every half second from its own seed."""
    frames: list[np.ndarray] = []
    for hop in range(number, number + 4):
        random = np.random.default_rng(hop)
        someone = hop % 3 == 0
        pair = [place(random) for _ in range(2)]
        frames += [person(p, random) if someone else p for p in pair]
    if strange:
        frames = [animal(f, 80) for f in frames]
    start_ns = (FIRST + number) * HOP_NS
    grid = start_ns + np.arange(8, dtype=np.int64) * 250_000_000
    samples = tuple(Sample("cam", i, 0, f, Encoding.RAW) for i, f in enumerate(frames))
    part = VideoSlice(CAMERA, grid, samples, np.ones(8, np.bool_), 1.0)
    return Window("hall", FIRST + number, start_ns, start_ns + 4 * HOP_NS, {"cam": part})


def test_a_scene_learns_its_things_and_a_saved_model_finds_the_same_ones_and_says_where(tmp_path):
    torch.set_num_threads(1)
    model, _ = commission("hall", (window(i) for i in range(240)), QUICK)
    column = model.names.index("things:cam/objects")
    assert np.isfinite(model.held.scores[:, column]).all()
    save_model(model, tmp_path / "hall.model")
    loaded = load_model(tmp_path / "hall.model")
    odd = [window(i, strange=True) for i in range(300, 304)]
    before, after = (Scorer({"hall": m}, "cpu").score(odd) for m in (model, loaded))
    assert before == after
    found = model.score([model.features(odd[0])], [0], model.past(), torch.device("cpu"))[0][
        0, column
    ]
    assert found > model.held.scores[:, column].max()
    stream = loaded.streams[0]
    features = loaded.features(odd[0])["cam"]
    said = describe(stream, "objects", features, np.zeros(1), odd[0].slices["cam"])
    assert said == "something unlike anything seen here before at lower right"
