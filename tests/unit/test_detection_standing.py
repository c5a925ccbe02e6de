"""What stands still, in the real scorer and in the scores that calibrate it."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from structlog.testing import capture_logs

from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.window import VideoSlice, Window
from pipeline.detection.scorer import Scorer
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


@lru_cache(maxsize=1_000)
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
    """Normal, then from second 305 to 505 a crate that somebody left, then normal again."""
    return [window(n, crate=305 <= n < 505) for n in range(300, 515)]


class Scored(NamedTuple):
    """What came of the windows scored one at a time.

    Attributes:
        p: How unlikely the things of each are.
        state: What is remembered after them.
        said: What was logged of what stands.
    """

    p: list[float]
    state: bytes
    said: list[tuple[str, str, str]]


@lru_cache(maxsize=1)
def scored() -> Scored:
    live = scorer()
    with capture_logs() as logged:
        found = [live.score([one])[0].detectors[THINGS] for one in watched()]
    said = [(e["event"], e["scene"], e["stream"]) for e in logged if "stands" in e["event"]]
    return Scored(found, live.state("hall"), said)


def test_a_crate_that_was_left_is_told_for_minutes_and_is_background_then():
    found = scored().p
    assert min(found[:5]) > 0.1
    assert max(found[8:135]) < 1e-4
    assert np.median(found[190:203]) > 0.1
    assert min(found[207:]) > 0.01


def test_it_is_said_once_that_something_is_background_now():
    assert scored().said == [("what stands still is background now", "hall", "cam")]


def test_after_restarts_and_in_batches_it_goes_on_as_if_nothing_had_happened():
    found: list[float] = []
    state, windows = scorer().state("hall"), watched()
    for first in range(0, len(windows), 20):
        live = scorer()
        live.restore("hall", state)
        found += [one.detectors[THINGS] for one in live.score(windows[first : first + 20])]
        state = live.state("hall")
    assert (found, state) == (scored().p, scored().state)


def test_a_state_of_an_older_version_begins_with_nothing_that_stands():
    older = msgspec.msgpack.decode(scored().state)
    assert older.pop("standing")
    live = scorer()
    live.restore("hall", msgspec.msgpack.encode(older))
    assert live.live("hall").standing.state() == scorer().live("hall").standing.state()


def test_a_window_that_is_scored_again_later_leaves_what_stands_as_it_is():
    live = scorer()
    live.restore("hall", scored().state)
    stands = live.live("hall").standing.state()
    live.score(watched()[20:24])
    assert live.live("hall").standing.state() == stands


def test_held_out_normal_is_judged_as_if_it_had_been_watched():
    settings = QUICK.model_copy(update={"block_s": 600.0})
    rows = NormalRows("hall", settings)
    for second in range(460):
        rows.add(window(second, crate=second >= 240))
    data = rows.finish()
    (held,) = cross_fit(rows, data, settings, lambda *_: None)
    new = held.raw.objects[:, 0].numpy()  # the second half by what was learnt of the first
    assert new[230:239].max() < 1.0
    assert new[243:375].min() > 5.0
    assert np.median(new[435:]) < 1.0
