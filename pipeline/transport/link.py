"""ZeroMQ sockets with the settings every link of ours has.

Nothing lingers, nothing grows without bound, dead peers are noticed, messages have a largest
size. A sender's I/O thread owns its socket; a receiver's socket belongs to the thread that
polls it.
"""

from __future__ import annotations

from typing import TypeAlias

import zmq

from pipeline.core.errors import TransportError
from pipeline.transport.security import CurveClient, CurveServer

Socket: TypeAlias = "zmq.Socket[bytes]"
Context: TypeAlias = "zmq.Context[Socket]"

HEADER_ROOM = 4 << 20
_QUEUED = 64
_HEARTBEAT_MS = 2_000
_TIMEOUT_MS = 6_000
_RECONNECT_MS = 50
_RECONNECT_MAX_MS = 400
_CONNECT_MS = 3_000
_HANDSHAKE_MS = 5_000
_BACKLOG = 128


def connect(context: Context, endpoint: str, curve: CurveClient | None, max_message: int) -> Socket:
    """A connecting DEALER socket.

    Raises:
        TransportError: The address is not one.
    """
    socket = _socket(context, zmq.DEALER, endpoint, max_message)
    socket.reconnect_ivl = _RECONNECT_MS
    socket.reconnect_ivl_max = _RECONNECT_MAX_MS
    socket.connect_timeout = _CONNECT_MS
    if curve is not None:
        curve.apply(socket)
    try:
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        socket.close()
        raise TransportError(f"cannot connect: {error.strerror}", where=endpoint) from error
    return socket


def listen(context: Context, endpoint: str, curve: CurveServer | None, max_message: int) -> Socket:
    """A listening ROUTER socket.

    Raises:
        TransportError: The address is in use or not ours.
    """
    socket = _socket(context, zmq.ROUTER, endpoint, max_message)
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    socket.setsockopt(zmq.BACKLOG, _BACKLOG)
    if curve is not None:
        curve.apply(socket)
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        socket.close()
        raise TransportError(
            f"cannot listen: {error.strerror}",
            where=endpoint,
            fix="another process may listen there already",
        ) from error
    return socket


def bound_address(socket: Socket) -> str:
    """The address a socket listens on, with the port it was given."""
    endpoint = socket.getsockopt_string(zmq.LAST_ENDPOINT)
    return endpoint.rstrip("\0")


def _socket(context: Context, kind: int, endpoint: str, max_message: int) -> Socket:
    socket = context.socket(kind)
    socket.linger = 0
    socket.sndhwm = socket.rcvhwm = _QUEUED
    socket.maxmsgsize = max_message + HEADER_ROOM
    socket.heartbeat_ivl = _HEARTBEAT_MS
    socket.heartbeat_timeout = _TIMEOUT_MS
    socket.handshake_ivl = _HANDSHAKE_MS
    socket.tcp_keepalive = 1
    socket.ipv6 = "[" in endpoint
    return socket
