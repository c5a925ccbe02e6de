"""A peer that speaks ZeroMQ's wire protocol by hand, to do what no library would."""

from __future__ import annotations

import socket
import struct
from urllib.parse import urlsplit

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_READY = b"\x05READY\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"
_MORE, _LONG, _COMMAND = 1, 2, 4


def dial(address: str) -> socket.socket:
    """A TCP connection to a ``tcp://`` address, on which nothing is said yet."""
    parts = urlsplit(address)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


def shake_hands(address: str) -> socket.socket:
    """A connection after the handshake of a DEALER without security."""
    line = dial(address)
    line.sendall(GREETING)
    _read(line, 64)
    line.sendall(bytes([_COMMAND, len(_READY)]) + _READY)
    flags, size = _read(line, 2)
    assert flags == _COMMAND
    _read(line, size)
    return line


def frame(data: bytes, *, more: bool) -> bytes:
    """One frame of a message."""
    return bytes([_LONG | (_MORE * more)]) + struct.pack(">Q", len(data)) + data


def has_ended(line: socket.socket) -> bool:
    """Wait until the other side ended the connection; whether it did."""
    try:
        while line.recv(65_536):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


def _read(line: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = line.recv(size - len(found))
        assert part, "ended in the handshake"
        found += part
    return found
