"""Windows of scenes that hold nothing but slow readings."""

from __future__ import annotations

import pytest

from nodes.window_fit import better_window, short_windows, window_for
from pipeline.core.sample import Modality, StreamInfo


def sensor(rate_hz: float | None, name: str = "plc") -> StreamInfo:
    return StreamInfo(name, Modality.SENSOR, rate_hz, (1,), "float64", "", ("v",))


@pytest.mark.parametrize(
    ("rates_hz", "window_s", "better"),
    [
        ((1.0,), 2.0, (20.0, 1.0)),
        ((1.0,), 5.0, None),
        ((2.5,), 2.0, None),
        ((2.0, 0.1), 2.0, (20.0, 0.5)),
        ((1 / 60,), 120.0, (600.0, 60.0)),
        ((1 / 7,), 2.0, (70.0, 7.0)),
        ((None, 1.0), 2.0, (20.0, 1.0)),
        ((None,), 2.0, None),
        ((), 2.0, None),
    ],
)
def test_a_window_holds_ten_readings_and_lasts_twenty_seconds_at_least(
    rates_hz: tuple[float | None, ...], window_s: float, better: tuple[float, float] | None
) -> None:
    assert better_window(rates_hz, window_s) == better


def test_it_is_said_where_nothing_in_the_scene_is_faster() -> None:
    said = short_windows([sensor(1.0), StreamInfo("log", Modality.TEXT)], 2.0)
    assert said is not None
    assert "windows of 2 s hold fewer than 5 readings" in said[0]
    assert "window_s of the scene to 20 and hop_s to 1;" in said[1]
    assert short_windows([sensor(1.0), sensor(10.0, "drive")], 2.0) is None
    camera = StreamInfo("cam", Modality.VIDEO, 10.0, (48, 64, 3))
    assert short_windows([sensor(1.0), camera], 2.0) is None


def test_a_camera_that_takes_a_picture_now_and_then_wants_four_in_a_window() -> None:
    def camera(rate_hz: float | None) -> StreamInfo:
        return StreamInfo("cam", Modality.VIDEO, rate_hz, (48, 64, 3))

    assert window_for([camera(1 / 30)], 2.0) == (120.0, 30.0)
    assert window_for([camera(1 / 30), sensor(1.0)], 2.0) == (120.0, 30.0)
    assert window_for([camera(1 / 30), camera(5.0)], 2.0) is None
    assert window_for([camera(1 / 30), camera(None)], 2.0) is None
    assert window_for([camera(1.0)], 2.0) is None
    microphone = StreamInfo("mic", Modality.AUDIO, 16_000.0, (1,), "int16")
    assert window_for([camera(1 / 30), microphone], 2.0) is None
    said = short_windows([camera(0.1)], 2.0)
    assert said is not None
    assert "hold fewer than 2 pictures of any camera" in said[0]
    assert "window_s of the scene to 40 and hop_s to 10" in said[1]
