"""What stands still, in the real scorer and in the scores that calibrate it."""

from __future__ import annotations

from functools import lru_cache

import msgspec
import numpy as np
import pytest
import torch
from structlog.testing import capture_logs

from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.window import VideoSlice, Window
from pipeline.detection.scorer import Scorer
from pipeline.detection.scoring_state import ScoringState
from pipeline.models.scene_model import SceneModel
from pipeline.models.settings import DetectorSettings
from pipeline.training.commissioning import commission
from pipeline.training.cross_fit import cross_fit
from pipeline.training.normal_rows import NormalRows

HEIGHT, WIDTH, RATE_HZ, FRAMES = 60, 100, 2, 4
HOP_NS, FIRST = 10**9, 1_700_000_000
CAMERA = StreamInfo("cam", Modality.VIDEO, RATE_HZ, (HEIGHT, WIDTH, 3), "uint8")
QUICK = DetectorSettings(block_s=10.0, folds=2, place_memory=60, memory=100, evidence=())
THINGS = "things:cam"


@lru_cache(maxsize=400)
def picture(second: int, crate: bool, half: int) -> np.ndarray:
    """A hall in which somebody walks in every third second, perhaps with a crate on its floor."""
    random = np.random.default_rng([second, half])
    shown = 110 + random.normal(0, 1.5, (HEIGHT, WIDTH, 3))
    if second % 3 == 0:
        left = int(random.integers(0, WIDTH - 8))
        shown[20:50, left : left + 8] = (60, 40, 35)
    if crate:
        shown[42:58, 60:88] = (30, 120, 190)
    return shown.clip(0, 255).astype(np.uint8)


def window(second: int, crate: bool = False) -> Window:
    """Two seconds; the next window begins a second later."""
    start_ns = (FIRST + second) * HOP_NS
    grid = start_ns + np.arange(FRAMES, dtype=np.int64) * (10**9 // RATE_HZ)
    halves = [divmod(n, RATE_HZ) for n in range(second * RATE_HZ, second * RATE_HZ + FRAMES)]
    samples = tuple(
        Sample("cam", n, int(t), picture(*(s, crate, half)), Encoding.RAW)
        for n, ((s, half), t) in enumerate(zip(halves, grid, strict=True))
    )
    part = VideoSlice(CAMERA, grid, samples, np.ones(FRAMES, np.bool_), 1.0)
    return Window("hall", FIRST + second, start_ns, start_ns + 2 * HOP_NS, {"cam": part})


@lru_cache(maxsize=1)
def commissioned() -> SceneModel:
    torch.set_num_threads(1)
    return commission("hall", (window(n) for n in range(200)), QUICK)[0]


def scorer() -> Scorer:
    return Scorer({"hall": commissioned()}, "cpu")


def watched() -> list[Window]:
    """Normal, then a crate that somebody left, from second 310 to 430, then normal again."""
    return [window(n, crate=310 <= n < 430) for n in range(300, 440)]


@lru_cache(maxsize=1)
def scored() -> tuple[list[float], bytes]:
    """How unlikely the things of each window are, one window at a time; the state after them."""
    live = scorer()
    found = [live.score([one])[0].detectors[THINGS] for one in watched()]
    return found, live.state("hall")


def test_a_crate_that_was_left_raises_the_score_and_is_background_after_minutes():
    found, _ = scored()
    usual = min(found[:8])
    assert max(found[13:90]) < usual / 2
    assert min(found[106:128]) >= usual / 2
    assert min(found[133:]) >= usual / 2


def test_it_is_said_once_that_something_is_background_now():
    with capture_logs() as said:
        live = scorer()
        for one in watched():
            live.score([one])
    told = [line for line in said if "background now" in line["event"]]
    assert [(line["scene"], line["stream"]) for line in told] == [("hall", "cam")]


@pytest.mark.parametrize("together", [7, 140])
def test_scores_and_state_do_not_depend_on_how_many_windows_are_scored_at_once(together):
    live, windows = scorer(), watched()
    found = [
        score.detectors[THINGS]
        for first in range(0, len(windows), together)
        for score in live.score(windows[first : first + together])
    ]
    assert (found, live.state("hall")) == scored()


def test_after_a_restart_it_goes_on_as_if_nothing_had_happened():
    found: list[float] = []
    state = scorer().state("hall")
    for first in range(0, 140, 20):
        live = scorer()
        live.restore("hall", state)
        found += [one.detectors[THINGS] for one in live.score(watched()[first : first + 20])]
        state = live.state("hall")
    assert (found, state) == scored()


def test_a_state_of_an_older_version_begins_with_nothing_that_stands():
    _, state = scored()
    older = msgspec.msgpack.decode(state)
    assert older.pop("standing")
    live = scorer()
    live.restore("hall", msgspec.msgpack.encode(older))
    assert live.live("hall").standing.hiding == frozenset()
    now = msgspec.msgpack.decode(live.state("hall"), type=ScoringState)
    assert now.past == msgspec.msgpack.decode(state, type=ScoringState).past


def test_explaining_a_window_again_leaves_what_stands_as_it_is():
    live = scorer()
    first = live.score(watched()[:130])[-1]
    state = msgspec.msgpack.decode(live.state("hall"), type=ScoringState).standing
    again = live.score(watched()[20:21])[0]
    assert again.detectors[THINGS] >= first.detectors[THINGS]
    assert msgspec.msgpack.decode(live.state("hall"), type=ScoringState).standing == state


def test_held_out_normal_is_judged_as_if_it_had_been_watched():
    settings = QUICK.model_copy(update={"block_s": 600.0})
    rows = NormalRows("hall", settings)
    for second in range(400):
        rows.add(window(second, crate=260 <= second))
    data = rows.finish()
    (held,) = cross_fit(rows, data, settings, lambda *_: None)
    new = held.raw.objects[:, 0].numpy()  # the second half by what was learnt of the first
    crate, known = new[263:345], new[360:]
    assert crate.min() > 2 * np.quantile(new[:260], 0.9)
    assert np.median(known) == 0.0
