"""The camera source with a substitute for the device."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.core.clock import ManualClock
from pipeline.core.errors import SourceUnavailable
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Encoding
from pipeline.sources.camera import CameraSettings
from pipeline.sources.camera_reader import CameraSource, open_v4l2
from pipeline.sources.video_devices import list_cameras
from tests.unit.sources import context

MJPG = cv2.VideoWriter.fourcc(*"MJPG")
YUYV = cv2.VideoWriter.fourcc(*"YUYV")


def jpeg(shade: int = 128) -> bytes:
    good, data = cv2.imencode(".jpg", np.full((48, 64, 3), shade, np.uint8))
    assert good
    return data.tobytes()


class FakeCapture:
    """A camera; `frames` are what it gives, None is a failed grab."""

    def __init__(self, frames, *, mjpeg=False, clock=None):
        self.frames = list(frames)
        self.props = {cv2.CAP_PROP_FPS: 30.0, cv2.CAP_PROP_CONVERT_RGB: 1.0}
        self.offers = MJPG if mjpeg else YUYV
        self.clock = clock
        self.released = 0
        self.current = None

    def isOpened(self):
        return True

    def set(self, prop, value):
        self.props[prop] = value
        return True

    def get(self, prop):
        return float(self.offers) if prop == cv2.CAP_PROP_FOURCC else self.props.get(prop, 0.0)

    def grab(self):
        self.current = self.frames.pop(0) if self.frames else None
        return self.current is not None

    def retrieve(self):
        if self.clock is not None:
            self.clock.advance(7_000_000)
        if isinstance(self.current, bytes):
            if self.props[cv2.CAP_PROP_CONVERT_RGB]:
                return True, cv2.imdecode(np.frombuffer(self.current, np.uint8), 1)
            return True, np.frombuffer(self.current, np.uint8)[None]
        return True, self.current

    def release(self):
        self.released += 1


def camera(capture, clock=None, **more):
    ctx, refusals = context(clock)
    own = CameraSettings(stream="cam", **more)
    return CameraSource(own, ctx, opener=lambda path: capture), refusals


def test_raw_frames_are_stamped_between_grab_and_retrieve():
    clock = ManualClock(1_000_000_000)
    frame = np.zeros((48, 64, 3), np.uint8)
    source, _ = camera(FakeCapture([frame] * 3, clock=clock), clock)
    (info,) = source.open()
    assert (info.shape, info.rate_hz, info.stamp) == ((48, 64, 3), 30.0, "grab")
    before = clock.now_ns()
    (first,) = source.read(1.0)
    assert first.timestamp_ns == before
    assert first.encoding is Encoding.RAW
    assert first.uncertainty_ns == pytest.approx(1e9 / 30, rel=0.01)


def test_motion_jpeg_passes_through_with_the_padding_cut_off():
    image = jpeg()
    capture = FakeCapture([image, image + b"\0" * 500], mjpeg=True)
    source, _ = camera(capture)
    (info,) = source.open()
    assert info.shape == (48, 64, 3)
    (got,) = source.read(1.0)
    assert got.encoding is Encoding.JPEG
    assert got.data == image


def test_a_damaged_jpeg_is_counted_and_the_next_one_comes():
    image = jpeg()
    capture = FakeCapture([image, image[:-60], b"\0" * 100, image], mjpeg=True)
    source, refusals = camera(capture)
    source.open()
    assert list(source.read(1.0)) == []
    assert list(source.read(1.0)) == []
    assert len(source.read(1.0)) == 1
    assert refusals == {("cam", DropReason.CORRUPT): 2}


def test_broken_images_right_after_switching_on_are_passed_over():
    capture = FakeCapture([b"\0" * 10, jpeg(), jpeg()], mjpeg=True)
    source, refusals = camera(capture)
    (info,) = source.open()
    assert info.shape == (48, 64, 3)
    assert not refusals


def test_frames_come_decoded_where_the_cameras_jpeg_cannot_be_read():
    bad = b"\xff\xd8 not really \xff\xd9"
    raw = np.zeros((48, 64, 3), np.uint8)
    capture = FakeCapture([bad] * 5 + [raw, raw], mjpeg=True)
    source, _ = camera(capture)
    assert source.open()[0].shape == (48, 64, 3)
    assert source.read(1.0)[0].encoding is Encoding.RAW


def test_an_unplugged_camera_is_lost_not_silent():
    frame = np.zeros((48, 64, 3), np.uint8)
    source, _ = camera(FakeCapture([frame, frame, None]))
    source.open()
    source.read(1.0)
    with pytest.raises(SourceUnavailable, match="/dev/video0 was unplugged"):
        source.read(1.0)
    source.close()
    source.close()


def test_a_camera_that_changes_its_size_is_opened_again():
    source, _ = camera(FakeCapture([np.zeros((48, 64, 3), np.uint8), np.ones((96, 128, 3))]))
    source.open()
    with pytest.raises(SourceUnavailable, match="size"):
        source.read(1.0)


def test_a_camera_that_gives_nothing_says_what_to_try():
    source, _ = camera(FakeCapture([]))
    with pytest.raises(SourceUnavailable, match=r"gives no picture.*fourcc: null"):
        source.open()


def test_options_reach_the_device():
    capture = FakeCapture([np.zeros((48, 64, 3), np.uint8)])
    source, _ = camera(capture, width=640, height=480, fps=15, fourcc="YUYV")
    source.open()
    assert capture.props[cv2.CAP_PROP_FRAME_WIDTH] == 640
    assert capture.props[cv2.CAP_PROP_FPS] == 15
    assert capture.props[cv2.CAP_PROP_FOURCC] == YUYV
    assert capture.props[cv2.CAP_PROP_BUFFERSIZE] == 1


def test_a_missing_device_is_named_with_those_that_are_there():
    with pytest.raises(SourceUnavailable, match=r"there is no camera /dev/video77.*plug it in"):
        open_v4l2("/dev/video77")


def test_files_and_urls_are_for_media():
    with pytest.raises(ValidationError, match="a file or URL is 'media'"):
        CameraSettings(stream="cam", device="clip.mp4")
    assert CameraSettings(stream="cam", device="2").path == "/dev/video2"


def test_cameras_are_listed_by_number_with_their_names(tmp_path):
    dev, sys = tmp_path / "dev", tmp_path / "sys"
    dev.mkdir()
    for number in (10, 2):
        (dev / f"video{number}").touch()
    (sys / "video2").mkdir(parents=True)
    (sys / "video2" / "name").write_text("Webcam C270\n")
    found = list_cameras(dev, sys)
    assert [c.path for c in found] == [str(dev / "video2"), str(dev / "video10")]
    assert [c.name for c in found] == ["Webcam C270", ""]
