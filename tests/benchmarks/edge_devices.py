"""Stand-ins for the devices of a capture node, as outside plug-ins, made ready by `unpack`.

The camera is the camera source with a stand-in where OpenCV would open the device node; it and the
microphone run in processes of their own, as devices do. All keep time by the monotonic clock.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.sources.base import SourceContext, SourceSettings
from pipeline.sources.camera import CameraSettings
from tests.installed_package import unpack_package

if TYPE_CHECKING:
    from pipeline.sources.camera_reader import CameraSource, Capture

STREAMS = ("camera", "microphone", "sensors")
FPS, SENSOR_HZ, CHANNELS = 15.0, 10.0, 20
RATE, BLOCK = 16_000, 640
SOUND_HZ = RATE / BLOCK
WIDTH, HEIGHT, FRAMES = 1280, 720, 8
MJPG = float(sum(ord(letter) << (8 * place) for place, letter in enumerate("MJPG")))
FOURCC, RATE_PROPERTY = 6, 5  # of OpenCV, without importing it

PACKAGE = {
    "fusewatch_edge-1.0.dist-info/METADATA": (
        "Metadata-Version: 2.1\nName: fusewatch-edge\nVersion: 1.0\n"
    ),
    "fusewatch_edge-1.0.dist-info/entry_points.txt": (
        "[fusewatch.sources]\n"
        "edge_camera = tests.benchmarks.edge_devices:EdgeCameraSettings\n"
        "edge_microphone = tests.benchmarks.edge_devices:EdgeMicrophoneSettings\n"
        "edge_sensors = tests.benchmarks.edge_devices:EdgeSensorsSettings\n"
    ),
}


def unpack(folder: Path) -> Path:
    """Put the installed form of the plug-ins into `folder`, which belongs on ``PYTHONPATH``."""
    return unpack_package(PACKAGE, folder)


def prepare(folder: Path) -> Path:
    """Write some pictures with about the detail of an indoor camera; their file."""
    import cv2

    noise = np.random.default_rng(1)
    coarse = noise.integers(0, 255, (90, 160, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    made = {}
    for number in range(FRAMES):
        grain = noise.integers(0, 6, smooth.shape, dtype=np.uint8)
        picture = cv2.add(smooth, grain)
        jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
        made[f"raw{number}"], made[f"jpeg{number}"] = picture, jpeg.ravel()
    file = folder / "frames.npz"
    np.savez(file, **made)
    return file


class Pace:
    """Says when the next of something is due."""

    def __init__(self, hz: float) -> None:
        self._hz = hz
        self._begin_s = time.monotonic()
        self.number = 0

    def wait(self, at_most_s: float) -> bool:
        """Wait until the next is due; False when it is not yet."""
        due_s = self._begin_s + self.number / self._hz - time.monotonic()
        time.sleep(max(0.0, min(due_s, at_most_s)))
        if due_s > at_most_s:
            return False
        self.number += 1
        return True


class EdgeCameraSettings(CameraSettings):
    """The camera source before pictures from a file."""

    type: Literal["edge_camera"] = "edge_camera"  # type: ignore[assignment]
    frames: Path
    jpeg: bool

    def build(self, context: SourceContext) -> CameraSource:
        from pipeline.sources.camera_reader import CameraSource

        return CameraSource(self, context, opener=lambda _path: self._open())

    def _open(self) -> Capture:
        return EdgeCapture(self.frames, jpeg=self.jpeg)


class EdgeCapture:
    """What OpenCV gives for a device node."""

    def __init__(self, file: Path, *, jpeg: bool) -> None:
        kind = "jpeg" if jpeg else "raw"
        with np.load(file) as kept:
            self._frames = [kept[f"{kind}{number}"] for number in range(FRAMES)]
        self._jpeg = jpeg
        self._pace = Pace(FPS)

    def isOpened(self) -> bool:
        return True

    def set(self, prop: int, value: float) -> bool:
        return True

    def get(self, prop: int) -> float:
        if prop == RATE_PROPERTY:
            return FPS
        return MJPG if prop == FOURCC and self._jpeg else 0.0

    def grab(self) -> bool:
        self._pace.wait(10.0)
        return True

    def retrieve(self) -> tuple[bool, npt.NDArray[Any]]:
        return True, self._frames[self._pace.number % FRAMES].copy()

    def release(self) -> None:
        self._frames = []


class EdgeMicrophoneSettings(SourceSettings):
    """Sound in blocks of 40 ms."""

    type: Literal["edge_microphone"] = "edge_microphone"
    stream: str
    isolated: ClassVar[bool] = True

    def stream_names(self) -> tuple[str, ...]:
        return (self.stream,)

    def build(self, context: SourceContext) -> EdgeSource:
        info = StreamInfo(self.stream, Modality.AUDIO, float(RATE), (1,), "int16", stamp="adc")
        noise = np.random.default_rng(2).integers(-3000, 3000, (BLOCK, 1), dtype=np.int16)
        return EdgeSource(info, noise, Encoding.PCM, SOUND_HZ, context)


class EdgeSensorsSettings(SourceSettings):
    """Readings of 20 channels."""

    type: Literal["edge_sensors"] = "edge_sensors"
    stream: str

    def stream_names(self) -> tuple[str, ...]:
        return (self.stream,)

    def build(self, context: SourceContext) -> EdgeSource:
        channels = tuple(f"channel-{n}" for n in range(CHANNELS))
        info = StreamInfo(
            self.stream,
            Modality.SENSOR,
            SENSOR_HZ,
            (CHANNELS,),
            "float64",
            channels=channels,
            stamp="arrival",
        )
        return EdgeSource(info, np.arange(float(CHANNELS)), Encoding.FLOAT, SENSOR_HZ, context)


class EdgeSource:
    """The same payload again and again, at its pace."""

    def __init__(
        self,
        info: StreamInfo,
        payload: npt.NDArray[Any],
        encoding: Encoding,
        hz: float,
        context: SourceContext,
    ) -> None:
        self._info, self._payload, self._encoding = info, payload, encoding
        self._hz, self._clock = hz, context.clock
        self._pace = Pace(hz)

    def open(self) -> tuple[StreamInfo, ...]:
        self._pace = Pace(self._hz)
        return (self._info,)

    def read(self, timeout_s: float) -> Sequence[Sample]:
        if not self._pace.wait(timeout_s):
            return ()
        position = (self._pace.number - 1) * len(self._payload)
        stamp_ns = self._clock.now_ns()
        sample = Sample(self._info.name, 0, stamp_ns, self._payload.copy(), self._encoding)
        sample.position = position if self._info.modality is Modality.AUDIO else 0
        return [sample]

    def close(self) -> None:
        """Nothing to let go of."""
