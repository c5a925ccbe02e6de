"""Ways to bring frames from one process to another: ours, a plain socket, other libraries.

Those of others are used as their own documentation says. `BARE` is ZeroMQ without anything of
ours or of others around it: no faster can be what is built on it.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import zmq

from pipeline.transport.memory import keep_large_blocks
from tests.benchmarks.peer_ends import (
    Frame,
    OursReceiving,
    OursSending,
    RawReceiving,
    RawSending,
    ReceiveEnd,
    SendEnd,
    Task,
)

_QUEUED = 16


class BareSending:
    """A PUSH socket that sends frames from their own memory."""

    def __init__(self, port: int, task: Task) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.PUSH)
        self._socket.sndhwm = _QUEUED
        self._socket.connect(f"tcp://127.0.0.1:{port}")

    def send(self, frame: Frame) -> None:
        self._socket.send(frame.data, copy=False)

    def dropped(self) -> int | None:
        return None

    def finish(self) -> None:
        """It does not tell."""

    def close(self) -> None:
        self._context.destroy(linger=10_000)


class BareReceiving:
    """The PULL socket."""

    def __init__(self, port: int, task: Task) -> None:
        keep_large_blocks()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.PULL)
        self._socket.rcvhwm = _QUEUED
        self._socket.bind(f"tcp://127.0.0.1:{port}")
        self._shape = task.shape

    def receive(self) -> list[Frame]:
        frame = self._socket.recv(copy=False)
        return [np.frombuffer(frame.buffer, np.uint8).reshape(self._shape)]

    def confirm(self, count: int | None) -> None:
        """It keeps nothing."""


class ImageZmqSending:
    """imagezmq's sender: REQ waits for a reply to each frame, PUB for nobody."""

    def __init__(self, port: int, task: Task, *, reply: bool) -> None:
        import imagezmq

        where = "127.0.0.1" if reply else "*"
        self._sender: Any = imagezmq.ImageSender(f"tcp://{where}:{port}", REQ_REP=reply)

    def send(self, frame: Frame) -> None:
        self._sender.send_image("bench", frame)

    def dropped(self) -> int | None:
        return None

    def finish(self) -> None:
        time.sleep(0.5)  # it does not tell what it has queued

    def close(self) -> None:
        self._sender.close()


class ImageZmqReceiving:
    """imagezmq's hub."""

    def __init__(self, port: int, task: Task, *, reply: bool) -> None:
        import imagezmq

        where = f"tcp://*:{port}" if reply else f"tcp://127.0.0.1:{port}"
        self._hub: Any = imagezmq.ImageHub(where, REQ_REP=reply)
        self._reply = reply

    def receive(self) -> list[Frame]:
        _, frame = self._hub.recv_image()
        if self._reply:
            self._hub.send_reply(b"OK")
        return [frame]

    def confirm(self, count: int | None) -> None:
        """It keeps nothing."""


class VidGear:
    """VidGear's NetGear, pattern PAIR, its compression off as frames are raw everywhere here."""

    def __init__(self, port: int, task: Task, *, receives: bool) -> None:
        from vidgear.gears import NetGear

        options = {"jpeg_compression": False}
        self._gear: Any = NetGear(
            address="127.0.0.1",
            port=str(port),
            pattern=0,
            receive_mode=receives,
            logging=False,
            **options,
        )

    def send(self, frame: Frame) -> None:
        self._gear.send(frame)

    def receive(self) -> list[Frame]:
        frame = self._gear.recv()
        if frame is None:
            raise ConnectionError("the sender is gone")
        return [frame]

    def confirm(self, count: int | None) -> None:
        """It keeps nothing."""

    def dropped(self) -> int | None:
        return None

    def finish(self) -> None:
        """It does not tell."""

    def close(self) -> None:
        self._gear.close()


@dataclass(frozen=True, slots=True)
class Link:
    """A way to bring frames over.

    Attributes:
        name: As it stands in the table.
        sends: Makes the end that sends.
        receives: Makes the end that receives.
        module: What must be installed for it, from the package registry; empty: nothing.
    """

    name: str
    sends: Callable[[int, Task], SendEnd]
    receives: Callable[[int, Task], ReceiveEnd]
    module: str = ""

    @property
    def absent(self) -> str:
        """How to install it, if it is not there."""
        there = not self.module or importlib.util.find_spec(self.module) is not None
        return "" if there else f"pip install {self.module}"


def _request_sending(port: int, task: Task) -> SendEnd:
    return ImageZmqSending(port, task, reply=True)


def _request_receiving(port: int, task: Task) -> ReceiveEnd:
    return ImageZmqReceiving(port, task, reply=True)


def _publish_sending(port: int, task: Task) -> SendEnd:
    return ImageZmqSending(port, task, reply=False)


def _publish_receiving(port: int, task: Task) -> ReceiveEnd:
    return ImageZmqReceiving(port, task, reply=False)


def _pair_sending(port: int, task: Task) -> SendEnd:
    return VidGear(port, task, receives=False)


def _pair_receiving(port: int, task: Task) -> ReceiveEnd:
    return VidGear(port, task, receives=True)


RAW, BARE, OURS = "raw TCP", "bare ZeroMQ", "fusewatch"
LINKS = {
    link.name: link
    for link in (
        Link(RAW, RawSending, RawReceiving),
        Link(BARE, BareSending, BareReceiving),
        Link(OURS, OursSending, OursReceiving),
        Link("imagezmq REQ", _request_sending, _request_receiving, "imagezmq"),
        Link("imagezmq PUB", _publish_sending, _publish_receiving, "imagezmq"),
        Link("VidGear PAIR", _pair_sending, _pair_receiving, "vidgear"),
    )
}
