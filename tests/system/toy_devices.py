"""The toy site (`tests.toy_site`) as devices of real capture nodes, which things happen to.

Outside plug-ins, made ready by `unpack`. What happens in front of them is one file, the `Story`, in
the monotonic time that all processes of this machine share: until it is there nothing is given.
Whatever happens to a device, it then goes on where the story is, as the world does.

- ``toy`` gives picture, sound and readings, or some of them; ``toy_apart`` the same in a process
  of its own. A device can be unplugged and be made to hang in ``read()``.
- ``toy_camera`` is the camera source, with pictures of the story where OpenCV would open the
  device node. All else is what it is for a real one: its node can vanish.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core.errors import SourceEnded, SourceUnavailable
from pipeline.core.sample import Encoding, Sample, StreamInfo
from pipeline.sources.base import SourceContext, SourceSettings
from pipeline.sources.camera import CameraSettings
from pipeline.sources.camera_reader import CameraSource, Capture, open_v4l2
from tests.installed_package import unpack_package
from tests.system.witnesses import on_clock
from tests.toy_site import (
    CAMERA,
    FPS,
    HOP_NS,
    MICROPHONE,
    RATE,
    SENSOR_HZ,
    SENSORS,
    WINDOWS,
    Chunk,
    Site,
)

SECOND_NS = 1_000_000_000
LEARNT = {"cam": CAMERA, "mic": MICROPHONE, "plc": SENSORS}

PACKAGE = {
    "fusewatch_toys-1.0.dist-info/METADATA": (
        "Metadata-Version: 2.1\nName: fusewatch-toys\nVersion: 1.0\n"
    ),
    "fusewatch_toys-1.0.dist-info/entry_points.txt": (
        "[fusewatch.sources]\n"
        "toy = tests.system.toy_devices:ToySettings\n"
        "toy_apart = tests.system.toy_devices:ToyApartSettings\n"
        "toy_camera = tests.system.toy_devices:ToyCameraSettings\n"
    ),
}


def unpack(folder: Path) -> Path:
    """Put the installed form of the plug-ins into `folder`, which belongs on ``PYTHONPATH``."""
    return unpack_package(PACKAGE, folder)


@dataclass(frozen=True, slots=True)
class Story:
    """What happens at the toy site.

    Attributes:
        begin_ns: Monotonic time of its first hop.
        hops: How long it lasts.
        wrong: First hop and end of what is wrong, by its kind.
        empty: First hop and end of a time in which nobody walks. The toy site knows few steps: of
            a walk any frame that is missing makes one that was never seen, and so an anomaly.
    """

    begin_ns: int
    hops: int
    wrong: Mapping[str, tuple[int, int]]
    empty: tuple[int, int]

    def chunk(self, hop: int) -> Chunk:
        """What there is to see in a hop, which the model has not learnt."""
        spans = {**self.wrong, "nobody": self.empty}
        kinds = [kind for kind, (first, end) in spans.items() if first <= hop < end]
        number = WINDOWS + hop
        site = Site(wrong=kinds[0], wrong_to=number + 1) if kinds else Site()
        return site._chunk(number)

    def samples(self, hop: int, names: Mapping[str, str]) -> list[Sample]:
        """All samples of a hop, stamped in monotonic time, by names of the streams of each kind."""
        chunk, begin_ns = self.chunk(hop), self.begin_ns + hop * HOP_NS
        series: dict[str, tuple[Sequence[npt.NDArray[Any]], Encoding, int]] = {
            "cam": (chunk.frames, Encoding.RAW, SECOND_NS // FPS),
            "plc": (tuple(chunk.readings), Encoding.FLOAT, SECOND_NS // SENSOR_HZ),
            "mic": ((chunk.sound[:, None],), Encoding.FLOAT, HOP_NS),
        }
        position = hop * RATE * HOP_NS // SECOND_NS
        return [
            Sample(names[kind], 0, begin_ns + i * step_ns, data, encoding, position=position)
            for kind, (parts, encoding, step_ns) in series.items()
            if kind in names
            for i, data in enumerate(parts)
        ]

    def write(self, path: Path) -> None:
        """Write it such that readers see all of it or nothing."""
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(self)))
        draft.replace(path)

    @staticmethod
    def read(path: Path) -> Story | None:
        """The story; None while there is none."""
        return Story(**json.loads(path.read_text())) if path.exists() else None


class ToySettings(SourceSettings):
    """Devices of the toy site."""

    type: Literal["toy"] = "toy"
    place: str
    story: Path
    kinds: tuple[str, ...] = ("cam", "mic", "plc")
    plug: Path | None = None
    hang: Path | None = None

    @property
    def names(self) -> dict[str, str]:
        return {kind: f"{kind}-{self.place}" for kind in self.kinds}

    def stream_names(self) -> tuple[str, ...]:
        return tuple(self.names.values())

    def build(self, context: SourceContext) -> Toy:
        return Toy(self, context)


class ToyApartSettings(ToySettings):
    """The same in a process of their own."""

    type: Literal["toy_apart"] = "toy_apart"
    isolated: ClassVar[bool] = True


class Toy:
    """See the module."""

    def __init__(self, settings: ToySettings, context: SourceContext) -> None:
        self._settings, self._clock = settings, context.clock
        self._story: Story | None = None
        self._hop = 0

    def open(self) -> tuple[StreamInfo, ...]:
        self._see_to_plug()
        self._story = None
        return announced(self._settings.names)

    def read(self, timeout_s: float) -> Sequence[Sample]:
        """What the next hop shows, once it is over."""
        self._see_to_plug()
        self._see_to_hang()
        story = self._story or self._begin()
        if story is None:
            time.sleep(min(timeout_s, 0.02))
            return ()
        if self._hop >= story.hops:
            raise SourceEnded("the story is over")
        wait_s = (story.begin_ns + (self._hop + 1) * HOP_NS - time.monotonic_ns()) / SECOND_NS
        time.sleep(max(0.0, min(wait_s, timeout_s)))
        if wait_s > timeout_s:
            return ()
        self._hop += 1
        return [self._stamped(s) for s in story.samples(self._hop - 1, self._settings.names)]

    def close(self) -> None:
        self._story = None

    def _begin(self) -> Story | None:
        """Where the story is now: what happened before is past."""
        self._story = story = Story.read(self._settings.story)
        if story is not None:
            self._hop = max(0, -(-(time.monotonic_ns() - story.begin_ns) // HOP_NS))
        return story

    def _stamped(self, sample: Sample) -> Sample:
        stamp_ns, _ = on_clock(sample.timestamp_ns, self._clock)
        return Sample(
            sample.stream, 0, stamp_ns, sample.data, sample.encoding, position=sample.position
        )

    def _see_to_plug(self) -> None:
        if self._settings.plug is not None and not self._settings.plug.exists():
            raise SourceUnavailable(f"there is no {self._settings.plug}")

    def _see_to_hang(self) -> None:
        """Hang for good if asked to; whoever is started instead does not."""
        if self._settings.hang is not None and self._settings.hang.exists():
            self._settings.hang.unlink()
            time.sleep(3600)


def announced(names: Mapping[str, str]) -> tuple[StreamInfo, ...]:
    """The streams of some kinds as devices announce them, by these names."""
    return tuple(
        replace(learnt, name=names[kind], stamp="device")
        for kind, learnt in LEARNT.items()
        if kind in names
    )


class ToyCameraSettings(CameraSettings):
    """The camera source before the toy site."""

    type: Literal["toy_camera"] = "toy_camera"  # type: ignore[assignment]
    story: Path

    def build(self, context: SourceContext) -> CameraSource:
        return CameraSource(self, context, opener=self._open)

    def _open(self, path: str) -> Capture:
        if not Path(path).exists():
            return open_v4l2(path)
        return ToyCapture(Path(path), self.story)


class ToyCapture:
    """What OpenCV gives for a device node; a grab fails once the node has gone, as a real one."""

    def __init__(self, node: Path, story: Path) -> None:
        self._node, self._path = node, story
        self._story: Story | None = None
        self._number = -1

    def isOpened(self) -> bool:
        return self._node.exists()

    def set(self, prop: int, value: float) -> bool:
        return prop != cv2.CAP_PROP_FOURCC

    def get(self, prop: int) -> float:
        return float(FPS) if prop == cv2.CAP_PROP_FPS else 0.0

    def grab(self) -> bool:
        """Wait for the next frame; the first comes at once."""
        while self._node.exists():
            self._story = self._story or Story.read(self._path)
            if self._number < 0 or (self._story is not None and self._due(self._story)):
                self._number = max(0, self._number)
                return True
            time.sleep(0.002)
        return False

    def retrieve(self) -> tuple[bool, npt.NDArray[np.uint8]]:
        hop, frame = divmod(self._number, FPS // 2)
        story = self._story or Story(0, 1, {}, (0, 0))
        return True, story.chunk(hop).frames[frame]

    def release(self) -> None:
        self._story = None

    def _due(self, story: Story) -> bool:
        passed_ns = time.monotonic_ns() - story.begin_ns
        number = passed_ns * FPS // SECOND_NS
        if number <= self._number or number // (FPS // 2) >= story.hops:
            return False
        self._number = number
        return True
