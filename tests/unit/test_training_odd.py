"""Learning the odd one out as commissioning does, from a scene's normal windows."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipeline.core.errors import ModelFileError
from pipeline.core.undated import undated_ns
from pipeline.core.window import Window
from pipeline.detection.scorer import Scorer
from pipeline.models.checkpoint import load_model, save_model
from pipeline.models.odd_settings import OddSettings
from pipeline.models.settings import DetectorSettings
from pipeline.training.abilities import abilities
from pipeline.training.commissioning import commission
from pipeline.training.cross_fit import Embedded
from pipeline.training.odd_training import learn_odd
from tests.toy_site import CAMERA, MICROPHONE, SENSORS, Site

LIVE, COUNT = 5000, 720
SMALL = OddSettings(
    steps=160, runs=8, run_s=6.0, members=1, spares=1, least_s=120.0, windows=4, hidden=32,
    width=16, dropout=0.1, noise=0.1, learning_rate=8e-3,
)  # fmt: skip
STREAMS = (CAMERA, MICROPHONE, SENSORS)


@lru_cache(maxsize=1)
def learnt():
    torch.set_num_threads(1)
    site = Site(streams=STREAMS)
    return commission("hall", site.windows(0, COUNT), DetectorSettings(odd=SMALL))


def odd_levels(scorer: Scorer, windows: list[Window]) -> list[float]:
    return [-np.log10(score.detectors.get("odd", 1.0)) for score in scorer.score(windows)]


def test_it_is_part_of_the_model_and_says_what_it_knows():
    model, report = learnt()
    assert model.odd is not None
    assert [n for n in model.names if n.startswith("odd/")] == [
        *("odd/cam", "odd/mic", "odd/plc", "odd/cam|mic", "odd/mic|cam"),
        *("odd/cam|plc", "odd/plc|cam", "odd/mic|plc", "odd/plc|mic"),
    ]
    assert report.detectors["odd"].windows == COUNT - SMALL.windows + 1
    assert any("doubt" in line for line in report.abilities.can)
    assert any("h UTC only" in line for line in report.abilities.cannot)


def test_recordings_without_a_date_have_seen_no_hours():
    model, _ = learnt()
    found = abilities(model, None, [undated_ns(9) + n * 10**9 for n in range(60)])
    assert not any("h UTC" in line for line in found.cannot)
    assert any("nothing says when its recordings were made" in line for line in found.cannot)


def test_a_picture_from_another_time_is_found():
    model, _ = learnt()
    now = list(Site(seed=1, streams=STREAMS).windows(LIVE, 120))
    other = list(Site(seed=1, streams=STREAMS).windows(LIVE + 318, 120))
    mixed = [
        replace(w, slices=w.slices | {"cam": o.slices["cam"]})
        for w, o in zip(now, other, strict=True)
    ]
    right = odd_levels(Scorer({"hall": model}, "cpu"), now)
    wrong = odd_levels(Scorer({"hall": model}, "cpu"), mixed)
    assert np.mean(wrong) > np.mean(right) + 0.3


def without(window: Window, *streams: str) -> Window:
    return replace(
        window, slices={name: part for name, part in window.slices.items() if name not in streams}
    )


def test_it_goes_on_without_a_stream_and_is_silent_until_two_were_there_for_a_while():
    model, _ = learnt()
    windows = list(Site(seed=1, streams=STREAMS).windows(LIVE, 18))
    windows[6:8] = [without(window, "mic") for window in windows[6:8]]
    windows[12] = without(windows[12], "mic", "cam")
    scores = Scorer({"hall": model}, "cpu").score(windows)
    silent = [n for n, score in enumerate(scores) if "odd" not in score.detectors]
    assert silent == [0, 1, 2, 12, 13, 14, 15]


def test_a_picture_from_another_time_is_found_without_the_sensors():
    model, _ = learnt()
    now = [without(w, "plc") for w in Site(seed=1, streams=STREAMS).windows(LIVE, 120)]
    other = Site(seed=1, streams=STREAMS).windows(LIVE + 318, 120)
    mixed = [
        replace(w, slices=w.slices | {"cam": o.slices["cam"]})
        for w, o in zip(now, other, strict=True)
    ]
    right = odd_levels(Scorer({"hall": model}, "cpu"), now)
    wrong = odd_levels(Scorer({"hall": model}, "cpu"), mixed)
    assert np.mean(wrong) > np.mean(right) + 0.2


def test_a_stream_that_comes_back_raises_nothing():
    model, _ = learnt()
    windows = list(Site(seed=1, streams=STREAMS).windows(LIVE, 240))
    away = [without(w, "mic") if n % 20 < 10 else w for n, w in enumerate(windows)]
    back = odd_levels(Scorer({"hall": model}, "cpu"), away)
    returns = [level for n, level in enumerate(back) if 10 <= n % 20 < 13]
    assert np.mean(np.array(returns) > 2) <= 0.03


def test_the_model_file_keeps_it_to_the_last_bit(tmp_path):
    model, _ = learnt()
    windows = list(Site(seed=1, streams=STREAMS).windows(LIVE, 8))
    saved = save_model(model, tmp_path / "hall.model")
    loaded = load_model(tmp_path / "hall.model")
    assert loaded.settings == model.settings
    ours, theirs = (Scorer({"hall": m}, "cpu").score(windows) for m in (saved, loaded))
    assert ours == theirs


def test_networks_of_other_settings_are_refused(tmp_path):
    model, _ = learnt()
    other = SMALL.model_copy(update={"hidden": 16})
    file = tmp_path / "hall.model"
    save_model(replace(model, settings=DetectorSettings(odd=other)), file)
    with pytest.raises(ModelFileError, match="does not fit"):
        load_model(file)


@pytest.mark.parametrize(("streams", "kept"), [(1, 3600), (3, 300)])
def test_one_stream_or_too_little_normal_teaches_nothing(streams, kept):
    values = tuple(torch.zeros(kept, 4, dtype=torch.float64) for _ in range(streams))
    rows = SimpleNamespace(kept=kept, hop_ns=500_000_000)
    seen = torch.ones(kept, streams, dtype=torch.bool)
    assert learn_odd(rows, Embedded(values, seen), OddSettings(), 0, lambda *_: None) is None


@pytest.mark.parametrize("away", [(), (4, 5), (6, 7)])
def test_after_a_crash_the_windows_before_it_are_remembered(away):
    model, _ = learnt()
    windows = list(Site(seed=1, streams=STREAMS).windows(LIVE, 12))
    for number in away:
        windows[number] = without(windows[number], "mic")
    whole = Scorer({"hall": model}, "cpu").score(windows)
    before, after = Scorer({"hall": model}, "cpu"), Scorer({"hall": model}, "cpu")
    first = before.score(windows[:7])
    after.restore("hall", before.state("hall"))
    assert [*first, *after.score(windows[7:])] == whole
    forgetful = Scorer({"hall": model}, "cpu").score(windows[7:])
    assert forgetful != whole[7:]
