"""Which frame of a window shows what a box is around."""

import numpy as np

from pipeline.core.explanation import Box
from pipeline.core.sample import Encoding, Sample
from pipeline.detection.telling_frame import telling

BOX = Box("cam", top=0.5, left=0.5, bottom=1.0, right=1.0, level=3.0)


def frame(at, *, inside=False, noise=2):
    """An empty floor, with a thing in the box or beside it."""
    picture = np.random.default_rng(at).integers(90, 90 + noise, (40, 60, 3)).astype(np.uint8)
    left = 40 if inside else 5
    picture[25:35, left : left + 10] = 200
    return Sample("cam", at, at, picture, Encoding.RAW)


def test_it_is_the_frame_in_which_the_thing_is_in_the_box():
    frames = [frame(at, inside=at == 3) for at in range(10)]
    assert telling(frames, BOX) is frames[3]


def test_it_is_the_latest_when_they_are_alike():
    frames = [frame(at) for at in range(10)]
    assert telling(frames, BOX) is frames[-1]


def test_a_damaged_frame_is_passed_over():
    damaged = Sample("cam", 10, 10, b"no picture", Encoding.JPEG)
    assert telling([damaged], BOX) is None
    frames = [frame(0), frame(1, inside=True), frame(2), damaged]
    assert telling(frames, BOX) is frames[1]


def test_a_box_without_room_is_looked_at_all_the_same():
    line = Box("cam", top=1.0, left=0.2, bottom=1.0, right=0.2, level=3.0)
    assert telling([frame(0)], line) is not None
