"""When a datagram arrived, in node time.

The kernel stamps it where it can: a thread that slept for a while takes tens of microseconds
to wake, and more on one side than on the other. The kernel's stamp is of the system clock,
which may step between the stamp and the reading of it. A stamp that is too late does no harm,
it looks like a queue; one that is too early would be believed for long. So the stamp counts
only while the system clock keeps its distance from node time; otherwise the moment of reading
does.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

from pipeline.core.clock import Clock, difference_ns

Address: TypeAlias = tuple[str, int] | tuple[str, int, int, int]

_SO_TIMESTAMPNS = 35  # Linux; not in the socket module
_STAMP = struct.Struct("@qq")
_EXTRA_BYTES = 64
_OLDEST_NS = 1_000_000_000
_STEADY_NS = 20_000
_TRIES = 3


class ArrivalStamps:
    """Says when datagrams arrived.

    Args:
        clock: Node time.
        system_ns: The system clock, by which the kernel stamps.
    """

    def __init__(self, clock: Clock, system_ns: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._system_ns = system_ns
        self._ahead_ns, _ = self._compare()

    def arrival_ns(self, stamp_ns: int | None) -> int:
        """Node time of an arrival.

        Args:
            stamp_ns: The kernel's stamp, by the system clock; None: there is none.
        """
        now_ns = self._clock.now_ns()
        ahead_ns, took_ns = self._compare()
        moved_ns, self._ahead_ns = abs(ahead_ns - self._ahead_ns), ahead_ns
        if stamp_ns is None or moved_ns > _STEADY_NS or took_ns > _STEADY_NS:
            return now_ns
        arrival_ns = stamp_ns - ahead_ns
        return arrival_ns if 0 <= now_ns - arrival_ns < _OLDEST_NS else now_ns

    def _compare(self) -> tuple[int, int]:
        return difference_ns(self._system_ns, self._clock.now_ns, _TRIES)


def ask_for_stamps(udp: socket.socket) -> None:
    """Ask the kernel to stamp what arrives."""
    with suppress(OSError):
        udp.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


def receive(udp: socket.socket, size: int) -> tuple[bytes, int | None, Address]:
    """A datagram of up to `size` bytes, the kernel's stamp of it if any, and its sender."""
    data, extra, _, address = udp.recvmsg(size, _EXTRA_BYTES)
    for level, kind, stamp in extra:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(stamp) == _STAMP.size:
            seconds, nanoseconds = _STAMP.unpack(stamp)
            return data, seconds * 1_000_000_000 + nanoseconds, address
    return data, None, address
