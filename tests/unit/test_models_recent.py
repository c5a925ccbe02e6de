"""What windows share must not show: the same bits with it, without it, and after it was lost."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.window import VideoSlice
from pipeline.models.objects import fit_objects
from pipeline.models.packing import pack
from pipeline.models.picture import prepare_picture
from pipeline.models.recent import Recent
from pipeline.models.video_features import VideoFeatures
from pipeline.models.views import pack_views

CELLS, HEIGHT, WIDTH = 24, 40, 60
CAMERA = StreamInfo("cam", Modality.VIDEO, 10.0, (HEIGHT, WIDTH, 3), "uint8")


class Counted:
    """Adds up, and counts how often it is asked."""

    def __init__(self):
        self.calls = 0

    def __call__(self, *numbers):
        self.calls += 1
        return sum(one[0] for one in numbers)


def test_what_two_calls_share_is_made_once_and_what_is_gone_is_forgotten():
    things, add, recent = [[n] for n in range(6)], Counted(), Recent()
    assert recent.each(zip(things[:4], strict=True), add) == [0, 1, 2, 3]
    assert recent.each(zip(things[2:], strict=True), add) == [2, 3, 4, 5]
    assert add.calls == 6
    assert len(recent) == 4
    assert recent.each(zip(things[:1], strict=True), add) == [0]
    assert add.calls == 7


def test_equal_things_that_are_not_the_same_are_not_mixed_up():
    add, recent = Counted(), Recent()
    once = [1]
    assert recent.each([(once,), ([1],), (once,)], add) == [1, 1, 1]
    assert add.calls == 2


def test_several_arguments_are_known_together():
    things, add, recent = [[n] for n in range(5)], Counted(), Recent()
    assert recent.each(pairwise(things[:4]), add) == [1, 3, 5]
    assert recent.each(pairwise(things[1:]), add) == [3, 5, 7]
    assert add.calls == 4


def test_made_at_once_is_as_made_one_by_one():
    things = [[n] for n in range(5)]
    recent = Recent()
    for first in (0, 1, 0, 3):
        some = list(pairwise(things[first:]))
        told = recent.at_once(some, lambda a, b: [x[0] * y[0] for x, y in zip(a, b, strict=True)])
        assert told == [a[0] * b[0] for a, b in some]


def test_nothing_is_nothing():
    assert Recent().each([], Counted()) == []


def test_what_fails_leaves_what_was_known():
    recent, things = Recent(), [[1], [2]]
    recent.each(zip(things[:1], strict=True), Counted())
    with pytest.raises(ZeroDivisionError):
        recent.each(zip(things, strict=True), lambda one: 1 // 0)
    assert len(recent) == 1


def samples(chance: np.random.Generator, count: int) -> list[Sample | None]:
    """Frames as they may come: small already, as JPEG, of another size, damaged, or not at all."""
    found: list[Sample | None] = []
    for n in range(count):
        picture = chance.integers(0, 256, (2 * HEIGHT, 2 * WIDTH, 3), dtype=np.uint8)
        jpeg = simplejpeg.encode_jpeg(picture, colorspace="BGR")
        raw = Sample("cam", n, n, picture, Encoding.RAW)
        kinds = [
            prepare_picture(raw, CELLS),
            raw,
            Sample("cam", n, n, jpeg, Encoding.JPEG),
            Sample("cam", n, n, jpeg[:200], Encoding.JPEG),
            None,
        ]
        found.append(kinds[chance.choice(5, p=[0.5, 0.15, 0.2, 0.05, 0.1])])
    return found


def window(frames: list[Sample | None]) -> VideoSlice:
    present = np.array([f is not None for f in frames])
    return VideoSlice(CAMERA, np.arange(len(frames)), tuple(frames), present, present.mean())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), hops=st.lists(st.integers(-8, 12), max_size=6))
def test_features_do_not_depend_on_what_was_seen_before(seed, hops):
    frames, first = samples(np.random.default_rng(seed), 40), 10
    kept = VideoFeatures(CAMERA, CELLS, 0.5)
    for hop in [0, *hops]:
        first = min(max(first + hop, 0), 30)
        part = window(frames[first : first + 10])
        told, alone = kept.extract(part), VideoFeatures(CAMERA, CELLS, 0.5).extract(part)
        assert (told is None) == (alone is None)
        if told is not None and alone is not None:
            assert told.places.tobytes() == alone.places.tobytes()
            assert told.views == alone.views


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    """An empty place in noise, where something passes in two of three."""
    chance = np.random.default_rng(0)
    found = []
    for n in range(120):
        picture = chance.normal(120, 1.5, (HEIGHT, WIDTH, 3)).clip(0, 255).astype(np.uint8)
        if n % 3:
            top, left = chance.integers(0, 20), chance.integers(0, 50)
            picture[top : top + 15, left : left + 6] = chance.integers(0, 256, 3)
        found.append(picture)
    return found


def test_things_do_not_depend_on_what_was_seen_before(pictures):
    recent: Recent[bytes] = Recent()
    views = [pack_views(pictures[n : n + 8], 10.0, recent) for n in range(112)]
    kept, views = fit_objects(views[:60], 200, 0), views[60:]
    assert kept is not None
    alone = [replace(kept).scores([one])[0].tolist() for one in views]
    assert [kept.scores([one])[0].tolist() for one in views] == alone
    assert kept.scores(views).tolist() == alone
    assert len(set(map(tuple, alone))) > 10
    newest = [replace(kept).newest_of(one) for one in views]
    for one, expected in zip(views, newest, strict=True):
        kept.scores([one])
        told = kept.newest_of(one)
        assert (told is None) == (expected is None)
        assert told is None or told.numbers.tobytes() == expected.numbers.tobytes()


def test_what_is_remembered_is_not_part_of_a_model_file(pictures):
    kept = fit_objects(
        [pack_views(pictures[n : n + 8], 10.0, Recent()) for n in range(100)], 200, 0
    )
    assert kept is not None
    before = pack("things", kept)
    kept.scores([pack_views(pictures[:8], 10.0, Recent())])
    assert len(kept.recent)
    assert pack("things", kept).keys() == before.keys()
    assert not len(replace(kept).recent)
