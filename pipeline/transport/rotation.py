"""Replacing a node's key pair while the node runs.

The new public key is brought to the other side by a connection that the old key opens, see
`pipeline.transport.rekeying`; only when it is trusted there do the new keys take the place of
the old ones here. Wherever this breaks off, the old keys still work, and doing it again goes
on from there. The running node notices its new keys and connects by them.
"""

from __future__ import annotations

from math import ceil

import msgspec
import zmq

from pipeline.core.clock import Clock
from pipeline.core.errors import AuthenticationError, TransportError
from pipeline.transport.key_store import KeyStore, PublicKey, Role
from pipeline.transport.link import Context, Socket, connect
from pipeline.transport.rekeying import KeyTaken, NewKey
from pipeline.transport.security import CurveClient

_MAX_MESSAGE = 4_096
_decode = msgspec.msgpack.Decoder(KeyTaken | NewKey).decode
_encode = msgspec.msgpack.Encoder().encode


def rotate(
    store: KeyStore, node: str, address: str, *, clock: Clock, timeout_s: float
) -> PublicKey:
    """Give a capture node new keys; the public one.

    Args:
        store: The node's own keys, and the key of whom it connects to.
        node: Its name.
        address: Where it connects to.
        clock: Node time.
        timeout_s: Longest wait for the other side.

    Raises:
        AuthenticationError: Keys are missing, or the other side refuses the new one.
        TransportError: The other side does not answer in time; the old keys stay.
    """
    role = Role.CAPTURE
    new = store.upcoming(node, role)
    context: Context = zmq.Context()
    try:
        keys = CurveClient(store, node, role, Role.FUSION)
        socket = connect(context, address, keys, _MAX_MESSAGE)
        _bring(socket, new.shared, address, clock.now_ns() + int(timeout_s * 1e9), clock)
    finally:
        context.destroy(linger=0)
    return store.promote(node, role)


def _bring(socket: Socket, new: PublicKey, address: str, until_ns: int, clock: Clock) -> None:
    socket.send(_encode(NewKey(new.public)))
    while socket.poll(max(0, ceil((until_ns - clock.now_ns()) / 1e6))):
        try:
            answer = _decode(socket.recv())
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise AuthenticationError(
                "the new key was refused, the old one stays", where=address
            ) from None
        if isinstance(answer, KeyTaken) and answer.public == new.public:
            return
    raise TransportError(
        "no answer, the old keys stay in use",
        where=address,
        fix="is the node there running, and does it trust the present key of this one?",
    )
