"""The connections of a listening socket: which have spoken, and how one is ended.

ZeroMQ takes connections in and never tells which is whose, nor can it end a single one. Its
monitor says the file descriptor of each that is accepted, and every message says by which it
came; so a connection is ended by shutting its descriptor down, upon which ZeroMQ cleans up as
if the line had broken. A descriptor is used only while it is still the same socket (inode).

ZeroMQ closes a descriptor only when all that came by it lies in the socket, so what was said by
its last holder is read before anything of the next one: once the socket was seen empty after
the next one was accepted, what comes by that descriptor is the next one's. Until then, if the
last holder was never heard, it may be either's, and is put down to neither.

Three things are watched here, because ZeroMQ bounds none of them: how many connections have
said nothing yet (half-open handshakes among them), how fast an address connects, and how much
a connection has sent of messages that are not finished. All methods belong to the thread that
polls the socket.
"""

from __future__ import annotations

import os
import socket
import struct
from collections import Counter
from dataclasses import dataclass

import structlog
import zmq
from zmq.utils.monitor import recv_monitor_message

from pipeline.transport.limits import Bucket, LimitSettings
from pipeline.transport.link import READABLE, can

log = structlog.get_logger(__name__)

LOOK_NS = 200_000_000
_WATCHED = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED
_MOST_ADDRESSES = 4_096
_MOST_GONE = 4_096
_SHUT = -1
_FRAMING = 128
"""More bytes than a frame costs on the wire beside itself, encryption included."""
_BYTES_RECEIVED = 128
"""Where ``tcpi_bytes_received`` lies in Linux' ``struct tcp_info``."""


@dataclass(slots=True)
class _Line:
    """One accepted connection.

    Attributes:
        fd: Its descriptor.
        inode: Of its socket; 0: whose it is is not known.
        address: Of the peer.
        taken: Bytes of its messages that came out whole.
        contested: What comes by its descriptor may still be words of an earlier holder.
    """

    fd: int
    inode: int
    address: str
    taken: int = 0
    contested: bool = False


class Connections:
    """See the module.

    Args:
        listening: The listening socket.
        limits: How many, and how fast.
        unfinished: Bytes that one connection may be ahead of what was taken in of it.

    Attributes:
        counters: Connections ended, by reason.
    """

    def __init__(
        self, listening: zmq.Socket[bytes], limits: LimitSettings, unfinished: int
    ) -> None:
        self._listening = listening
        self._limits = limits
        self._unfinished = unfinished
        self._unheard: dict[int, _Line] = {}
        self._heard: dict[bytes, _Line] = {}
        self._silent: set[int] = set()  # descriptors whose last holder is or was never heard
        self._rates: dict[str, Bucket] = {}
        self._ending: dict[bytes, int] = {}
        self._gone: dict[bytes, bool] = {}
        self.counters: Counter[str] = Counter()
        self._monitor = listening.get_monitor_socket(_WATCHED)

    def heard(self, connection: bytes, frames: list[zmq.Frame], size: int, now_ns: int) -> None:
        """A message came by this connection, `size` bytes in all its frames."""
        if connection in self._gone:
            return
        line = self._heard.get(connection)
        if line is None or line.contested:
            self._follow(now_ns)
            line = self._heard[connection] = self._line_of(frames[-1])
        line.taken += size + _FRAMING * len(frames)

    def end(self, connection: bytes, now_ns: int) -> None:
        """End a connection, with a moment for the answer to what it said last."""
        self._ending.setdefault(connection, now_ns + LOOK_NS)

    def is_there(self, connection: bytes) -> bool:
        """Whether a connection has spoken and is not known to be gone."""
        return connection in self._heard

    def is_ending(self, connection: bytes) -> bool:
        """Whether a connection was ended; what it says meanwhile counts for nothing."""
        return connection in self._ending or self._gone.get(connection, False)

    def look(self, now_ns: int) -> None:
        """Do what is due; to be called every `LOOK_NS` or so, with no message in hand."""
        self._follow(now_ns)
        self._settle()
        for line in (*self._heard.values(), *self._unheard.values()):
            self._look_at(line)
        for connection, due_ns in tuple(self._ending.items()):
            if now_ns >= due_ns and connection in self._heard:
                _shut(self._heard[connection])

    def _look_at(self, line: _Line) -> None:
        """End a connection that keeps a message unfinished for ever."""
        if line.contested:
            return
        received = _received(line)
        line.taken = min(line.taken, received)
        if received > line.taken + self._unfinished:
            self._count("unfinished_message", line.address)
            _shut(line)
            line.inode = _SHUT

    def _settle(self) -> None:
        """Once the socket is empty, nothing of earlier holders of descriptors can come any more."""
        contested = [line for line in self._unheard.values() if line.contested]
        if contested and not can(self._listening, READABLE):
            for line in contested:
                line.contested, line.taken = False, _received(line)

    def _follow(self, now_ns: int) -> None:
        """Take in what ZeroMQ says of connections."""
        while can(self._monitor, READABLE):
            event = recv_monitor_message(self._monitor)
            if event["event"] == zmq.EVENT_ACCEPTED:
                self._accepted(int(event["value"]), now_ns)
            else:
                self._forget(int(event["value"]))

    def _accepted(self, fd: int, now_ns: int) -> None:
        self._forget(fd)
        line = _line(fd)
        line.contested = fd in self._silent
        self._silent.add(fd)
        if not self._in_time(line.address, now_ns):
            self._count("connects_too_fast", line.address)
            _shut(line)
            return
        self._unheard[fd] = line
        if len(self._unheard) > self._limits.unheard:
            crowd = Counter(line.address for line in self._unheard.values())
            most = crowd.most_common(1)[0][0]
            oldest = next(line for line in self._unheard.values() if line.address == most)
            self._count("unheard", most)
            _shut(self._unheard.pop(oldest.fd))

    def _in_time(self, address: str, now_ns: int) -> bool:
        bucket = self._rates.get(address)
        if bucket is None:
            if len(self._rates) >= _MOST_ADDRESSES:
                del self._rates[next(iter(self._rates))]
            bucket = self._rates[address] = Bucket(self._limits.connections_per_s, now_ns)
        return bucket.take(now_ns)

    def _line_of(self, frame: zmq.Frame) -> _Line:
        try:
            fd = int(frame.get(zmq.SRCFD))
        except zmq.ZMQError:  # gone already
            return _Line(-1, 0, "")
        line = self._unheard.get(fd)
        if line is None or line.contested:
            return _Line(fd, 0, "", contested=line is not None)
        self._silent.discard(fd)
        return self._unheard.pop(fd)

    def _forget(self, fd: int) -> None:
        self._unheard.pop(fd, None)
        for connection in [c for c, line in self._heard.items() if line.fd == fd]:
            del self._heard[connection]
            # What it sent before may still come; its descriptor may be another's by then.
            self._gone[connection] = self._ending.pop(connection, None) is not None
            if len(self._gone) > _MOST_GONE:
                del self._gone[next(iter(self._gone))]

    def _count(self, reason: str, address: str) -> None:
        self.counters[reason] += 1
        log.warning(
            "connection ended", reason=reason, peer=address, count=self.counters[reason], every_s=10
        )


def _line(fd: int) -> _Line:
    """A descriptor, and what shows later on that it is still the same connection."""
    try:
        with _copy(fd) as copy:
            peer = copy.getpeername()
            inode = os.fstat(copy.fileno()).st_ino
    except OSError:  # gone already
        return _Line(fd, 0, "")
    return _Line(fd, inode, peer[0] if isinstance(peer, tuple) else "")


def _shut(line: _Line) -> None:
    try:
        with _copy(line.fd) as copy:
            if os.fstat(copy.fileno()).st_ino == line.inode:
                copy.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # gone already, as was wanted


def _received(line: _Line) -> int:
    """Bytes that the system received on a TCP connection; 0 where it does not say."""
    try:
        with _copy(line.fd) as copy:
            if os.fstat(copy.fileno()).st_ino != line.inode:
                return 0
            told = copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED + 8)
    except OSError:  # not TCP, or gone
        return 0
    whole = len(told) == _BYTES_RECEIVED + 8
    return int(struct.unpack_from("=Q", told, _BYTES_RECEIVED)[0]) if whole else 0


def _copy(fd: int) -> socket.socket:
    """A descriptor of ZeroMQ's once more, to be closed by us.

    Raises:
        OSError: It is closed, or was, and is a file's or an event's by now.
    """
    copy = os.dup(fd)
    try:
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM, fileno=copy)
    except OSError:
        os.close(copy)
        raise
