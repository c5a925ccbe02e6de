import warnings

import cv2
import numpy as np
import pytest
import simplejpeg

from pipeline.core.errors import BadReading, ModelError
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.window import AudioSlice, SensorSlice, TextSlice, VideoSlice
from pipeline.models.audio_features import AudioFeatures
from pipeline.models.picture import CELL_PX, grid_shape, prepare_picture
from pipeline.models.sensor_features import SensorFeatures
from pipeline.models.settings import DetectorSettings
from pipeline.models.stream_model import make_extractor
from pipeline.models.text_features import TextFeatures, line_vector
from pipeline.models.video_features import VideoFeatures

CELLS = 144


def picture(height: int = 120, width: int = 160) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    base = 120 + 50 * np.sin(columns / 17) + 30 * np.cos(rows / 11)
    return np.stack([base, base * 0.8, base * 0.7], axis=-1).astype(np.uint8)


def raw(data: np.ndarray) -> Sample:
    return Sample("cam", 0, 0, data, Encoding.RAW)


def video(frames: list[np.ndarray | None]) -> VideoSlice:
    info = StreamInfo("cam", Modality.VIDEO, 10.0, (120, 160, 3), "uint8")
    present = np.array([f is not None for f in frames])
    samples = tuple(None if f is None else prepare_picture(raw(f), CELLS) for f in frames)
    return VideoSlice(info, np.arange(len(frames)), samples, present, float(present.mean()))


def video_places(frames: list[np.ndarray | None]) -> np.ndarray:
    part = video(frames)
    features = VideoFeatures(part.info, CELLS, 0.5).extract(part)
    assert features is not None
    return features.places


@pytest.mark.parametrize(
    "size", [(1080, 1920), (720, 1280), (480, 640), (90, 160), (64, 96), (1920, 1080), (7, 900)]
)
def test_a_prepared_picture_is_not_changed_by_preparing_it_again(size):
    once = prepare_picture(raw(np.full((*size, 3), 90, np.uint8)), CELLS)
    assert prepare_picture(once, CELLS) is once
    rows, columns = grid_shape(*size, CELLS)
    assert once.data.shape == (rows * CELL_PX, columns * CELL_PX, 3)
    assert rows * columns <= CELLS


@pytest.mark.parametrize("size", [(720, 1280), (480, 640), (360, 640), (51, 67)])
def test_a_jpeg_becomes_the_picture_that_its_raw_frame_becomes(size):
    frame = picture(*size)
    jpeg = simplejpeg.encode_jpeg(frame, quality=95, colorspace="BGR")
    packed = Sample("cam", 0, 0, jpeg, Encoding.JPEG)
    small = prepare_picture(packed, CELLS).data
    reference = prepare_picture(raw(frame), CELLS).data
    assert small.shape == reference.shape
    assert np.abs(small.astype(int) - reference.astype(int)).mean() < 4


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff\xe0 not a picture", b"\x00" * 500])
def test_a_damaged_jpeg_is_a_bad_reading(data):
    with pytest.raises(BadReading, match="cam"):
        prepare_picture(Sample("cam", 0, 0, data, Encoding.JPEG), CELLS)


def test_a_truncated_jpeg_is_a_bad_reading_or_a_whole_picture():
    jpeg = simplejpeg.encode_jpeg(picture(), quality=90, colorspace="BGR")
    try:
        small = prepare_picture(Sample("cam", 0, 0, jpeg[:600], Encoding.JPEG), CELLS)
    except BadReading:
        return
    assert small.data.shape[2] == 3


@pytest.mark.parametrize("data", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_an_array_that_is_no_picture_is_a_bad_reading(data):
    with pytest.raises(BadReading):
        prepare_picture(raw(data), CELLS)


def test_samples_that_are_not_pictures_pass_through():
    sample = Sample("plc", 0, 0, np.zeros(3), Encoding.FLOAT)
    assert prepare_picture(sample, CELLS) is sample


def test_a_step_of_light_hardly_looks_like_motion():
    still = [picture()] * 10
    step = still[:5] + [np.clip(f * 1.2, 0, 255).astype(np.uint8) for f in still[5:]]
    moving = [f.copy() for f in still]
    for i, frame in enumerate(moving):
        frame[40:70, 20 + 8 * i : 50 + 8 * i] = 10
    motion = VideoFeatures.columns.index("motion")
    still_level = video_places(still)[:, motion]
    step_level = video_places(step)[:, motion] - still_level
    moving_level = video_places(moving)[:, motion] - still_level
    assert np.median(step_level) < 1.0
    assert moving_level.max() > 3.0


def test_things_move_no_more_where_pictures_are_missing():
    random = np.random.default_rng(0)
    moving = [picture() + random.integers(0, 5, (120, 160, 3), np.uint8) for _ in range(20)]
    for i, frame in enumerate(moving):
        frame[40:70, 20 + 3 * i : 50 + 3 * i] = 10
    motion = [n for n, name in enumerate(VideoFeatures.columns) if name == "motion"]
    whole = video_places(moving)[:, motion]
    assert whole.max() > whole.min() + 1.5
    for lost in (range(1, 20, 2), (2, 3, 7, 11, 12, 13, 18)):
        lossy = video_places([None if n in lost else frame for n, frame in enumerate(moving)])
        more = lossy[:, motion] - whole  # on average, and at most
        assert more[:, 0].max() < 0.35
        assert more[:, 1].max() < 0.75
        assert np.abs(more).mean() < 0.1


def test_a_brighter_picture_looks_the_same_but_a_new_object_does_not():
    frame = (picture() * 0.7).astype(np.uint8)
    normal = video_places([frame] * 6)[:, :3]
    brighter = video_places([(frame * 1.25).astype(np.uint8)] * 6)[:, :3]
    strange = frame.copy()
    strange[30:60, 30:60] = (20, 20, 230)
    other = video_places([strange] * 6)[:, :3]
    assert np.abs(brighter - normal).max() < 0.12
    assert np.abs(other - normal).max() > 1.0


def test_frames_that_are_missing_or_unreadable_leave_the_rest_in_use():
    frames = [picture()] * 10
    part = video([None, *frames[1:7], None, None, *frames[9:]])
    broken = Sample("cam", 0, 0, b"no jpeg", Encoding.JPEG)
    part = VideoSlice(part.info, part.grid_ns, (broken, *part.frames[1:]), part.present, 0.7)
    features = VideoFeatures(part.info, CELLS, 0.5).extract(part)
    assert features is not None
    assert np.isfinite(features.places).all()


def test_a_picture_mostly_missing_is_not_scored():
    part = video([picture(), picture(), *[None] * 8])
    assert VideoFeatures(part.info, CELLS, 0.5).extract(part) is None


def test_full_size_frames_give_what_prepared_ones_give():
    frame = picture(480, 640)
    info = StreamInfo("cam", Modality.VIDEO, 10.0, (480, 640, 3), "uint8")
    extractor = VideoFeatures(info, CELLS, 0.5)
    whole = VideoSlice(info, np.arange(4), (raw(frame),) * 4, np.ones(4, bool), 1.0)
    small = VideoSlice(
        info, np.arange(4), (prepare_picture(raw(frame), CELLS),) * 4, np.ones(4, bool), 1.0
    )
    np.testing.assert_array_equal(extractor.extract(whole).places, extractor.extract(small).places)


def sound(samples: np.ndarray, rate: float, present: np.ndarray | None = None) -> AudioSlice:
    info = StreamInfo("mic", Modality.AUDIO, rate, (1,), "float32")
    heard = np.ones(len(samples), bool) if present is None else present
    return AudioSlice(info, samples.astype(np.float32)[:, None], heard, float(heard.mean()))


@pytest.mark.parametrize("rate", [200, 1000, 8000, 16000, 22050, 44100, 48000])
def test_a_tone_shows_in_the_band_that_names_it(rate):
    times = np.arange(2 * rate) / rate
    part = sound(0.5 * np.sin(2 * np.pi * rate / 5 * times), rate)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extractor = AudioFeatures(part.info, 40, 0.5)
    features = extractor.extract(part)
    loudest = int(features.places[:, 0].argmax())
    low, high, unit = _span(extractor.labels[loudest])
    assert low * unit <= rate / 5 <= high * unit
    assert -12 < features.places[loudest, 0] < 0  # half of full scale is -6 dB
    assert features.items.shape[1] == len(extractor.labels)


def _span(label: str) -> tuple[float, float, float]:
    low, _, high, unit = label.split()
    return float(low), float(high), 1000.0 if unit == "kHz" else 1.0


def test_sound_that_was_not_heard_is_left_out_not_taken_for_silence():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, 32000)
    heard = np.ones(32000, bool)
    heard[16000:22000] = False
    extractor = AudioFeatures(sound(noise, 16000).info, 40, 0.5)
    whole = extractor.extract(sound(noise, 16000)).places
    part = extractor.extract(sound(noise * heard, 16000, heard)).places
    assert np.abs(whole[:, 0] - part[:, 0]).max() < 3.0


def test_digital_silence_is_finite():
    part = sound(np.zeros(16000), 8000)
    features = AudioFeatures(part.info, 40, 0.5).extract(part)
    assert np.isfinite(features.places).all()
    assert np.isfinite(features.items).all()


def test_an_audio_stream_without_rate_is_refused():
    with pytest.raises(ModelError, match="sample rate"):
        AudioFeatures(StreamInfo("mic", Modality.AUDIO), 40, 0.5)


def readings(values: np.ndarray, present: np.ndarray | None = None) -> SensorSlice:
    count = values.shape[1]
    info = StreamInfo("plc", Modality.SENSOR, 10.0, (count,), "float64")
    there = np.isfinite(values) if present is None else present
    return SensorSlice(info, np.arange(len(values)), values, there, float(there.mean()))


def column(features, name: str) -> np.ndarray:
    return features.places[:, SensorFeatures.columns.index(name)]


def test_value_slope_noise_and_steps_of_a_channel_are_told_apart():
    rng = np.random.default_rng(0)
    time = np.linspace(-0.5, 0.5, 40)
    values = np.stack([5 + 2 * time, 5 + rng.normal(0, 1, 40), np.where(time > 0, 7.0, 3.0)], 1)
    features = SensorFeatures(readings(values).info, 0.5).extract(readings(values))
    np.testing.assert_allclose(column(features, "value")[[0, 2]], [5, 5], atol=1e-5)
    np.testing.assert_allclose(column(features, "slope")[0], 2, atol=1e-5)
    assert column(features, "noise")[0] < 1e-5 < column(features, "noise")[1]
    np.testing.assert_allclose(column(features, "largest step")[2], 4, atol=1e-5)


def test_a_spike_shows_the_same_wherever_the_level_is():
    values = np.random.default_rng(0).normal(0, 1, (40, 1))
    values[7] = 9.0
    low, high = (
        SensorFeatures(readings(v).info, 0.5).extract(readings(v)) for v in (values, values + 500)
    )
    assert column(low, "peak")[0] > 3 * column(low, "dip")[0]
    for name in ("dip", "peak"):
        np.testing.assert_allclose(column(low, name), column(high, name), rtol=1e-3)


def test_missing_cells_are_bridged_and_a_missing_channel_is_not_present():
    values = np.stack([np.arange(20.0), np.full(20, np.nan), np.arange(20.0)], axis=1)
    values[5:9, 2] = np.nan
    features = SensorFeatures(readings(values).info, 0.5).extract(readings(values))
    assert features.present.tolist() == [True, False, True]
    np.testing.assert_allclose(features.places[0], features.places[2], atol=1e-5)
    assert (features.places[1] == 0).all()


def test_silent_channels_hide_no_other_however_many_they_are():
    values = np.stack([np.arange(20.0), *[np.full(20, np.nan)] * 4], axis=1)
    part = readings(values)
    features = SensorFeatures(part.info, 0.5).extract(part)
    assert features is not None
    assert features.present.tolist() == [True, False, False, False, False]
    silent = readings(values[:, 1:])
    assert SensorFeatures(silent.info, 0.5).extract(silent) is None


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_slow_sensor_with_few_cells_still_has_features(count):
    part = readings(np.full((count, 2), 4.0))
    features = SensorFeatures(part.info, 0.5).extract(part)
    assert np.isfinite(features.places).all()


def test_enormous_values_stay_finite():
    part = readings(np.full((10, 1), 1e300) * np.array([[1], [-1]] * 5))
    with np.errstate(over="ignore"):
        features = SensorFeatures(part.info, 0.5).extract(part)
    assert np.isfinite(features.places).all()


def log_lines(*lines: str, coverage: float = 1.0) -> TextSlice:
    info = StreamInfo("log", Modality.TEXT)
    return TextSlice(info, np.zeros(len(lines), np.int64), lines, coverage)


def test_numbers_do_not_make_another_line():
    first, second = line_vector("pump 3 at 17.5 bar"), line_vector("Pump 12 at 9 bar")
    np.testing.assert_array_equal(first, second)
    assert np.linalg.norm(first - line_vector("door opened by force")) > 0.8


def test_the_hash_is_the_same_in_every_process():
    vector = line_vector("door opened")
    assert np.flatnonzero(vector).tolist() == [23, 27, 45]


def test_no_line_and_many_lines_have_features_and_a_dead_log_has_none():
    extractor = TextFeatures(0.5, timeless=True)
    assert extractor.extract(log_lines()).items.shape == (0, 64)
    assert extractor.extract(log_lines(*["line"] * 500)).items.shape == (64, 64)
    assert extractor.extract(log_lines("line", coverage=0.0)) is None


def test_a_line_of_nothing_has_length_zero():
    assert not line_vector("").any()


def test_every_modality_has_an_extractor():
    infos = (
        StreamInfo("a", Modality.VIDEO, 5, (60, 100, 3)),
        StreamInfo("b", Modality.AUDIO, 8000, (1,)),
        StreamInfo("c", Modality.SENSOR, None, (2,)),
        StreamInfo("d", Modality.TEXT),
    )
    for info in infos:
        extractor = make_extractor(info, DetectorSettings())
        assert extractor.labels
        assert extractor.columns
    assert cv2.__version__


@pytest.mark.parametrize(
    ("learnt", "later"),
    [
        ("Nov 27 23:45:22 host sshd[1]: no", "Dec  1 03:15:22 host sshd[2]: no"),
        ("[Fri Nov 27 23:45:22.5 2026] [core] up", "[Tue Dec 01 01:45:22.5 2026] [core] up"),
        ("2026-11-27T23:45:22: up", "up"),  # imported, which takes the time off
    ],
)
def test_the_time_at_the_head_of_a_line_is_no_news(learnt: str, later: str):
    def vector(line: str, *, timeless: bool) -> np.ndarray:
        part = TextSlice(StreamInfo("log", Modality.TEXT), np.zeros(1, np.int64), (line,), 1.0)
        return TextFeatures(0.5, timeless=timeless).extract(part).items[0]

    assert (vector(learnt, timeless=True) == vector(later, timeless=True)).all()
    assert np.linalg.norm(vector(learnt, timeless=False) - vector(later, timeless=False)) > 0.2
