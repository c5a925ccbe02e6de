"""A camera of 1280 pixels that sees the toy site: an outside plug-in, made ready by `unpack`.

Its time is that of a recording, and it plays five times as fast as that.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core.sample import Encoding, Sample, StreamInfo
from pipeline.core.window import VideoSlice, Window
from pipeline.models.picture import prepare_picture
from pipeline.models.scene_model import SceneModel
from pipeline.models.settings import DetectorSettings
from pipeline.sources.base import SourceContext, SourceSettings
from pipeline.sources.small_pictures import SmallPictures
from pipeline.sources.small_settings import SmallSettings
from pipeline.training.commissioning import commission
from tests.installed_package import unpack_package
from tests.toy_site import CAMERA, FIRST, FPS, HOP_NS, WINDOWS, Site

WIDE, HIGH, SMALL = 1280, 768, 320
HOPS, THING = 22, (8, 12)
HOP_S = 0.1
START_NS = FIRST * HOP_NS
LEARNT = 100
PACKAGE = {
    "fusewatch_wide-1.0.dist-info/METADATA": (
        "Metadata-Version: 2.1\nName: fusewatch-wide\nVersion: 1.0\n"
    ),
    "fusewatch_wide-1.0.dist-info/entry_points.txt": (
        "[fusewatch.sources]\nwide = tests.system.wide_camera:WideSettings\n"
    ),
}


def unpack(folder: Path) -> Path:
    """Put the installed form of the plug-in into `folder`, which belongs on ``PYTHONPATH``."""
    return unpack_package(PACKAGE, folder)


class WideSettings(SourceSettings):
    """The camera; it stays on when it has shown all its hops."""

    type: Literal["wide"] = "wide"
    stream: str
    hops: int = HOPS

    def stream_names(self) -> tuple[str, ...]:
        return (self.stream,)

    def build(self, context: SourceContext) -> Wide:
        return Wide(self)


class Wide:
    """See the module."""

    def __init__(self, settings: WideSettings) -> None:
        self._settings = settings
        self._hop = 0
        self._closed = threading.Event()

    def open(self) -> tuple[StreamInfo, ...]:
        return (announced(self._settings.stream),)

    def read(self, timeout_s: float) -> Sequence[Sample]:
        self._closed.wait(min(timeout_s, HOP_S))
        if self._hop >= self._settings.hops:
            return ()
        self._hop += 1
        return frames(self._settings.stream, self._hop - 1)

    def close(self) -> None:
        self._closed.set()


def announced(stream: str) -> StreamInfo:
    """The stream as the camera gives it."""
    return replace(CAMERA, name=stream, shape=(HIGH, WIDE, 3))


def frames(stream: str, hop: int) -> list[Sample]:
    """What a hop shows, which the model has not learnt; a red thing for a while."""
    site = Site(wrong="object", wrong_from=WINDOWS + THING[0], wrong_to=WINDOWS + THING[1])
    begin_ns = START_NS + hop * HOP_NS
    return [
        Sample(stream, 0, begin_ns + i * (10**9 // FPS), large(picture), Encoding.RAW)
        for i, picture in enumerate(site._chunk(WINDOWS + hop).frames)
    ]


def small(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A picture of the toy site as it is sent."""
    size = SMALL, SMALL * HIGH // WIDE
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST), np.uint8)


def large(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """As this camera gives it: each pixel that is sent is the mean of equal ones."""
    size = WIDE, HIGH
    return np.asarray(cv2.resize(small(picture), size, interpolation=cv2.INTER_NEAREST), np.uint8)


def model_of(scene: str, stream: str) -> SceneModel:
    """The model of a scene, learnt from what is sent of the camera."""
    learnt = _learnt()
    streams = tuple(replace(s, info=replace(s.info, name=stream)) for s in learnt.streams)
    return replace(learnt, scene=scene, streams=streams)


@lru_cache(maxsize=1)
def _learnt() -> SceneModel:
    info = SmallPictures(SmallSettings(width=SMALL), 85).info(announced("cam"))
    cells = DetectorSettings().picture_cells
    known: dict[int, Sample] = {}
    windows: list[Window] = []
    for window in Site(streams=(CAMERA,)).windows(0, LEARNT):
        part = window.slices["cam"]
        if not isinstance(part, VideoSlice):
            raise AssertionError("the toy site has a camera")
        first = window.index * FPS * HOP_NS // 10**9
        for number, frame in enumerate(part.frames, first):
            if number not in known and frame is not None:
                sent = replace(frame, data=small(frame.data))  # type: ignore[arg-type]
                known[number] = prepare_picture(sent, cells)
        shown = tuple(known[first + i] for i in range(len(part.frames)))
        slices = {"cam": replace(part, info=info, frames=shown)}
        windows.append(replace(window, slices=slices))
    return commission("hall", windows)[0]
