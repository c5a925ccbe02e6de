"""Loudness and motion of a window: the plain levels that scores are compared with."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.window import AudioSlice, SensorSlice, VideoSlice, Window
from pipeline.training.levels import levels_of


def test_loudness_and_motion_are_those_of_the_window() -> None:
    camera = StreamInfo("cam", Modality.VIDEO, 2.0, (4, 4, 3), "uint8")
    sound = StreamInfo("mic", Modality.AUDIO, 10.0, (1,), "float32")
    dark, light = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 30, np.uint8)
    frames = tuple(Sample("cam", n, n, f, Encoding.RAW) for n, f in enumerate((dark, light, dark)))
    heard = np.array([[0.1], [-0.1], [9.0]], np.float32)
    grid = np.arange(3, dtype=np.int64)
    slices = {
        "cam": VideoSlice(camera, grid, (*frames, None), np.ones(4, bool), 1.0),
        "mic": AudioSlice(sound, heard, np.array([True, True, False]), 0.7),
    }
    found = levels_of(Window("hall", 0, 0, 1, slices))
    assert found["motion:cam"] == 30.0
    assert found["loudness:mic"] == pytest.approx(-20.0, abs=1e-3)


def test_what_was_not_seen_has_no_level() -> None:
    camera = StreamInfo("cam", Modality.VIDEO, 2.0, (4, 4, 3), "uint8")
    plc = StreamInfo("plc", Modality.SENSOR, 1.0, (1,), "float64", "", ("x",))
    grid = np.zeros(1, np.int64)
    slices = {
        "cam": VideoSlice(camera, grid, (None,), np.zeros(1, bool), 0.0),
        "plc": SensorSlice(plc, grid, np.zeros((1, 1)), np.ones((1, 1), bool), 1.0),
    }
    assert levels_of(Window("hall", 0, 0, 1, slices)) == {}
