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
from urllib.parse import urlsplit

import structlog
import zmq
from zmq.utils import z85

from pipeline.core.errors import AuthenticationError
from pipeline.transport.key_store import KeyPair, KeyStore, PublicKey, Role, read_allowed

log = structlog.get_logger(__name__)

_LOOK_EVERY_S = 0.25
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


class AllowList:
    """Trusted keys of a file, read again when it changes. May be used by several threads.

    Args:
        path: The ``allowed.json`` of a key folder.
        role: Role that a peer must have.
    """

    def __init__(self, path: Path, role: Role) -> None:
        self._path = path
        self._role = role
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._looked_s = float("-inf")
        self._keys: dict[str, PublicKey] = {}
        self.version = 0

    def node_of(self, public: str) -> str | None:
        """The node a key belongs to; None when it is not trusted in this role."""
        self.look()
        key = self._keys.get(public)
        return key.node if key and key.role is self._role else None

    def look(self) -> int:
        """Read the file if it changed; the number of changes so far.

        A damaged file trusts nobody, and says so.
        """
        with self._lock:
            now_s = time.monotonic()
            if now_s - self._looked_s < _LOOK_EVERY_S:
                return self.version
            self._looked_s = now_s
            stamp = self._stamp_now()
            if stamp != self._stamp or not self.version:
                self._stamp = stamp
                self._keys = self._read()
                self.version += 1
            return self.version

    def _stamp_now(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _read(self) -> dict[str, PublicKey]:
        try:
            keys = read_allowed(self._path)
        except AuthenticationError as error:
            log.error("nobody is trusted until the allow-list is mended", error=str(error))
            return {}
        return {key.public: key for key in keys}


@dataclass(frozen=True, slots=True)
class CurveClient:
    """What the connecting side of an encrypted link needs."""

    own: KeyPair
    server: PublicKey

    def apply(self, socket: zmq.Socket[bytes]) -> None:
        """Make a socket an encrypted client."""
        socket.curve_publickey = self.own.public.encode()
        socket.curve_secretkey = self.own.secret.encode()
        socket.curve_serverkey = self.server.public.encode()


@dataclass(frozen=True, slots=True)
class CurveServer:
    """What the listening side of an encrypted link needs."""

    own: KeyPair
    allow: AllowList

    def apply(self, socket: zmq.Socket[bytes]) -> None:
        """Make a socket an encrypted server that asks `Doorkeeper`."""
        socket.curve_server = True
        socket.curve_publickey = self.own.public.encode()
        socket.curve_secretkey = self.own.secret.encode()


def curve_client(keys: Path, node: str, role: Role, server: Role) -> CurveClient:
    """Keys of `node` for its link to the one trusted node of role `server`.

    Raises:
        AuthenticationError: A key is missing, damaged or readable by others.
    """
    store = KeyStore(keys)
    return CurveClient(store.own(node, role), store.peer(server))


def curve_server(keys: Path, node: str, role: Role, clients: Role) -> CurveServer:
    """Keys of `node` for links that nodes of role `clients` open.

    Raises:
        AuthenticationError: A key is missing, damaged or readable by others.
    """
    store = KeyStore(keys)
    own = store.own(node, role)
    store.trusted()
    return CurveServer(own, AllowList(store.allowed, clients))


class Doorkeeper:
    """Answers a context's handshakes (ZeroMQ's ZAP): is this key on the allow-list?

    The key becomes the ``User-Id`` of every message of the connection.

    Args:
        context: Context of the listening socket; it can have one doorkeeper.
        allow: Who is trusted.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], allow: AllowList) -> None:
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
