"""ZeroMQ sockets with the settings every link of ours has.

Nothing lingers, nothing grows without bound, dead peers are noticed, messages have a largest
size. A sender's I/O thread owns its socket; a receiver's socket belongs to the thread that
polls it.

ZeroMQ's own heartbeats stay off: a process that was stopped, and wakes up with a full queue from
a peer that has gone, is ended by a failed assertion of libzmq (4.3.5, libzmq issues 4364, 4767).
Our protocols have heartbeats of their own, and TCP notices machines that are gone for good.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import zmq

from pipeline.core.codec import Buffer
from pipeline.core.errors import TransportError
from pipeline.transport.security import CurveClient, CurveServer, FixedClient

Socket: TypeAlias = "zmq.Socket[bytes]"
Context: TypeAlias = "zmq.Context[Socket]"

HEADER_ROOM = 4 << 20
READABLE, WRITABLE = int(zmq.POLLIN), int(zmq.POLLOUT)
"""Events as plain numbers: arithmetic with pyzmq's enum costs a microsecond each time."""
_DONT_WAIT, _MORE = int(zmq.DONTWAIT), int(zmq.SNDMORE)
_QUEUED = 64
_PROBE_AFTER_S, _PROBE_EVERY_S, _PROBES = 10, 5, 3
_RECONNECT_MS = 50
_RECONNECT_MAX_MS = 400
_CONNECT_MS = 3_000
_HANDSHAKE_MS = 5_000
_BACKLOG = 128


def connect(
    context: Context, endpoint: str, curve: CurveClient | FixedClient | None, max_message: int
) -> Socket:
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


def can(socket: Socket, event: int) -> bool:
    """Whether a socket is `READABLE` or `WRITABLE` now."""
    return bool(int(socket.getsockopt(zmq.EVENTS)) & event)


def receive_frames(socket: Socket) -> list[zmq.Frame]:
    """The frames of a message of a socket that `can` be read, not copied.

    Each frame knows whether more follow: to ask the socket, as `recv_multipart` does, costs more.
    """
    frame = socket.recv(_DONT_WAIT, copy=False)
    frames = [frame]
    while frame.more:
        frame = socket.recv(_DONT_WAIT, copy=False)
        frames.append(frame)
    return frames


def send_frames(socket: Socket, frames: Sequence[Buffer]) -> None:
    """Send without waiting: the first frame copied, large payloads from their own memory.

    Whoever calls this has seen that the socket takes a message; if it does not after all, the
    message is lost like on a broken line, and the heartbeat finds out.
    """
    last = len(frames) - 1
    for number, frame in enumerate(frames):
        more = _MORE if number < last else 0
        data = frame.data if isinstance(frame, np.ndarray) else frame
        try:
            socket.send(data, _DONT_WAIT | more, copy=number == 0)
        except zmq.Again:
            return  # the connection broke between the look and the sending


def with_any_port(endpoint: str) -> str:
    """An address to listen on as ZeroMQ wants it: port 0 is any free one."""
    return endpoint.removesuffix(":0") + ":*" if endpoint.endswith(":0") else endpoint


def bound_address(socket: Socket) -> str:
    """The address a socket listens on, with the port it was given."""
    endpoint = socket.getsockopt_string(zmq.LAST_ENDPOINT)
    return endpoint.rstrip("\0")


def _socket(context: Context, kind: int, endpoint: str, max_message: int) -> Socket:
    socket = context.socket(kind)
    socket.linger = 0
    socket.sndhwm = socket.rcvhwm = _QUEUED
    socket.maxmsgsize = max_message + HEADER_ROOM
    socket.handshake_ivl = _HANDSHAKE_MS
    socket.tcp_keepalive = 1
    socket.tcp_keepalive_idle = _PROBE_AFTER_S
    socket.tcp_keepalive_intvl = _PROBE_EVERY_S
    socket.tcp_keepalive_cnt = _PROBES
    socket.ipv6 = "[" in endpoint
    return socket
