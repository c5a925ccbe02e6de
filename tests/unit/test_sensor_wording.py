"""What is said of a sensor's channel: what a person beside the machine would say."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from pipeline.core.sample import Modality, StreamInfo
from pipeline.core.window import SensorSlice, Window
from pipeline.detection.explanation_channels import unusual_channels
from pipeline.models.scene_model import SceneModel
from pipeline.models.settings import DetectorSettings
from pipeline.models.usual_range import usual_range
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


SERVER = StreamInfo("server", Modality.SENSOR, 0.1, (2,), "float64", channels=("load", "heat"))
QUARTER_NS = 900 * 10**9
PER_DAY = 96
NIGHT = PER_DAY // 24  # windows after midnight


def quarter(number: int, load: float | None = None) -> Window:
    """Two minutes of a server that has more to do by day, and is as warm at any time."""
    random = np.random.default_rng(number)
    first = 18_996 * PER_DAY + number  # a midnight, UTC
    grid_ns = first * QUARTER_NS + np.arange(12, dtype=np.int64) * 10**10
    daily = 50 - 40 * np.cos(2 * np.pi * number / PER_DAY)
    usual = daily if load is None else load
    values = np.stack([np.full(12, usual), np.full(12, 20.0)], axis=1)
    values += random.normal(0, (1.5, 0.3), (12, 2))
    part = SensorSlice(SERVER, grid_ns, values, np.ones(values.shape, np.bool_), 1.0)
    start_ns = first * QUARTER_NS
    return Window("hall", first, start_ns, start_ns + 120 * 10**9, {SERVER.name: part})


@cache
def server() -> SceneModel:
    torch.set_num_threads(1)
    settings = QUICK.model_copy(update={"block_s": 3600.0})
    return commission("hall", (quarter(i) for i in range(5 * PER_DAY)), settings)[0]


def expected(number: int, load: float) -> tuple[float, float]:
    """What the load is said to be expected to be, by words and by figures alike."""
    stream, running = server().streams[0], server().running()
    for before in range(5 * PER_DAY, number):
        running.follow(server().features(quarter(before)))
    seen, levels = quarter(number, load), np.array([5.0, 0.0])
    features = running.follow(server().features(seen))[SERVER.name]
    told = describe(stream, "local", features, levels, seen.slices[SERVER.name])
    found = re.search(r"higher than usual \(seen .*, expected (.*) to (.*)\)", told)
    assert found, told
    (shown,) = unusual_channels(stream, features, levels)
    assert (shown.low, shown.high) == pytest.approx([float(one) for one in found.groups()], 0.01)
    assert shown.high < shown.seen
    return shown.low, shown.high


def test_what_a_channel_is_expected_to_read_follows_the_time_of_day_as_its_judge_does() -> None:
    low, high = expected(5 * PER_DAY + NIGHT, load=80.0)
    assert low < 12 < high < 40
    low, high = expected(5 * PER_DAY + PER_DAY // 2, load=130.0)
    assert 60 < low < 90 < high


def test_what_a_channel_is_expected_to_read_follows_its_level_of_the_last_hours() -> None:
    stream = server().streams[0]
    features = server().features(quarter(5 * PER_DAY + NIGHT))[SERVER.name]
    as_learnt, higher = (
        usual_range(stream, replace(features, shift=np.array([0.0, shift])), 1, 0)
        for shift in (0.0, 2.5)
    )
    assert higher == pytest.approx([end + 2.5 for end in as_learnt])
    assert usual_range(stream, features, 1, 0) == tuple(stream.usual[:, 1, 0])
