"""Devices for shipped deployments on a machine that has none of them.

Servers are real (RTSP, MQTT, sound); a camera is OpenCV's capture put in place of a device node, in
every process that is started with the folder of `put_camera` on its ``PYTHONPATH``.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from pipeline.core.arrival import SampleArrived, StreamOpened
from pipeline.recording.merge import read_many
from pipeline.recording.writer import RecordingWriter

FPS = 10
SECOND_NS = 1_000_000_000
_PUT_IN_PLACE = """\
from pipeline.sources import camera_reader
from tests.system.stand_ins import TestCard

camera_reader.CameraSource.__init__.__defaults__ = (TestCard,)
"""


def put_camera(folder: Path) -> Path:
    """Make `folder` one that puts a test card before every camera; returns it."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_PUT_IN_PLACE)
    return folder


class TestCard:
    """What OpenCV gives for a camera: a grey picture with a bar that wanders, ten a second."""

    __test__ = False

    def __init__(self, path: str) -> None:
        self._number = 0
        self._begin_s = time.monotonic()

    def isOpened(self) -> bool:
        return True

    def set(self, prop: int, value: float) -> bool:
        return prop != cv2.CAP_PROP_FOURCC

    def get(self, prop: int) -> float:
        return float(FPS) if prop == cv2.CAP_PROP_FPS else 0.0

    def grab(self) -> bool:
        self._number += 1
        time.sleep(max(0.0, self._begin_s + self._number / FPS - time.monotonic()))
        return True

    def retrieve(self) -> tuple[bool, npt.NDArray[np.uint8]]:
        picture = np.random.default_rng(self._number).integers(90, 110, (120, 160, 3), np.uint8)
        at = self._number * 4 % 150
        picture[40:80, at : at + 10] = 220
        return True, picture

    def release(self) -> None:
        pass


@contextmanager
def again_and_again(say: Callable[[int], object], every_s: float) -> Iterator[None]:
    """Say something with a count, again and again, until the end."""
    over = threading.Event()

    def run() -> None:
        number = 0
        while not over.wait(every_s):
            say(number)
            number += 1

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def messages(port: int, topic: str, reading: Callable[[int], object]) -> Iterator[None]:
    """Publish a reading on a broker of this machine twice a second."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"meter-{topic}")
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        with again_and_again(lambda n: client.publish(topic, json.dumps(reading(n))), 0.5):
            yield
    finally:
        client.disconnect()
        client.loop_stop()


@contextmanager
def serial_line(line: Callable[[int], str], hz: float) -> Iterator[str]:
    """A pseudo-terminal that a device writes lines to; the path of its port."""
    device, port = os.openpty()
    try:
        with again_and_again(lambda n: os.write(device, f"{line(n)}\n".encode()), 1 / hz):
            yield os.ttyname(port)
    finally:
        for descriptor in (device, port):
            os.close(descriptor)


@contextmanager
def log_file(path: Path, line: Callable[[int], str]) -> Iterator[Path]:
    """A file to which a program logs twice a second."""
    with path.open("a", buffering=1) as file, again_and_again(lambda n: file.write(line(n)), 0.5):
        yield path


def repeated(recordings: Sequence[Path], target: Path, seconds: float) -> Path:
    """A recording so long, in which the last few seconds of others happen again and again."""
    arrivals = list(read_many(recordings))
    samples = [a for a in arrivals if isinstance(a, SampleArrived)]
    streams = {a.sample.stream for a in samples}
    firsts = (next(a for a in samples if a.sample.stream == stream) for stream in streams)
    all_there_ns = max(a.arrival_ns for a in firsts)
    samples = [a for a in samples if a.arrival_ns >= all_there_ns]
    span_ns = max(a.arrival_ns for a in samples) - all_there_ns
    counts = {a.sample.stream: a.sample.sequence + 1 for a in samples}
    epochs = {a.sample.stream: a.sample.epoch + 1 for a in samples}
    with RecordingWriter(target, deployment="stand-in") as writer:
        for opened in (a for a in arrivals if isinstance(a, StreamOpened)):
            writer.write(opened)
        for turn in range(math.ceil(seconds * SECOND_NS / span_ns)):
            later_ns = turn * (span_ns + SECOND_NS // FPS)
            for arrived in samples:
                sample = replace(
                    arrived.sample,
                    sequence=arrived.sample.sequence + turn * counts[arrived.sample.stream],
                    epoch=arrived.sample.epoch + turn * epochs[arrived.sample.stream],
                    timestamp_ns=arrived.sample.timestamp_ns + later_ns,
                )
                writer.write(SampleArrived(arrived.arrival_ns + later_ns, arrived.node, sample))
    return target
