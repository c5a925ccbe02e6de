"""Which nodes a receiver knows, and by which connection each is heard.

A node name belongs to one session at a time, a session to its newest connection.
"""

from __future__ import annotations

from collections.abc import Iterator

import structlog

from pipeline.transport.peer import NodeStatus, Peer
from pipeline.transport.protocol import NODE_LOST_NS, PROTOCOL_VERSION, Hello, Refusal

log = structlog.get_logger(__name__)

MAX_NODES = 1_024
"""Most nodes remembered; names are free to invent where there are no keys."""


class Registry:
    """See the module.

    Args:
        max_streams: Most streams of one node.
    """

    def __init__(self, max_streams: int) -> None:
        self._max_streams = max_streams
        self._nodes: dict[str, Peer] = {}
        self._connections: dict[bytes, Peer] = {}
        self._heard_ns = 0  # every node that is there was heard at least as late as this

    def by_connection(self, connection: bytes) -> Peer | None:
        """The node that a connection is the newest of."""
        return self._connections.get(connection)

    def by_name(self, node: str) -> Peer | None:
        """The node of a name, also when it is lost or gone."""
        return self._nodes.get(node)

    def connected(self) -> Iterator[Peer]:
        """Nodes that have a connection."""
        return iter(tuple(self._connections.values()))

    def is_connected(self, peer: Peer) -> bool:
        """Whether a node has a connection."""
        return self._connections.get(peer.connection) is peer

    def objection(self, connection: bytes, hello: Hello, now_ns: int) -> tuple[Refusal, str] | None:
        """Why a HELLO is refused, in a code and words; None when it is welcome."""
        if hello.version != PROTOCOL_VERSION:
            words = f"version {hello.version}, we speak {PROTOCOL_VERSION}"
            return Refusal.VERSION, f"{words}: upgrade the older node"
        if (count := max(len(hello.streams), len(hello.full))) > self._max_streams:
            return Refusal.TOO_MANY_STREAMS, f"{count}, at most {self._max_streams}"
        other = self._connections.get(connection)
        if other is not None and other.node != hello.node:
            return Refusal.OUT_OF_PLACE, "this connection is another node's"
        peer = self._nodes.get(hello.node)
        if peer is None:
            full = len(self._nodes) >= MAX_NODES and not self._forget_one()
            return (Refusal.NOT_ALLOWED, f"there are {MAX_NODES} nodes already") if full else None
        if peer.session == hello.session:
            old = hello.attempt < peer.attempt and not peer.lost
            return (Refusal.OUT_OF_PLACE, "there was a newer HELLO") if old else None
        silent = peer.lost or peer.said_bye or now_ns - peer.heard_ns > NODE_LOST_NS
        return None if silent else (Refusal.NAME_TAKEN, f"{hello.node} is connected already")

    def replace(self, peer: Peer) -> None:
        """A new session takes the name of its node."""
        old = self._nodes.get(peer.node)
        if old is not None:
            self.disconnect(old)
        self._nodes[peer.node] = peer

    def connect(self, peer: Peer, connection: bytes) -> None:
        """From now on a node is heard by this connection alone."""
        self.disconnect(peer)
        peer.connection = connection
        self._connections[connection] = peer

    def disconnect(self, peer: Peer) -> None:
        """Forget the connection of a node."""
        if self.is_connected(peer):
            del self._connections[peer.connection]

    def lose(self, peer: Peer, why: str) -> None:
        """A node that should be there is not."""
        if not (peer.lost or peer.said_bye):
            peer.lost = True
            log.warning("node lost", node=peer.node, why=why)

    def tick(self, now_ns: int) -> None:
        """Notice nodes that are no longer heard."""
        if now_ns - self._heard_ns <= NODE_LOST_NS:
            return
        for peer in self._nodes.values():
            if now_ns - peer.heard_ns > NODE_LOST_NS:
                self.lose(peer, "nothing heard")
        there = [p.heard_ns for p in self._nodes.values() if not (p.lost or p.said_bye)]
        self._heard_ns = min(there, default=now_ns)

    def others(self, node: str) -> int:
        """How many nodes but this one are there."""
        return sum(
            not (peer.lost or peer.said_bye or peer.node == node) for peer in self._nodes.values()
        )

    def status(self) -> list[NodeStatus]:
        """Every node that is remembered, by name. May be called from any thread."""
        return [
            NodeStatus(p.node, p.session, p.heard_ns, p.lost, p.said_bye, tuple(sorted(p.streams)))
            for p in sorted(tuple(self._nodes.values()), key=lambda peer: peer.node)
        ]

    def _forget_one(self) -> bool:
        """Forget a node that is gone, the one heard longest ago; False when there is none."""
        gone = [peer for peer in self._nodes.values() if peer.lost or peer.said_bye]
        if not gone:
            return False
        oldest = min(gone, key=lambda peer: peer.heard_ns)
        self.disconnect(oldest)
        del self._nodes[oldest.node]
        return True
