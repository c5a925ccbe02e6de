"""Encryption and who may connect.

Links that leave the machine use CURVE. A receiver asks its allow-list at every handshake,
and binds what the handshake proved to the node name in HELLO; the list is read again when
its file changes, so a revoked or replaced key counts from the next message on.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import structlog
import zmq
from zmq.utils import z85

from pipeline.core.errors import AuthenticationError
from pipeline.transport.allow_list import AllowList, Stamps
from pipeline.transport.key_store import KeyPair, KeyStore, PublicKey, Role

log = structlog.get_logger(__name__)

_STANDS_S = 10.0
"""A connection that lasted so long was made with the right keys, seconds."""
_DOOR_POLL_MS = 100
_ZAP = "inproc://zeromq.zap.01"


def needs_curve(endpoint: str) -> bool:
    """Whether traffic on this address may leave the machine: all but loopback and ipc."""
    if not endpoint.startswith("tcp://"):
        return False
    try:
        host = urlsplit(endpoint.replace("*", "0.0.0.0")).hostname or ""
        return not (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return True


@dataclass(frozen=True, slots=True)
class FixedClient:
    """Keys of the connecting side that do not change."""

    own: KeyPair
    server: PublicKey

    def apply(self, socket: zmq.Socket[bytes]) -> None:
        """Make a socket an encrypted client."""
        socket.curve_publickey = self.own.public.encode()
        socket.curve_secretkey = self.own.secret.encode()
        socket.curve_serverkey = self.server.public.encode()


class CurveClient:
    """What the connecting side of an encrypted link needs; used by one thread.

    Keys are read again for each connection, so that new ones are used without a restart. While
    two keys of the server are trusted, connections that do not come to stand try one after
    the other. Without usable keys nothing connects, until there are some again.

    Args:
        store: This machine's keys.
        node: Whose keys these are.
        role: What that node is.
        server: Role of the node that is connected to.

    Raises:
        AuthenticationError: A key is missing, damaged or readable by others.
    """

    def __init__(self, store: KeyStore, node: str, role: Role, server: Role) -> None:
        self._store = store
        self._who = node, role
        self._role = server
        self._files = Stamps(store.secret_file(node), store.allowed)
        self._upcoming = Stamps(store.public_file(node, upcoming=True))
        self._turn = 0
        self._news = self._expected = ""
        self._overlap = False
        self._applied_s = float("-inf")
        self.own, self.server = self._read()

    def apply(self, socket: zmq.Socket[bytes]) -> None:
        """Make a socket an encrypted client."""
        now_s = time.monotonic()
        self._turn += now_s - self._applied_s < _STANDS_S
        self._applied_s = now_s
        self._files.changed()
        try:
            self.own, self.server = self._read()
        except AuthenticationError as error:
            log.error("no key to connect with", error=str(error), every_s=30)
            # A key that nobody has: the handshake fails, and this node keeps what it captures.
            self.server = PublicKey("", self._role, zmq.curve_keypair()[0].decode())
        FixedClient(self.own, self.server).apply(socket)

    def expect(self, public: str) -> None:
        """Of several keys of the server that are trusted, use this one for the next connection."""
        self._expected = public

    def changed(self, news: str = "") -> bool:
        """Whether a connection made before must be made anew: its keys are no longer right.

        Args:
            news: The key that the server will have next, as it said on this connection.
        """
        self._keep_order(news)
        if not self._files.changed():
            return False
        try:
            own, servers = self._store.own(*self._who), self._store.peers(self._role)
        except AuthenticationError:
            return True
        return own != self.own or self.server not in servers

    def upcoming(self) -> str:
        """The key that is to replace our own, when it has just been made; else empty."""
        if not self._upcoming.changed():
            return ""
        try:
            return self._store.upcoming_public(self._who[0])
        except AuthenticationError as error:
            log.error("going on with the keys of before", error=str(error), every_s=30)
            return ""

    def _keep_order(self, news: str) -> None:
        """Trust the key that the server will have next, and the one before it no longer than so."""
        try:
            if news and news not in (self._news, self.server.public):
                self._news = news
                self._store.enrol(PublicKey(self.server.node, self._role, news), beside=True)
                log.info("the other side's next key is trusted too", peer=self.server.node)
            if self._overlap and time.monotonic() - self._applied_s > _STANDS_S:
                self._overlap = False
                self._store.settle(self.server)
        except (OSError, AuthenticationError) as error:
            log.error("keys cannot be kept in order", error=str(error), every_s=30)

    def _read(self) -> tuple[KeyPair, PublicKey]:
        servers = self._store.peers(self._role)
        self._overlap = len(servers) > 1
        expected = [key for key in servers if key.public == self._expected]
        others = servers[-1 - self._turn % len(servers)]
        chosen = expected[0] if expected and self._turn % 2 == 0 else others
        return self._store.own(*self._who), chosen


class CurveServer:
    """What the listening side of an encrypted link needs; used by one thread.

    Args:
        store: This machine's keys.
        node: Whose keys these are.
        role: What that node is.
        clients: Role of the nodes that connect.

    Attributes:
        own: The key pair.
        allow: Who may connect.
        upcoming: Public key of the pair that is to replace it; empty: none.

    Raises:
        AuthenticationError: A key is missing, damaged or readable by others.
    """

    upcoming = ""

    def __init__(self, store: KeyStore, node: str, role: Role, clients: Role) -> None:
        store.trusted()
        self._store = store
        self._who = node, role
        self._files = Stamps(store.secret_file(node), store.public_file(node, upcoming=True))
        self._unbound = False
        self.own = store.own(node, role)
        self.allow = AllowList(store.allowed, clients)

    def apply(self, socket: zmq.Socket[bytes]) -> None:
        """Make a socket an encrypted server that asks `Doorkeeper`."""
        socket.curve_server = True
        socket.curve_publickey = self.own.public.encode()
        socket.curve_secretkey = self.own.secret.encode()

    def follow(self, socket: zmq.Socket[bytes], address: str) -> bool:
        """Take over a key pair that has replaced ours; true once new connections are made by it.

        Those made before go on, and are the caller's to end.
        """
        if self._files.changed():
            self._read(socket, address)
        if not self._unbound:
            return False
        self.apply(socket)
        try:
            socket.bind(address)
        except zmq.ZMQError as error:  # what listened before is still being closed
            log.warning("not listening yet with the new key", error=str(error), every_s=5)
            return False
        self._unbound = False
        log.info("listening with the new key", public=self.own.public)
        return True

    def _read(self, socket: zmq.Socket[bytes], address: str) -> None:
        node, role = self._who
        try:
            own = self._store.own(node, role)
            self.upcoming = self._store.upcoming_public(node)
        except AuthenticationError as error:
            log.error("going on with the keys of before", error=str(error), every_s=30)
            return
        if own != self.own:
            self.own = own
            socket.unbind(address)
            self._unbound = True


def curve_client(keys: Path, node: str, role: Role, server: Role) -> CurveClient:
    """Keys of `node` for its link to the one trusted node of role `server`.

    Raises:
        AuthenticationError: A key is missing, damaged or readable by others.
    """
    return CurveClient(KeyStore(keys), node, role, server)


def curve_server(keys: Path, node: str, role: Role, clients: Role) -> CurveServer:
    """Keys of `node` for links that nodes of role `clients` open.

    Raises:
        AuthenticationError: A key is missing, damaged or readable by others.
    """
    return CurveServer(KeyStore(keys), node, role, clients)


class Trust(Protocol):
    """Says who may connect."""

    def node_of(self, public: str) -> str | None:
        """The node a key belongs to; None: it may not connect."""
        ...


class AnyKey:
    """Lets every key connect: who it is must be asked on the link."""

    def node_of(self, public: str) -> str:
        """Nobody yet."""
        del public
        return ""


class Doorkeeper:
    """Answers a context's handshakes (ZeroMQ's ZAP): is this key on the allow-list?

    The key becomes the ``User-Id`` of every message of the connection.

    Args:
        context: Context of the listening socket; it can have one doorkeeper.
        allow: Who is trusted.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], allow: Trust) -> None:
        self._allow = allow
        self._closing = threading.Event()
        self._socket = context.socket(zmq.REP)
        self._socket.linger = 0
        self._socket.bind(_ZAP)
        self.refused = 0
        self._thread = threading.Thread(target=self._run, name="doorkeeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        with self._socket as socket:
            while not self._closing.is_set():
                if socket.poll(_DOOR_POLL_MS):
                    socket.send_multipart(self._answer(socket.recv_multipart()))

    def _answer(self, request: list[bytes]) -> list[bytes]:
        """Reply to ``version, request id, domain, address, identity, mechanism, key``."""
        request_id = request[1] if len(request) > 1 else b""
        if len(request) == 7 and request[5] == b"CURVE" and len(request[6]) == 32:
            public = z85.encode(request[6])
            if self._allow.node_of(public.decode()) is not None:
                return [b"1.0", request_id, b"200", b"OK", public, b""]
            self._refuse(public.decode())
        return [b"1.0", request_id, b"400", b"not allowed", b"", b""]

    def _refuse(self, public: str) -> None:
        self.refused += 1
        if self.refused in (1, 10, 100) or self.refused % 1000 == 0:
            log.warning("unknown key refused", public=public, count=self.refused)
