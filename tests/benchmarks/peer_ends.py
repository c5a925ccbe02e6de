"""Two ends of a way to bring frames from one process to another: what they offer, ours, a socket.

An end may block for as long as its library does; whoever runs it is in a process of its own and
can be killed.
"""

from __future__ import annotations

import logging
import socket
import time
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import structlog

from pipeline.core.arrival import SampleArrived
from pipeline.core.clock import NodeClock
from pipeline.core.ledger import Ledger
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.transport.memory import keep_large_blocks
from pipeline.transport.receiver import Receiver
from pipeline.transport.sender import Sender

Frame: TypeAlias = npt.NDArray[np.uint8]

ACK_EVERY_S = 0.02
STREAM = "s"


class SendEnd(Protocol):
    """Where frames go in."""

    def send(self, frame: Frame) -> None:
        """Send a frame; may block as long as the library likes."""
        ...

    def dropped(self) -> int | None:
        """Frames that it says it did not deliver; None: it keeps no account."""
        ...

    def finish(self) -> None:
        """Wait until what is under way is delivered, where it can be known."""
        ...

    def close(self) -> None:
        """End."""
        ...


class ReceiveEnd(Protocol):
    """Where frames come out."""

    def confirm(self, count: int | None) -> None:
        """The first so many frames, or all, are where they should be: nobody need keep them."""
        ...

    def receive(self) -> list[Frame]:
        """Frames that have come, waiting a moment for the first."""
        ...


@dataclass(frozen=True, slots=True)
class Task:
    """What a link is used for.

    Attributes:
        shape: Of every frame.
        fresh: Only the newest frame matters: a consumer may be slower than the camera.
        shared: Whether ours may use shared memory.
        buffer_bytes: Ours keeps so much until it is confirmed; a capture node does by default.
    """

    shape: tuple[int, int, int]
    fresh: bool = False
    shared: bool = True
    buffer_bytes: int = 64 << 20


class OursSending:
    """Our sender."""

    def __init__(self, port: int, task: Task) -> None:
        _quiet()
        size = int(np.prod(task.shape))
        self._clock, self._ledger = NodeClock(), Ledger()
        buffer = 2 * size + 4096 if task.fresh else task.buffer_bytes
        self._sender = Sender(
            "bench",
            f"tcp://127.0.0.1:{port}",
            clock=self._clock,
            ledger=self._ledger,
            shared_memory=task.shared,
            clock_sync=False,
            buffer_bytes=buffer,
        )
        info = StreamInfo(STREAM, Modality.VIDEO, 30.0, task.shape, "uint8", stamp="exact")
        if task.fresh:
            self._sender.add_stream(info, max_waiting=1)
        else:
            self._sender.add_stream(info, "block")
        self._sender.wait_ready(10)

    def send(self, frame: Frame) -> None:
        self._sender.send(Sample(STREAM, 0, self._clock.now_ns(), frame, Encoding.RAW))

    def dropped(self) -> int | None:
        return sum(self._ledger.snapshot()[STREAM].dropped.values())

    def finish(self) -> None:
        self._sender.drain(10)

    def close(self) -> None:
        self._sender.close()


class OursReceiving:
    """Our receiver; acks what it handed over, as a consumer that commits does."""

    def __init__(self, port: int, task: Task) -> None:
        _quiet()
        keep_large_blocks()
        credit = int(np.prod(task.shape)) if task.fresh else 32 << 20
        address = f"tcp://127.0.0.1:{port}"
        self._receiver = Receiver(address, clock=NodeClock(), credit_bytes=credit)
        self._sequences: list[int] = []
        self._due_s = 0.0

    def confirm(self, count: int | None) -> None:
        confirmed = self._sequences if count is None else self._sequences[:count]
        if confirmed and time.monotonic() >= self._due_s:
            self._receiver.ack("bench", {STREAM: confirmed[-1]})
            self._due_s = time.monotonic() + ACK_EVERY_S

    def receive(self) -> list[Frame]:
        found: list[Frame] = []
        for item in self._receiver.poll(0.05):
            if isinstance(item, SampleArrived) and isinstance(item.sample.data, np.ndarray):
                self._sequences.append(item.sample.sequence)
                found.append(item.sample.data)
        return found


class RawSending:
    """A plain TCP socket: the frame as it is, of a size both know."""

    def __init__(self, port: int, task: Task) -> None:
        self._link = _connected(port)
        self._link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, frame: Frame) -> None:
        self._link.sendall(frame.data)

    def dropped(self) -> int | None:
        return None

    def finish(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        self._link.close()


class RawReceiving:
    """The other end, which reads into one buffer."""

    def __init__(self, port: int, task: Task) -> None:
        self._server = socket.create_server(("127.0.0.1", port))
        self._link: socket.socket | None = None
        self._frame = np.empty(task.shape, np.uint8)

    def receive(self) -> list[Frame]:
        if self._link is None:
            self._link, _ = self._server.accept()
        view, filled = memoryview(self._frame).cast("B"), 0
        while filled < len(view):
            count = self._link.recv_into(view[filled:])
            if not count:
                raise ConnectionError("the sender is gone")
            filled += count
        return [self._frame]

    def confirm(self, count: int | None) -> None:
        """It keeps nothing."""


def _connected(port: int) -> socket.socket:
    """A connection, once somebody listens."""
    for _ in range(200):
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise ConnectionError("nobody listens")


def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
