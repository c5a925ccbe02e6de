"""Clock exchanges over UDP: a responder beside the receiver, a prober beside the sender.

A probe is 40 bytes: magic, a random number, the time it was asked. The answer has the same
size and carries the two times of the other side; nobody can use the responder to make much
out of little. It answers nothing that is not a probe, and keeps nothing. The prober believes
only answers to its own random number from the address it asked.

Arrival is stamped by the kernel where it can: a thread that slept for a while takes tens of
microseconds to wake, and more on one side than on the other.

The first `FAST_PROBES` follow at once, so that there is an estimate within 100 ms; then one
every `INTERVAL_S`. When UDP gives nothing for `FALLBACK_NS`, the exchanges that ride on the
link's heartbeats count instead.
"""

from __future__ import annotations

import secrets
import select
import socket
import struct
import threading
import time
from contextlib import suppress
from typing import TypeAlias
from urllib.parse import urlsplit

import structlog

from pipeline.core.clock import Clock
from pipeline.core.errors import TransportError
from pipeline.transport.clock_sync import ClockEstimate, ClockEstimator
from pipeline.transport.protocol import ClockAnswer

log = structlog.get_logger(__name__)

_PROBE = struct.Struct("<8sQqqq")
_MAGIC_ASK = b"FWCLKAS1"
_MAGIC_ANSWER = b"FWCLKAN1"
FAST_PROBES = 8
FAST_S = 0.008
INTERVAL_S = 0.125
FALLBACK_NS = 10_000_000_000
_ESTIMATE_EVERY = 8
_WAIT_S = 0.2
_SO_TIMESTAMPNS = 35  # Linux; not in the socket module
_STAMP = struct.Struct("@qq")
_EXTRA_BYTES = 64
_OLDEST_NS = 1_000_000_000

Address: TypeAlias = tuple[str, int] | tuple[str, int, int, int]


class ClockResponder:
    """Answers probes from a thread of its own.

    Args:
        host: Address to listen on; empty: every address.
        port: UDP port; 0: any free one.
        clock: Site time.

    Raises:
        TransportError: The port is taken.
    """

    def __init__(self, host: str, port: int, clock: Clock) -> None:
        self._clock = clock
        family = socket.AF_INET6 if ":" in host or not host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        if not host:
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise TransportError(
                f"cannot answer clock probes: {error.strerror}", where=f"udp {host}:{port}"
            ) from error
        self.port: int = self._socket.getsockname()[1]
        self.refused = 0
        stamp_arrivals(self._socket)
        self._socket.settimeout(_WAIT_S)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clock-responder", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._closing.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                data, received, address = receive(self._socket, self._clock)
            except OSError:  # nothing came, or an ICMP error of an earlier answer
                continue
            if len(data) != _PROBE.size or data[:8] != _MAGIC_ASK:
                self.refused += 1
                continue
            _, number, asked, _, _ = _PROBE.unpack(data)
            try:
                answer = _PROBE.pack(_MAGIC_ANSWER, number, asked, received, self._clock.now_ns())
                self._socket.sendto(answer, address)
            except OSError as error:
                log.debug("clock probe not answered", error=error.strerror)


class ClockSync:
    """Keeps an estimate of the clock offset to a receiver, from a thread of its own.

    Args:
        endpoint: Address of the receiver's link; probes go to the same port on UDP. An
            address without a port (ipc) is asked over the link alone.
        clock: Node time.
    """

    def __init__(self, endpoint: str, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._udp = ClockEstimator("udp")
        self._link = ClockEstimator("zmq")
        self._estimate: ClockEstimate | None = None
        self._closing = threading.Event()
        self._target = probe_target(endpoint)
        self._open: dict[int, int] = {}
        self._thread = threading.Thread(target=self._run, name="clock-sync", daemon=True)
        if self._target is not None:
            self._thread.start()

    def estimate(self) -> ClockEstimate | None:
        """The offset now; None before the first exchange."""
        with self._lock:
            found = self._estimate
        return found.at(self._clock.now_ns()) if found else None

    def add_link_exchange(self, answer: ClockAnswer, heard_ns: int) -> None:
        """An exchange that came over the link; used when UDP does not pass."""
        with self._lock:
            self._link.add(answer.asked_ns, answer.received_ns, answer.answered_ns, heard_ns)
            udp_ns = self._udp.newest_ns
            if udp_ns is None or heard_ns - udp_ns > FALLBACK_NS:
                self._estimate = self._link.estimate()

    def restart(self) -> None:
        """The receiver is another process now, and may have another clock."""
        with self._lock:
            self._udp.clear()
            self._link.clear()
        self._open.clear()

    def close(self) -> None:
        """Stop asking."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                with self._connected() as udp:
                    self._probe(udp)
            except OSError as error:  # no route, no such host: try again later
                log.debug("no clock probes", error=error.strerror)
                self._closing.wait(1.0)

    def _connected(self) -> socket.socket:
        host, port = self._target or ("", 0)
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[
            0
        ]
        udp = socket.socket(family, kind, protocol)
        try:
            udp.connect(address)
            udp.setblocking(False)
            stamp_arrivals(udp)
        except OSError:
            udp.close()
            raise
        return udp

    def _probe(self, udp: socket.socket) -> None:
        count = 0
        while not self._closing.is_set():
            self._ask(udp)
            count += 1
            until = self._clock.now_ns() + int(
                (FAST_S if count < FAST_PROBES else INTERVAL_S) * 1e9
            )
            while (left := until - self._clock.now_ns()) > 0 and not self._closing.is_set():
                ready, _, _ = select.select([udp], [], [], left / 1e9)
                if ready:
                    self._hear(udp, count)

    def _ask(self, udp: socket.socket) -> None:
        number = secrets.randbits(64)
        while len(self._open) > 2 * FAST_PROBES:
            self._open.pop(next(iter(self._open)))
        asked = self._clock.now_ns()
        self._open[number] = asked
        with suppress(ConnectionRefusedError):  # tells that the probe before found nobody
            udp.send(_PROBE.pack(_MAGIC_ASK, number, asked, 0, 0))

    def _hear(self, udp: socket.socket, count: int) -> None:
        try:
            data, heard_ns, _ = receive(udp, self._clock)
        except (BlockingIOError, ConnectionRefusedError):
            return
        if len(data) != _PROBE.size or data[:8] != _MAGIC_ANSWER:
            return
        _, number, _, received, answered = _PROBE.unpack(data)
        asked = self._open.pop(number, None)
        if asked is None:
            return
        with self._lock:
            self._udp.add(asked, received, answered, heard_ns)
            if count <= FAST_PROBES or count % _ESTIMATE_EVERY == 0 or self._estimate is None:
                self._estimate = self._udp.estimate()


def stamp_arrivals(udp: socket.socket) -> None:
    """Ask the kernel to stamp what arrives; without that, `receive` stamps it itself."""
    with suppress(OSError):
        udp.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


def receive(udp: socket.socket, clock: Clock) -> tuple[bytes, int, Address]:
    """A datagram, when it arrived, and from where.

    The kernel's stamp is of the system clock, which may step; it is taken as an age, and not
    believed when that is negative or long.
    """
    data, extra, _, address = udp.recvmsg(_PROBE.size + 1, _EXTRA_BYTES)
    before, system, after = clock.now_ns(), time.time_ns(), clock.now_ns()
    now = (before + after) // 2
    for level, kind, stamp in extra:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(stamp) == _STAMP.size:
            seconds, nanoseconds = _STAMP.unpack(stamp)
            age = system - (seconds * 1_000_000_000 + nanoseconds)
            if 0 <= age < _OLDEST_NS:
                return data, now - age, address
    return data, now, address


def probe_target(endpoint: str) -> tuple[str, int] | None:
    """Host and UDP port of a ``tcp://`` address; None for any other."""
    if not endpoint.startswith("tcp://"):
        return None
    parts = urlsplit(endpoint)
    return (parts.hostname, parts.port) if parts.hostname and parts.port else None
