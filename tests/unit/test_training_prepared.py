import numpy as np
import pytest
import torch

from pipeline.core.errors import ModelError
from pipeline.training.labelled import UNKNOWN, kinds_of, label_scene
from pipeline.training.labelled_runs import LabelledRuns, pools_of
from pipeline.training.labels import Label
from pipeline.training.prepared import (
    DataSettings,
    PreparedScene,
    prepare_scene,
    split_normal,
    spread,
)
from tests.model_samples import one_thread  # noqa: F401 - a fixture
from tests.toy_causes import DATA, FIRST, ORIGIN_NS, network, readings, scene_of, windows

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def scene():
    """A minute, of which b is missing from second 20 to 25, with a gap of ten windows after."""
    values = readings(60)
    values["b"][200:250] = np.nan
    whole = windows(values)
    return prepare_scene(network(), whole[:60] + whole[70:], DATA)


def test_windows_are_kept_with_their_time_and_what_is_missing(scene):
    assert len(scene) == 107
    assert (scene.index[0], scene.index[-1]) == (FIRST, FIRST + 116)
    assert scene.start_ns[0] == ORIGIN_NS
    assert scene.present[:, 0].all()
    missing = np.flatnonzero(~scene.present[:, 1].numpy())
    assert missing.min() in (38, 39)
    assert torch.isnan(scene.inputs["b"][missing]).all()


def test_held_out_windows_share_no_moment_with_those_that_are_learnt_from(scene):
    split = scene.split(DataSettings(block_s=5.0, held_every=3))
    apart = np.abs(scene.index[split.learn][:, None] - scene.index[split.held])
    assert apart.min() * scene.hop_ns >= scene.length_ns
    assert len(split.held) > 20
    assert len(split.learn) > 40


def test_a_short_scene_is_split_all_the_same(scene):
    split = scene.split(DataSettings(block_s=600.0))
    assert len(split.held) >= 10
    assert len(split.learn) >= 50


def long_windows(count, length_s, hop_s):
    index = np.arange(count) + 10_000_000
    inputs, present = {"a": torch.zeros(count, 1)}, torch.ones(count, 1, dtype=torch.bool)
    return PreparedScene(inputs, present, index, int(length_s * 1e9), int(hop_s * 1e9))


@pytest.mark.parametrize(
    ("count", "length_s", "hop_s"),
    [(7200, 60, 0.5), (2000, 120, 10), (1440, 600, 60)],
)
def test_of_windows_longer_than_a_block_most_can_be_learnt_from(count, length_s, hop_s):
    scene = long_windows(count, length_s, hop_s)
    split = split_normal(scene, DataSettings())
    apart = np.abs(scene.index[split.learn][:, None] - scene.index[split.held])
    assert apart.min() * scene.hop_ns >= scene.length_ns
    assert len(split.learn) > 0.6 * count
    assert 0.1 * count < len(split.held) < 0.3 * count


@pytest.mark.parametrize(
    ("scene", "settings", "says"),
    [
        (long_windows(0, 2, 0.5), {}, "0 windows of normal time are too few.*at least 60"),
        (long_windows(59, 2, 0.5), {}, "59 windows of normal time.*a label touches"),
        (long_windows(100, 120, 1), {}, "20 windows to hold out and 0, not overlapping"),
        (long_windows(60, 2, 0.5), {"held_every": 50}, "0 windows to hold out and 60"),
    ],
    ids=["none", "few", "all overlap", "nothing held out"],
)
def test_too_little_normal_time_is_refused(scene, settings, says):
    with pytest.raises(ModelError, match=says):
        split_normal(scene, DataSettings(**settings))


def test_a_run_has_no_gap_and_stays_among_the_chosen(scene):
    chosen = np.setdiff1d(np.arange(len(scene)), [30])
    runs = scene.runs(chosen, 4)
    assert (np.diff(scene.index[runs], axis=1) == 1).all()
    assert not np.isin(runs, [30]).any()
    # 30 windows, 29 after the hole, 47 after the gap: three fewer runs in each
    assert len(runs) == 27 + 26 + 44


def test_a_window_is_found_by_its_place_on_the_grid(scene):
    asked = np.array([FIRST, FIRST + 59, FIRST + 60, FIRST + 70, FIRST + 500, FIRST - 1])
    assert scene.find(asked).tolist() == [0, 59, -1, 60, -1, -1]


def test_a_long_recording_is_thinned_out_by_whole_blocks():
    settings = DataSettings(max_windows=100, block_s=5.0)
    kept = prepare_scene(network(), windows(readings(90)), settings)
    blocks = np.unique(kept.index // 10)
    assert len(kept) <= 100
    assert (np.diff(blocks) == 2).all()
    assert kept.index[-1] > FIRST + 150


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (lambda w: w[:40], "40 windows are too few"),
        (lambda w: w[::-1], "comes after window"),
        (lambda w: [*w, w[0]], "give recordings in the order"),
    ],
)
def test_windows_that_cannot_be_learnt_are_refused(given, says):
    with pytest.raises(ModelError, match=says):
        prepare_scene(network(), given(windows(readings(40))), DATA)


def test_a_window_shows_the_label_that_covers_half_of_it_or_of_the_label():
    scene = scene_of(network(), readings(40))
    labels = [Label(10.0, 20.0, "long"), Label(30.0, 30.4, "brief")]
    labelled = label_scene(scene, labels, ORIGIN_NS, kinds_of(labels))
    assert labelled.kinds == ("normal", "brief", "long")
    starts = (scene.start_ns - ORIGIN_NS) / 1e9
    told = dict(zip(starts.tolist(), labelled.kind.tolist(), strict=True))
    assert [told[s] for s in (7.5, 8.0, 8.5, 9.0, 10.0, 19.0, 19.5, 20.0)] == [
        0, 0, UNKNOWN, 2, 2, 2, UNKNOWN, 0,
    ]  # fmt: skip
    assert [told[s] for s in (28.0, 28.5, 30.0, 30.5)] == [0, 1, 1, 0]


def test_every_window_in_which_a_moment_lies_shows_it():
    scene = scene_of(network(), readings(40))
    labels = [Label(10.0, 10.0, "knock"), Label(30.0, 34.0, "long"), Label(31.0, 31.0, "knock")]
    labelled = label_scene(scene, labels, ORIGIN_NS, kinds_of(labels))
    starts = (scene.start_ns - ORIGIN_NS) / 1e9
    told = dict(zip(starts.tolist(), labelled.kind.tolist(), strict=True))
    assert [told[s] for s in (8.0, 8.5, 10.0, 10.5)] == [0, 1, 1, 0]
    assert [told[s] for s in (30.0, 31.0)] == [2, 2]


def test_labels_of_another_time_are_refused():
    scene = scene_of(network(), readings(40))
    labels = [Label(100.0, 110.0, "late")]
    with pytest.raises(ModelError, match=r"no window shows a labelled event.*do they fit"):
        label_scene(scene, labels, ORIGIN_NS, kinds_of(labels))


def test_half_of_what_is_drawn_is_normal_and_rare_kinds_are_as_frequent_as_others():
    scene = scene_of(network(), readings(120))
    labels = [Label(10.0, 40.0, "common"), Label(60.0, 63.0, "rare")]
    labelled = label_scene(scene, labels, ORIGIN_NS, kinds_of(labels))
    runs = LabelledRuns(pools_of(labelled, np.arange(len(scene)), 3))
    drawn = runs.draw(4000, torch.Generator().manual_seed(0))
    assert drawn.batch.inputs["a"].shape[:2] == (4000, 3)
    shares = torch.bincount(drawn.kind) / 4000
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.25, 0.25]), atol=0.03, rtol=0)
    assert [int(part.kind[0]) for part in runs.judged(50)] == [0, 1, 2]


def test_what_is_spread_is_even_and_no_more_than_there_is():
    assert spread(np.arange(10), 5).tolist() == [0, 2, 4, 6, 8]
    assert spread(np.arange(3), 5).tolist() == [0, 1, 2]
