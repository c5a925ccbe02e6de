"""What is said of a sensor's channel: what a person beside the machine would say."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch

from pipeline.core.sample import Modality, StreamInfo
from pipeline.core.window import SensorSlice, Window
from pipeline.models.scene_model import SceneModel
from pipeline.models.settings import DetectorSettings
from pipeline.models.wording import describe
from pipeline.training.commissioning import commission

HOP_NS = 500_000_000
FIRST = 3_400_000_000
READINGS = 20
RMS = 0
MACHINE = StreamInfo(
    "vibration", Modality.SENSOR, 10.0, (2,), "float64", unit="mm/s", channels=("rms", "rpm")
)
QUICK = DetectorSettings(block_s=10.0, folds=3, place_memory=60, memory=100, evidence=())

Change = Callable[[np.ndarray], None]


def window(number: int, change: Change | None = None) -> Window:
    """Two seconds of a machine that runs: its vibration level, which wanders, and its speed."""
    random = np.random.default_rng(number)
    level = 0.2 + 0.04 * np.sin(number / 7) + 0.004 * random.normal(size=READINGS)
    values = np.stack([level, 1480 + random.normal(size=READINGS)], axis=1)
    if change is not None:
        change(values)
    start_ns = (FIRST + number) * HOP_NS
    grid_ns = start_ns + np.arange(READINGS, dtype=np.int64) * 100_000_000
    part = SensorSlice(MACHINE, grid_ns, values, np.ones(values.shape, np.bool_), 1.0)
    name = MACHINE.name
    return Window("hall", FIRST + number, start_ns, start_ns + 4 * HOP_NS, {name: part})


@cache
def machine() -> SceneModel:
    torch.set_num_threads(1)
    return commission("hall", (window(i) for i in range(240)), QUICK)[0]


def said(change: Change) -> str:
    """What is said of a window when it is the vibration level that is unusual."""
    seen = window(500, change)
    features = machine().features(seen)[MACHINE.name]
    places = np.eye(len(MACHINE.channels))[RMS] * 5.0
    part = seen.slices[MACHINE.name]
    return describe(machine().streams[0], "local", features, places, part)


def times(factor: float, first: int, end: int = READINGS) -> Change:
    def change(values: np.ndarray) -> None:
        values[first:end, RMS] *= factor

    return change


def word(change: Change) -> str:
    """What is said of the vibration level, without figures."""
    told, _, figures = said(change).partition(" than usual (seen ")
    assert figures
    return told


@pytest.mark.parametrize("first", range(1, READINGS))
def test_a_vibration_that_triples_within_the_window_never_dips(first: int) -> None:
    usual = "rms higher" if first < 4 else "rms rising faster" if first < 17 else "rms peaking more"
    assert word(times(3.0, first)) == usual


def test_what_is_higher_is_told_by_the_level_and_what_is_usual_of_it() -> None:
    assert re.fullmatch(
        r"rms higher than usual \(seen 0\.6\d*, expected 0\.16\d* to 0\.2\d*\)", said(times(3.0, 2))
    )


@pytest.mark.parametrize("first", range(1, READINGS))
def test_a_level_that_falls_within_the_window_never_peaks(first: int) -> None:
    usual = "rms lower" if first < 4 else "rms falling faster" if first < 17 else "rms dipping more"
    assert word(times(0.3, first)) == usual


def test_what_is_brief_peaks_or_dips_and_what_lasts_is_a_level() -> None:
    middle = READINGS // 2
    assert word(times(3.0, middle, middle + 2)) == "rms peaking more"
    assert word(times(3.0, middle - 4, middle + 4)) == "rms higher"
    assert word(times(0.3, middle, middle + 2)) == "rms dipping more"


def test_a_dip_of_a_level_that_is_a_little_high_is_a_dip() -> None:
    def change(values: np.ndarray) -> None:
        values[:, RMS] *= 1.2
        values[9:11, RMS] = 0.0

    assert word(change) == "rms dipping more"


def test_a_dip_within_what_the_level_is_on_other_days_is_a_dip() -> None:
    def change(values: np.ndarray) -> None:
        values[:, RMS] += 0.235 - values[:, RMS].mean()
        values[9:11, RMS] -= 0.06

    assert word(change) == "rms dipping more"


def test_what_goes_up_and_down_swings() -> None:
    def change(values: np.ndarray) -> None:
        values[:, RMS] = 0.2 + 0.1 * np.sin(np.arange(READINGS))

    assert word(change) == "rms swinging more"
