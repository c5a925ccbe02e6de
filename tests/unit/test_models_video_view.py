"""A camera that looks elsewhere than it did, and what only looks like it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest

from pipeline.models.quality import Quality
from pipeline.models.video_view import View, ViewSum

HEIGHT, WIDTH = 90, 160
Grey = np.ndarray
LARGE = (3 * HEIGHT, 3 * WIDTH)


def place(seed: int = 0) -> Grey:
    """A yard larger than the picture: boxes and poles of all greys."""
    random = np.random.default_rng(seed)
    yard = np.full(LARGE, 120.0, np.float32)
    for _ in range(220):
        top, left = random.integers(0, LARGE[0] - 10), random.integers(0, LARGE[1] - 10)
        tall, wide = random.integers(4, 50, 2)
        yard[top : top + tall, left : left + wide] = random.uniform(30, 220)
    return yard


def picture(right: float = 0.0, down: float = 0.0, angle: float = 0.0, seed: int = 1) -> Grey:
    """What a camera shows of the yard; what it shows has moved by these, pixels and degrees."""
    turn = cv2.getRotationMatrix2D((1.5 * WIDTH, 1.5 * HEIGHT), angle, 1.0)
    turn[:, 2] += [right - WIDTH, down - HEIGHT]
    shown = cv2.warpAffine(place(), turn, (WIDTH, HEIGHT))
    return shown + np.random.default_rng(seed).normal(0, 2, shown.shape).astype(np.float32)


def passers(count: int) -> Iterator[Grey]:
    """The yard with somebody in it, in a light that changes."""
    for number in range(count):
        random = np.random.default_rng([7, number])
        shown = picture(seed=number) * random.uniform(0.7, 1.2)
        left = random.integers(0, WIDTH - 12)
        shown[40:80, left : left + 12] = random.uniform(20, 230)
        yield shown


@pytest.fixture(scope="module")
def view() -> View:
    learnt = ViewSum()
    for shown in passers(60):
        learnt.add(shown)
    found = learnt.learn()
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("right", "down", "angle", "said"),
    [
        (-16, 0, 0, "moved by about 10 % of the width to the right"),
        (11, 0, 0, "moved by about 7 % of the width to the left"),
        (48, 14, 0, "moved by about 30 % of the width to the left and 15 % of the height up"),
        (0, -18, 0, "moved by about 20 % of the height down"),
        (0, 0, 8, "moved by about 8 degrees clockwise"),
        (16, 0, -12, "moved by about 9 % of the width to the left and 12 degrees counterclockwise"),
    ],
)
def test_how_far_a_camera_was_moved_is_told(
    view: View, right: int, down: int, angle: int, said: str
) -> None:
    assert view.quality(picture(right, down, angle)) == Quality(0.0, said)


def lorry(shown: Grey) -> Grey:
    random = np.random.default_rng(5)
    shown = shown.copy()
    shown[8:, 4:] = 180
    for _ in range(12):
        row, column = random.integers(8, HEIGHT), random.integers(4, WIDTH)
        shown[row : row + 2, 4:] *= 0.7
        shown[8:, column : column + 2] *= 1.2
    return shown


def sun(shown: Grey) -> Grey:
    """Bright on one side, dark on the other."""
    return np.clip(shown * np.linspace(0.5, 1.7, WIDTH, dtype=np.float32), 0, 255)


@pytest.mark.parametrize(
    "change",
    [
        lambda shown: shown,
        lorry,
        sun,
        lambda shown: shown * np.float32(0.3),
        lambda shown: shown * np.float32(0.2) + 150,
        lambda shown: np.full_like(shown, 90),
        lambda shown: cv2.GaussianBlur(shown, (0, 0), 4),
        lambda shown: np.roll(shown, (1, -2), (0, 1)),
        lambda shown: shown[::-1, ::-1].copy(),
    ],
    ids=["well", "lorry", "sun", "dusk", "fog", "lens cap", "unfocused", "wind", "elsewhere"],
)
def test_what_hides_or_changes_the_view_is_no_move(
    view: View, change: Callable[[Grey], Grey]
) -> None:
    assert view.quality(change(picture(seed=99))) == Quality(1.0)


def test_a_camera_is_well_again_once_it_is_put_back(view: View) -> None:
    moved = view.quality(picture(right=24))
    assert (moved.weight, view.quality(picture(right=1)).weight) == (0.0, 1.0)


def test_water_and_leaves_have_no_view_to_move_from() -> None:
    learnt = ViewSum()
    for number in range(40):
        rough = np.random.default_rng(number).normal(120, 60, (HEIGHT, WIDTH))
        learnt.add(cv2.GaussianBlur(rough, (0, 0), 3).astype(np.float32))
    assert learnt.learn() is None


def test_a_camera_that_showed_nothing_has_no_view() -> None:
    blank, nothing = ViewSum(), ViewSum()
    blank.add(np.zeros((HEIGHT, WIDTH), np.float32))
    nothing.add(None)
    assert blank.learn() is nothing.learn() is None


def test_pictures_of_another_shape_are_not_judged(view: View) -> None:
    assert view.quality(picture()[:, : WIDTH // 2]) == Quality(1.0)
    assert view.quality(None) == Quality(1.0)
