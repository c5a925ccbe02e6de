"""What the encoders see of a window, and how it is scaled."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from pipeline.core.errors import ModelError
from pipeline.core.sample import Modality, StreamInfo
from pipeline.models.encoders.audio import AudioEncoder, AudioEncoderSettings
from pipeline.models.encoders.base import ENCODERS
from pipeline.models.encoders.binning import bin_means
from pipeline.models.encoders.frozen_features import FrozenFeaturesSettings
from pipeline.models.encoders.scaling import RobustScale
from pipeline.models.encoders.sensor_gru import SensorGruSettings
from pipeline.models.encoders.text import TextEncoder, TextEncoderSettings, line_grams
from pipeline.models.encoders.video import VideoEncoder, VideoEncoderSettings
from pipeline.models.picture import CELL_PX
from tests.model_samples import (
    CHANNELS,
    HEIGHT,
    INFOS,
    RATE,
    WIDTH,
    audio,
    one_thread,  # noqa: F401 - a fixture
    pictures,
    readings,
    sensor,
    sound,
    text,
    usual,
    video,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def test_maps_of_a_picture_are_those_of_every_pixel_taken_one_by_one():
    random = np.random.default_rng(0)
    encoder = VideoEncoderSettings().build(INFOS[Modality.VIDEO])
    frames = pictures(random, (20, 30))
    maps = encoder.prepare(video(list(frames)))
    grey = [cv2.cvtColor(f, cv2.COLOR_BGR2GRAY).astype(float) for f in frames[5:10]]
    change = np.stack(grey) - np.stack(
        [cv2.cvtColor(f, cv2.COLOR_BGR2GRAY).astype(float) for f in frames[4:9]]
    )
    light = np.median(cells(change), axis=(1, 2), keepdims=True)
    light = np.kron(light, np.ones((1, HEIGHT, WIDTH)))
    energy = np.sqrt(cells((change - light) ** 2))
    np.testing.assert_allclose(maps[1, 4], np.log(energy.mean(axis=0) + 0.5), atol=2e-3)
    np.testing.assert_allclose(maps[1, 5], np.log(energy.max(axis=0) + 0.5), atol=2e-3)
    mean = np.mean([f.astype(float) for f in frames[5:10]], axis=0)
    blue, green, red = (np.log(cells(mean[None, ..., c])[0] + 8) for c in range(3))
    np.testing.assert_allclose(maps[1, 1], blue - green - np.median(blue - green), atol=1e-3)
    np.testing.assert_allclose(maps[1, 2], red - green - np.median(red - green), atol=1e-3)


def cells(pictures_: np.ndarray) -> np.ndarray:
    count, height, width = pictures_.shape
    shape = (count, height // CELL_PX, CELL_PX, width // CELL_PX, CELL_PX)
    return pictures_.reshape(shape).mean(axis=(2, 4))


def test_a_lamp_that_dims_the_whole_picture_changes_the_maps_little():
    encoder = VideoEncoderSettings().build(INFOS[Modality.VIDEO])
    bright = pictures(np.random.default_rng(0))
    dim = [(f * 0.8).astype(np.uint8) for f in bright]
    difference = encoder.prepare(video(list(dim))) - encoder.prepare(video(list(bright)))
    assert np.abs(difference[:, :3]).max() < 0.06


def test_substeps_without_a_frame_are_missing_and_the_rest_is_seen():
    encoder = VideoEncoderSettings().build(INFOS[Modality.VIDEO])
    frames: list[np.ndarray | None] = list(pictures(np.random.default_rng(0)))
    frames[5:10] = [None] * 5
    maps = encoder.prepare(video(frames))
    assert np.isnan(maps[1]).all()
    assert np.isfinite(maps[[0, 2, 3]]).all()
    tokens = encoder(torch.from_numpy(maps)[None])
    assert tokens.present.all()


def test_any_frame_rate_gives_the_same_shape():
    encoder = VideoEncoderSettings().build(INFOS[Modality.VIDEO])
    for count in (4, 20, 60):
        frames = pictures(np.random.default_rng(0), count=count)
        assert encoder.prepare(video(list(frames))).shape == encoder.shape


def test_a_sound_keeps_its_time_and_its_band():
    encoder = AudioEncoderSettings().build(INFOS[Modality.AUDIO])
    assert isinstance(encoder, AudioEncoder)
    quiet = encoder.prepare(audio(sound(np.random.default_rng(0))))
    levels = encoder.prepare(audio(sound(np.random.default_rng(0), 1000.0, 1.0))) - quiet
    step, band = np.unravel_index(levels.argmax(), levels.shape)
    assert step / encoder.shape[0] * 2.0 == pytest.approx(1.05, abs=0.15)
    low, high = encoder.places[band // 4].removesuffix(" Hz").split(" to ")
    assert float(low) <= 1000 <= float(high)


def test_samples_that_were_not_heard_are_missing_steps():
    encoder = AudioEncoderSettings().build(INFOS[Modality.AUDIO])
    heard = np.ones(2 * RATE, np.bool_)
    heard[: RATE // 2] = False
    levels = encoder.prepare(audio(sound(np.random.default_rng(0)), heard))
    missing = np.isnan(levels).all(axis=1)
    assert missing[:7].all()
    assert not missing[9:].any()


def test_a_labelled_sound_that_ends_soon_is_heard_and_a_torn_one_is_not():
    encoder = AudioEncoderSettings().build(INFOS[Modality.AUDIO])
    heard = np.zeros(2 * RATE, np.bool_)
    heard[: RATE // 3] = True
    torn = audio(sound(np.random.default_rng(0)), heard)
    assert encoder.prepare(torn) is None
    levels = encoder.prepare(replace(torn, coverage=1.0))
    assert 3 <= np.isfinite(levels).all(axis=1).sum() <= 7  # a sixth of the steps
    gaps = audio(sound(np.random.default_rng(0)), np.arange(2 * RATE) % 40 < 30)
    assert gaps.coverage == 0.75
    assert encoder.prepare(gaps) is None  # not one frame is whole


def test_a_slow_sensor_is_repeated_and_a_fast_one_keeps_how_rough_it_is():
    slow = SensorGruSettings().build(INFOS[Modality.SENSOR])
    random = np.random.default_rng(0)
    assert slow.prepare(sensor(readings(random)[:3])).shape == slow.shape
    info = StreamInfo("vibration", Modality.SENSOR, 1000.0, (1,), channels=("x",))
    fast = SensorGruSettings().build(info)
    time = np.arange(2000) / 1000
    calm, rough = (
        fast.prepare(sensor(a * np.sin(2 * np.pi * 180 * time)[:, None])) for a in (1, 3)
    )
    assert np.abs(calm[0]).max() < 0.2  # what is faster than the steps is gone from the level
    np.testing.assert_allclose(rough[2], 3 * calm[2], rtol=1e-5)


def test_small_movements_of_a_large_value_are_not_lost():
    encoder = SensorGruSettings().build(INFOS[Modality.SENSOR])
    values = readings(np.random.default_rng(0))
    values[:, 0] = 1e12 + np.arange(20) * 0.01
    course = encoder.prepare(sensor(values))[1, :, 0]
    np.testing.assert_allclose(course, (np.arange(20) - 9.5) * 0.01, atol=2e-3)


def test_a_channel_that_is_hardly_there_is_missing():
    encoder = SensorGruSettings().build(INFOS[Modality.SENSOR])
    values = readings(np.random.default_rng(0))
    values[:15, 2] = np.nan
    prepared = encoder.prepare(sensor(values))
    assert np.isnan(prepared[:, :, 2]).all()
    present = encoder(torch.from_numpy(prepared)[None]).present[0]
    assert present.tolist() == [name != "pressure" for name in CHANNELS]


def test_silent_channels_hide_no_other_however_many_they_are():
    encoder = SensorGruSettings().build(INFOS[Modality.SENSOR])
    values = readings(np.random.default_rng(0))
    values[:, 1:] = np.nan
    prepared = encoder.prepare(sensor(values))
    present = encoder(torch.from_numpy(prepared)[None]).present[0]
    assert present.tolist() == [name == CHANNELS[0] for name in CHANNELS]
    values[:, 0] = np.nan
    assert encoder.prepare(sensor(values)) is None


def test_lines_with_other_numbers_are_the_same_line_and_other_words_are_not():
    assert line_grams("job 12 done in 3.5 s") == line_grams("Job 9931 done in 12 s")
    assert line_grams("job 12 failed") != line_grams("job 12 done")
    assert set(line_grams("pumps")) & set(line_grams("pump"))


def test_of_many_lines_the_last_are_read():
    encoder = TextEncoderSettings(lines=3).build(INFOS[Modality.TEXT])
    assert isinstance(encoder, TextEncoder)
    many = encoder.prepare(text(("a", "b", "door closed", "door opened", "heartbeat ok")))
    last = encoder.prepare(text(("door closed", "door opened", "heartbeat ok")))
    np.testing.assert_array_equal(many[:, 2:], last[:, 2:])
    assert many[0, 1] == pytest.approx(np.log(6))


def test_a_window_without_lines_is_not_a_window_that_was_not_watched():
    encoder = TextEncoderSettings(lines=3).build(INFOS[Modality.TEXT])
    silent = torch.from_numpy(encoder.prepare(text(())))
    tokens = encoder(torch.stack([silent, torch.full_like(silent, torch.nan)]))
    assert tokens.present.tolist() == [[True, False, False, False], [False] * 4]
    assert encoder.prepare(text((), coverage=0.0)) is None


@pytest.mark.parametrize("modality", sorted(set(Modality)))
def test_fixed_features_encode_every_modality(modality):
    encoder = FrozenFeaturesSettings(width=16).build(INFOS[modality])
    inputs = np.stack([encoder.prepare(usual(modality, seed)) for seed in range(8)])
    assert np.isfinite(inputs).all()
    encoder.fit_scale(torch.from_numpy(inputs))
    assert encoder(torch.from_numpy(inputs)).present.all()
    assert (len(encoder.boxes) > 0) == (modality is Modality.VIDEO)


def test_boxes_cover_the_picture_once():
    encoder = VideoEncoderSettings().build(INFOS[Modality.VIDEO])
    assert isinstance(encoder, VideoEncoder)
    area = sum((b - t) * (r - left) for t, left, b, r in encoder.boxes)
    assert area == pytest.approx(1.0)
    assert encoder.boxes[0][:2] == (0.0, 0.0)
    assert encoder.boxes[-1][2:] == (1.0, 1.0)


@pytest.mark.parametrize(
    ("kind", "info"),
    [
        ("video", StreamInfo("cam", Modality.VIDEO, 10.0)),
        ("audio", StreamInfo("mic", Modality.AUDIO)),
        ("frozen_features", StreamInfo("cam", Modality.VIDEO, 10.0)),
    ],
)
def test_a_stream_that_lacks_what_its_encoder_needs_is_refused(kind, info):
    with pytest.raises(ModelError):
        ENCODERS.settings(kind)().build(info)


def test_scaled_numbers_are_about_one_and_outliers_are_bent_but_keep_their_order():
    random = np.random.default_rng(0)
    inputs = torch.from_numpy(random.normal([5, -300], [0.01, 40], (4000, 2)).astype(np.float32))
    inputs[:20] = 1e9
    scale = RobustScale((2,))
    scale.fit(inputs)
    values, seen = scale(inputs[20:])
    assert seen.all()
    assert values.std(dim=0).tolist() == pytest.approx([1, 1], abs=0.1)
    far, _ = scale(torch.tensor([[5.1, 0.0], [5.2, 0.0], [1e9, torch.nan]]))
    assert 5 < far[0, 0] < far[1, 0] < far[2, 0] <= 8
    assert far[2, 1] == 0


def test_a_number_that_never_moved_is_not_blown_up():
    maps = torch.randn(500, 2, 3, 3)
    maps[:, 1, 0, 0] = 4.0 + 1e-6 * torch.randn(500)
    scale = RobustScale((2, 3, 3), kind_axes=(0,))
    scale.fit(maps)
    values, _ = scale(maps[:1] + 0.05)
    assert values[0, 1, 0, 0].abs() < 1
    still = RobustScale((1,))
    still.fit(torch.full((50, 1), 3.0))
    assert still(torch.tensor([[3.5]]))[0].item() == pytest.approx(0.5, abs=0.01)


def test_means_of_steps_are_those_of_what_is_finite():
    values = np.array([[1.0], [3.0], [np.nan], [5.0], [np.nan], [np.nan]])
    np.testing.assert_array_equal(bin_means(values, 3), [[2.0], [5.0], [np.nan]])
    np.testing.assert_array_equal(bin_means(values[:2], 4), [[1.0], [1.0], [3.0], [3.0]])
    np.testing.assert_array_equal(bin_means(values[:5], 2), [[2.0], [5.0]])
