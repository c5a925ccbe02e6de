"""Enrolment by a token: two machines come to trust each other by one line of text.

The machine that is there already makes an `Invitation`: its address and public key, whom it
invites, a one-time secret and until when it holds. As a token it is handed to the new machine
by whatever way the operator trusts, and goes no other way.

::

    joiner  ── JOIN   HMAC(secret, "join", both keys, name, role)   ──>  inviter
            <── JOINED HMAC(secret, "joined", both keys, name, role) ──
            <── REFUSED code ──────────────────────────────────────────

Both say this on a CURVE link. The token pins the inviter's key, so nobody else can answer. The
joiner's handshake proves that it holds the secret of the key it joins with, which is the key
that is enrolled; its HMAC proves that it has the token, and binds both keys, so that nothing
of an exchange is of use in another one. The secret itself is never sent, nor written anywhere.

An invitation is good for one node, once, until it ends or the inviter stops. The inviter looks
at a few tries a second, whoever makes them.
"""

from __future__ import annotations

import hmac
import secrets
from math import ceil
from typing import Annotated, TypeAlias

import msgspec
import structlog
import zmq

from pipeline.core.clock import Clock
from pipeline.core.errors import AuthenticationError, TransportError
from pipeline.transport.gate import Gate
from pipeline.transport.invitation import Invitation
from pipeline.transport.key_store import KeyPair, KeyStore, PublicKey, Role
from pipeline.transport.limits import Bucket, LimitSettings
from pipeline.transport.link import Context, Socket, bound_address, connect, listen
from pipeline.transport.security import AnyKey, CurveServer, Doorkeeper, FixedClient

log = structlog.get_logger(__name__)

TRIES_PER_S = 2.0
_SECRET_BYTES = 16
_MAX_MESSAGE = 4_096
_TICK_MS = 200
_RETRY_MS = 1_000
_LINGER_MS = 2_000

_Proof = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class Join(msgspec.Struct, array_like=True, tag=1, frozen=True):
    """Joiner: here is my proof."""

    proof: _Proof


class Joined(msgspec.Struct, array_like=True, tag=2, frozen=True):
    """Inviter: your key is enrolled, and here is my proof."""

    proof: _Proof


class Turned(msgspec.Struct, array_like=True, tag=3, frozen=True):
    """Inviter: no."""

    code: Annotated[str, msgspec.Meta(max_length=40)]


_Message: TypeAlias = Join | Joined | Turned
_decode = msgspec.msgpack.Decoder(_Message).decode
_encode = msgspec.msgpack.Encoder().encode
_ENDED, _WRONG, _TOO_FAST = "ended", "wrong", "too_fast"
_WORDS = {
    _ENDED: "the invitation has ended",
    _WRONG: "the token is not the one of this invitation",
}


class Inviter:
    """Waits for the one node that was invited. All methods belong to one thread.

    Args:
        store: Keys of this machine; the joiner's is enrolled there.
        own: The key pair of this machine that the joiner will trust.
        node: Name of the node that is invited.
        role: What it is.
        listen_at: Address to listen on; port ``*``: any free one.
        reached_at: Where the joiner connects to; empty: the address listened on.
        valid_ns: How long the invitation holds.
        clock: Node time.

    Attributes:
        invitation: To be handed to the joiner, as a token.
        failed: Tries that were turned away.

    Raises:
        TransportError: The address is in use or not ours.
    """

    def __init__(
        self,
        store: KeyStore,
        own: KeyPair,
        node: str,
        role: Role,
        *,
        listen_at: str,
        reached_at: str = "",
        valid_ns: int,
        clock: Clock,
    ) -> None:
        self._store = store
        self._clock = clock
        self._context: Context = zmq.Context()
        self._doorkeeper = Doorkeeper(self._context, AnyKey())
        self._tries = Bucket(TRIES_PER_S, clock.now_ns())
        self.failed = 0
        try:
            curve = CurveServer(store, own.node, own.role, role)
            self._socket = listen(self._context, listen_at, curve, _MAX_MESSAGE)
            limits = LimitSettings(messages_per_s=20, connections_per_s=10, unheard=32)
            self._gate = Gate(
                self._socket, limits, None, max_bytes=_MAX_MESSAGE, unfinished=1 << 20
            )
        except BaseException:
            self.close()
            raise
        self.invitation = Invitation(
            reached_at or bound_address(self._socket),
            own.shared,
            node,
            role,
            secrets.token_bytes(_SECRET_BYTES),
            clock.now_ns() + valid_ns,
        )

    @property
    def ended(self) -> bool:
        """Whether the invitation holds no longer."""
        return self._clock.now_ns() >= self.invitation.ends_ns

    def poll(self, timeout_s: float) -> PublicKey | None:
        """The key of the node that joined, once it has; waits at most `timeout_s`."""
        self._socket.poll(min(ceil(timeout_s * 1e3), _TICK_MS))
        self._gate.look(self._clock.now_ns())
        while int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            frames = self._socket.recv_multipart(copy=False)
            joined = self._take(frames[0].bytes, frames[1:])
            if joined is not None:
                return joined
        return None

    def close(self) -> None:
        """Withdraw the invitation; what was answered still goes out."""
        self._doorkeeper.close()
        self._context.destroy(linger=_LINGER_MS)

    def _take(self, connection: bytes, frames: list[zmq.Frame]) -> PublicKey | None:
        now_ns = self._clock.now_ns()
        objection = self._gate.objection(connection, frames, now_ns)
        public = str(frames[-1].get("User-Id"))
        code = _TOO_FAST if objection else self._fault(frames, public, now_ns)
        if code:
            self.failed += 1
            log.warning("not joined", reason=code, public=public, count=self.failed, every_s=10)
            self._say(connection, Turned(code))
            if objection is not None and objection.code is not None:
                self._gate.refused(connection, objection.code, now_ns)
            return None
        key = PublicKey(self.invitation.node, self.invitation.role, public)
        self._store.enrol(key)
        self._say(connection, Joined(self.invitation.proof("joined", public)))
        return key

    def _fault(self, frames: list[zmq.Frame], public: str, now_ns: int) -> str:
        """Why who has this key is not let in; empty when it is."""
        if not self._tries.take(now_ns):
            return _TOO_FAST
        if self.ended:
            return _ENDED
        try:
            message = _decode(frames[0].buffer)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _WRONG
        wanted = self.invitation.proof("join", public)
        given = message.proof if isinstance(message, Join) and len(frames) == 1 else b""
        return "" if hmac.compare_digest(wanted, given) else _WRONG

    def _say(self, connection: bytes, message: _Message) -> None:
        try:
            self._socket.send_multipart((connection, _encode(message)), zmq.NOBLOCK)
        except zmq.ZMQError:
            log.warning("the one who asked is gone")


def join(invitation: Invitation, store: KeyStore, *, clock: Clock, timeout_s: float) -> KeyPair:
    """Accept an invitation: this machine's key is enrolled there, and its key here.

    The key pair is made here, unless the node has one already, and its secret stays here.

    Raises:
        AuthenticationError: The invitation is refused.
        TransportError: Nobody who holds the key of the token answers in time.
    """
    pair = store.own_or_new(invitation.node, invitation.role)
    context: Context = zmq.Context()
    try:
        keys = FixedClient(pair, invitation.server)
        socket = connect(context, invitation.address, keys, _MAX_MESSAGE)
        _ask(socket, invitation, pair, clock, clock.now_ns() + int(timeout_s * 1e9))
    finally:
        context.destroy(linger=0)
    store.enrol(invitation.server)
    return pair


def _ask(
    socket: Socket, invitation: Invitation, pair: KeyPair, clock: Clock, until_ns: int
) -> None:
    question = _encode(Join(invitation.proof("join", pair.public)))
    socket.send(question)
    while (left_ns := until_ns - clock.now_ns()) > 0:
        if not socket.poll(ceil(left_ns / 1e6)):
            continue
        try:
            answer = _decode(socket.recv())
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if isinstance(answer, Joined):
            if hmac.compare_digest(answer.proof, invitation.proof("joined", pair.public)):
                return
            raise AuthenticationError("the answer is not the inviter's", where=invitation.address)
        if isinstance(answer, Turned) and answer.code != _TOO_FAST:
            raise AuthenticationError(
                _WORDS.get(answer.code, "refused"),
                where=invitation.address,
                fix=f"make a new one: fusewatch keys invite {invitation.node}",
            )
        socket.poll(_RETRY_MS)
        socket.send(question)
    raise TransportError(
        "nobody who holds the key of the token answers",
        where=invitation.address,
        fix="is 'fusewatch keys invite' still running there, and its port reachable from here? It "
        "ends when its token is used, and when its time is over: then make a new one",
    )
