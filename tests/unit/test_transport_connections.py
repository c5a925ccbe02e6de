from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from pipeline.core.clock import ManualClock
from pipeline.core.errors import TransportError
from pipeline.transport.connections import LOOK_NS, Connections
from pipeline.transport.limits import LimitSettings
from pipeline.transport.link import receive_frames
from pipeline.transport.receiver import Receiver
from tests.system.zmtp import dial, frame, has_ended, shake_hands
from tests.waiting import wait_until


class Heard:
    """A frame that came by a descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __len__(self) -> int:
        return 10

    def get(self, _option: int) -> int:
        return self._fd


class Door:
    """A listening socket whose connections are looked at by hand."""

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.bind("tcp://127.0.0.1:*")
        self.address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")
        self.connections = Connections(self._socket, LimitSettings(), 1 << 20)
        self.now_ns = 0

    def look(self, later_ns: int = 0) -> None:
        self.now_ns += later_ns
        self.connections.look(self.now_ns)

    def dial(self, how: Callable[[str], socket.socket] = dial) -> tuple[socket.socket, int]:
        """A new connection and its descriptor on our side."""
        before = set(self.connections._unheard)
        line = how(self.address)
        wait_until(lambda: self.look() or set(self.connections._unheard) - before)
        return line, (set(self.connections._unheard) - before).pop()

    def read(self) -> tuple[bytes, list[zmq.Frame]]:
        """The next message: by which connection it came, and its frames."""
        assert self._socket.poll(20_000)
        connection, *frames = receive_frames(self._socket)
        return connection.bytes, frames

    def close(self) -> None:
        self._context.destroy(0)


@pytest.fixture
def door() -> Iterator[Door]:
    found = Door()
    yield found
    found.close()


def test_an_ended_connection_is_shut_a_moment_later_and_says_nothing_more(door: Door) -> None:
    line, fd = door.dial()
    door.connections.heard(b"one", [Heard(fd)], 10, door.now_ns)
    assert not door.connections.is_ending(b"one")
    door.connections.end(b"one", door.now_ns)
    assert door.connections.is_ending(b"one")
    door.look(LOOK_NS + 1)
    assert has_ended(line)
    wait_until(lambda: door.look() or not door.connections.is_there(b"one"))
    door.connections.heard(b"one", [Heard(fd)], 10, door.now_ns)
    assert door.connections.is_ending(b"one")
    line.close()


def test_belated_messages_of_a_dead_connection_do_not_touch_who_has_its_descriptor(
    door: Door,
) -> None:
    line, fd = door.dial()
    door.connections.heard(b"dead", [Heard(fd)], 10, door.now_ns)
    line.close()
    wait_until(lambda: door.look() or not door.connections.is_there(b"dead"))
    heir, taken = door.dial()
    door.connections.heard(b"dead", [Heard(taken)], 10, door.now_ns)
    door.connections.end(b"dead", door.now_ns)
    door.connections.heard(b"heir", [Heard(taken)], 10, door.now_ns)
    door.look(10 * LOOK_NS)
    assert door.connections.is_there(b"heir")
    heir.settimeout(0.2)
    with pytest.raises(TimeoutError):
        while heir.recv(1_000):
            pass
    heir.close()


def test_first_words_read_late_are_not_put_down_to_who_has_the_descriptor_now(door: Door) -> None:
    dead, fd = door.dial(shake_hands)
    dead.sendall(frame(b"words", more=False))
    dead.close()
    wait_until(lambda: door.look() or not door.connections._unheard)
    heir, taken = door.dial(shake_hands)
    gone, words = door.read()
    assert taken == fd == words[-1].get(zmq.SRCFD)
    door.connections.heard(gone, words, 5, door.now_ns)
    door.connections.end(gone, door.now_ns)
    door.look(10 * LOOK_NS)
    heir.sendall(frame(b"words", more=False))
    there, words = door.read()
    door.connections.heard(there, words, 5, door.now_ns)
    assert not door.connections.is_ending(there)
    heir.settimeout(0.2)
    with pytest.raises(TimeoutError):
        heir.recv(1)
    door.connections.end(there, door.now_ns)
    door.look(10 * LOOK_NS)
    heir.settimeout(20)
    assert has_ended(heir)
    heir.close()


def test_words_by_an_unknown_descriptor_never_end_a_socket_of_somebody_else(door: Door) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        door.connections.heard(b"late", [Heard(ours.fileno())], 10, door.now_ns)
        door.connections.end(b"late", door.now_ns)
        door.look(10 * LOOK_NS)
        theirs.send(b"still there")
        assert ours.recv(100) == b"still there"


def test_a_descriptor_that_became_a_file_costs_none_however_often_it_is_looked_at(
    door: Door, tmp_path: Path
) -> None:
    with (tmp_path / "clip.mp4").open("wb") as file:
        door.connections.heard(b"late", [Heard(file.fileno())], 10, door.now_ns)
        before = len(os.listdir("/proc/self/fd"))
        door.connections.end(b"late", door.now_ns)
        for _ in range(50):
            door.look(LOOK_NS)
        assert len(os.listdir("/proc/self/fd")) < before + 5
        file.write(b"still open")


@pytest.mark.parametrize(
    ("endpoint", "listened"),
    [
        ("tcp://[0:0:0:0:0:0:0:1]:5600", "tcp://[0:0:0:0:0:0:0:1]:5600"),
        ("tcp://[0:0:0:0:0:0:0:1]:0", "tcp://[0:0:0:0:0:0:0:1]:*"),
        ("tcp://127.0.0.1:0", "tcp://127.0.0.1:*"),
    ],
)
def test_port_0_is_any_free_one_and_zeros_of_an_address_stay(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, listened: str
) -> None:
    asked: list[str] = []

    def listen(_context: object, address: str, *_: object) -> None:
        asked.append(address)
        raise TransportError("not here")

    monkeypatch.setattr("pipeline.transport.receiver.listen", listen)
    with pytest.raises(TransportError):
        Receiver(endpoint, clock=ManualClock(1))
    assert asked == [listened]
