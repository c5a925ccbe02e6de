"""Which connections of a listening node may say something now: keys and limits of its peers.

The key of a connection is the one its handshake proved. It is asked of the allow-list again
whenever that file changes, so a key that is revoked ends its connection within moments, also
when nothing is said by it. Rates count by key, so that connecting anew gives no more; without
keys, by connection.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import structlog
import zmq

from pipeline.transport.connections import LOOK_NS, Connections
from pipeline.transport.limits import Bucket, LimitSettings
from pipeline.transport.protocol import Refusal
from pipeline.transport.rekeying import NewKey
from pipeline.transport.security import CurveServer

log = structlog.get_logger(__name__)

REFUSED_COST = 50.0
"""What a refused message costs of the rate of messages, beside itself."""
_MOST_REMEMBERED = 4_096
_ENDING = frozenset({Refusal.TOO_FAST, Refusal.TOO_LARGE, Refusal.OVER_CREDIT})


class Objection(NamedTuple):
    """Why a message is not taken.

    Attributes:
        code: The reason; None: the connection is being ended and need not be answered again.
        detail: In words.
    """

    code: Refusal | None
    detail: str = ""


class Gate:
    """See the module. All methods belong to the thread that polls the socket.

    Args:
        listening: The listening socket.
        limits: Limits of each peer.
        curve: Keys and who is trusted; None: who connects has no key that matters.
        max_bytes: Largest message, all frames together.
        unfinished: Bytes that a connection may be ahead of what was taken in of it.

    Attributes:
        counters: What was turned away, by reason, beside what the owner counts itself.
    """

    def __init__(
        self,
        listening: zmq.Socket[bytes],
        limits: LimitSettings,
        curve: CurveServer | None,
        *,
        max_bytes: int,
        unfinished: int,
    ) -> None:
        self._limits = limits
        self._curve = curve
        self._allow = curve.allow if curve else None
        self._listening = listening
        self._address = listening.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")
        self._max_bytes = max_bytes
        self._connections = Connections(listening, limits, unfinished)
        self._version = 0
        self._looked_ns = 0
        self._told: set[tuple[bytes, str]] = set()
        self._keys: dict[bytes, str] = {}
        self._messages: dict[str | bytes, Bucket] = {}
        self._hellos: dict[str | bytes, Bucket] = {}
        self._counters: Counter[str] = Counter()

    @property
    def counters(self) -> Counter[str]:
        """What was turned away, by reason, beside what the owner counts itself."""
        return self._counters + self._connections.counters

    def objection(
        self, connection: bytes, frames: list[zmq.Frame], now_ns: int
    ) -> Objection | None:
        """Why a message is not taken, before it is read; None when it may be.

        Args:
            connection: By which it came.
            frames: The message without the connection.
            now_ns: The time.
        """
        size = sum(map(len, frames))
        self._connections.heard(connection, frames, size, now_ns)
        if self._connections.is_ending(connection):
            self._counters["after_the_end"] += 1
            return Objection(None)
        if self._allow is not None:
            key = self._keys.get(connection)
            if key is None:
                key = self._remember(connection, str(frames[-1].get("User-Id")))
            if self._allow.node_of(key) is None:
                return Objection(Refusal.NOT_ALLOWED, "the key is not trusted")
        if size > self._max_bytes:
            return Objection(Refusal.TOO_LARGE, f"{size} bytes, at most {self._max_bytes}")
        if not self._take(self._messages, self._limits.messages_per_s, connection, now_ns, 1.0):
            return Objection(Refusal.TOO_FAST, f"over {self._limits.messages_per_s:g} messages/s")
        return None

    def hello_objection(self, connection: bytes, others: int, now_ns: int) -> Objection | None:
        """Why a HELLO is not taken; `others` is how many other nodes are connected."""
        if not self._take(self._hellos, self._limits.hellos_per_s, connection, now_ns, 1.0):
            return Objection(Refusal.TOO_FAST, f"over {self._limits.hellos_per_s:g} HELLO/s")
        if others >= self._limits.peers:
            return Objection(Refusal.NOT_ALLOWED, f"there are {self._limits.peers} nodes already")
        return None

    def refused(self, connection: bytes, code: Refusal, now_ns: int) -> bool:
        """A message was refused and answered so; whether its connection is ended for that."""
        rate = self._limits.messages_per_s
        in_time = self._take(self._messages, rate, connection, now_ns, REFUSED_COST)
        untrusted = code is Refusal.NOT_ALLOWED and self.node_of(connection) is None
        if code in _ENDING or untrusted or not in_time:
            self._connections.end(connection, now_ns)
            return True
        return False

    def node_of(self, connection: bytes) -> str | None:
        """Node that the key of a connection belongs to; None: not trusted; empty: no keys."""
        if self._allow is None:
            return ""
        key = self._keys.get(connection)
        return None if key is None else self._allow.node_of(key)

    def key_of(self, connection: bytes) -> str:
        """Key that the handshake of a connection proved; empty without encryption."""
        return self._keys.get(connection, "")

    def rekey(self, connection: bytes, new: NewKey, now_ns: int) -> Objection | None:
        """A peer brings the key that replaces its own; why it is not taken."""
        if self._allow is None:
            return Objection(Refusal.OUT_OF_PLACE, "this link has no keys")
        if not self._take(self._hellos, self._limits.hellos_per_s, connection, now_ns, 1.0):
            return Objection(Refusal.TOO_FAST, "too many keys")
        fault = self._allow.trust_also(self.key_of(connection), new.public)
        return Objection(Refusal.NOT_ALLOWED, fault) if fault else None

    def look(self, now_ns: int) -> list[bytes]:
        """Do what is due; connections whose key was trusted and no longer is.

        They are to be told, and are ended. To be called at least every `LOOK_NS`.
        """
        if 0 <= now_ns - self._looked_ns < LOOK_NS:
            return []
        self._looked_ns = now_ns
        if self._curve is not None and self._curve.follow(self._listening, self._address):
            for connection in self._keys:
                self._connections.end(connection, now_ns)
        revoked = self._revoked(now_ns)
        self._connections.look(now_ns)
        return revoked

    def untold(self) -> list[tuple[bytes, NewKey]]:
        """What is to be told of the key that will replace ours: to whom, and which it is."""
        new = self._curve.upcoming if self._curve else ""
        if not new:
            return []
        trusted = [c for c in self._keys if self._connections.is_there(c) and self.node_of(c)]
        untold = [c for c in trusted if (c, new) not in self._told]
        self._told = {(c, new) for c in trusted}
        for connection in untold:
            log.info("told of our next key", peer=self.node_of(connection))
        return [(connection, NewKey(new)) for connection in untold]

    def _revoked(self, now_ns: int) -> list[bytes]:
        if self._allow is None or self._allow.look() == self._version:
            return []
        self._version = self._allow.look()
        found = []
        for connection, key in tuple(self._keys.items()):
            if self._allow.node_of(key) is None:
                del self._keys[connection]
                if self._connections.is_there(connection):
                    found.append(connection)
                    self._counters["revoked_key"] += 1
                    log.warning("key is no longer trusted, its connection is ended", public=key)
                    self._connections.end(connection, now_ns)
        return found

    def _remember(self, connection: bytes, key: str) -> str:
        if len(self._keys) >= _MOST_REMEMBERED:
            self._keys = {c: k for c, k in self._keys.items() if self._connections.is_there(c)}
        self._keys[connection] = key
        if self._allow is not None:
            self._allow.look()
            self._allow.seen(key)
        return key

    def _take(
        self,
        buckets: dict[str | bytes, Bucket],
        per_s: float,
        connection: bytes,
        now_ns: int,
        cost: float,
    ) -> bool:
        who = self._keys.get(connection) or connection
        bucket = buckets.get(who)
        if bucket is None:
            if len(buckets) >= _MOST_REMEMBERED:
                del buckets[next(iter(buckets))]
            bucket = buckets[who] = Bucket(per_s, now_ns)
        return bucket.take(now_ns, cost)
