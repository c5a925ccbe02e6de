"""Many capture nodes in one thread, each sending what its streams show when it is due.

The thread is the fleet's own, or that of whoever calls `Fleet.turn`.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Sequence

import numpy as np
import zmq

from pipeline.core.clock import Clock
from pipeline.core.ledger import StreamAccount, missing
from pipeline.transport.link import READABLE, Context
from tests.benchmarks.fleet_nodes import LightNode, Traffic, Turn

SOCKETS = 4096
STEP_MS = 5
TICK_NS = 100_000_000
CONNECTS_A_STEP = 1
"""A node every 5 ms: a fusion node takes 200 connections a second from one address."""


class Fleet:
    """Nodes that send until they are stopped; entered, in a thread of its own.

    Args:
        nodes: The nodes.
        clock: Site time.
        seed: Of the moment in its period at which each stream has its samples.
    """

    def __init__(self, nodes: Sequence[LightNode], clock: Clock, seed: int = 0) -> None:
        self.nodes = nodes
        self.traffic = Traffic()
        self._clock = clock
        self._chance = np.random.default_rng(seed)
        self._context: Context = zmq.Context()
        self._context.max_sockets = SOCKETS
        self._poller = zmq.Poller()
        self._by_socket: dict[zmq.Socket[bytes], LightNode] = {}
        self._to_connect = list(reversed(nodes))
        self._turns: list[tuple[int, int, Turn]] = []
        self._ending = self._ended = self._stopped = False
        self._looked_ns = 0
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="fleet")

    def __enter__(self) -> Fleet:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        self._thread.join()

    @property
    def ready(self) -> int:
        """How many nodes are welcome."""
        self._raise()
        return sum(node.ready for node in self.nodes)

    @property
    def done(self) -> bool:
        """Whether all that was captured is acked or dropped."""
        self._raise()
        return all(node.done for node in self.nodes)

    def end(self) -> None:
        """Nothing more is captured, and every stream ends."""
        self._ending = True

    def accounts(self) -> dict[str, StreamAccount]:
        """The ledgers of all nodes."""
        return {s: a for node in self.nodes for s, a in node.ledger.snapshot().items()}

    def unexplained(self) -> dict[str, int]:
        """Streams whose books do not add up."""
        return missing(self.accounts())

    def _raise(self) -> None:
        if self._failure is not None:
            raise RuntimeError("the fleet has stopped") from self._failure

    def turn(self, wait_ms: int) -> None:
        """Send what is due, and take in what comes; waits for that for at most `wait_ms`."""
        now_ns = self._clock.now_ns()
        self._connect_some()
        if not self._ending:
            self._capture(now_ns)
        elif not self._ended:
            self._ended = True
            for node in self.nodes:
                node.end()
        if self._ended or now_ns - self._looked_ns >= TICK_NS:
            self._looked_ns = now_ns
            self._look(now_ns)
        for socket, _ in self._poller.poll(wait_ms):
            node = self._by_socket[socket]
            node.hear()
            node.send(self.traffic)

    def close(self) -> None:
        """All nodes say goodbye; for who called `turn`, without a thread."""
        for node in self.nodes:
            node.goodbye()
        for node in self.nodes:
            if node.socket is not None:
                node.socket.close(200)
        self._context.term()

    def _run(self) -> None:
        try:
            while not self._stopped:
                self.turn(STEP_MS)
        except Exception as error:  # told to whoever looks
            self._failure = error
        finally:
            self.close()

    def _connect_some(self) -> None:
        for _ in range(min(CONNECTS_A_STEP, len(self._to_connect))):
            node = self._to_connect.pop()
            self._connect(node)
            for name, shown in node.streams.items():
                start = int(self._chance.integers(len(shown.parts)))
                phase_ns = int(self._chance.integers(shown.every_ns))
                due_ns = self._clock.now_ns() + phase_ns
                turn = Turn(node, name, shown, start)
                heapq.heappush(self._turns, (due_ns, id(turn), turn))

    def _connect(self, node: LightNode) -> None:
        if node.socket is not None:
            self._poller.unregister(node.socket)
            del self._by_socket[node.socket]
        node.connect(self._context)
        if node.socket is not None:
            self._by_socket[node.socket] = node
            self._poller.register(node.socket, READABLE)

    def _capture(self, now_ns: int) -> None:
        touched = set()
        while self._turns and self._turns[0][0] <= now_ns:
            due_ns, number, turn = self._turns[0]
            shown = turn.shown
            # Sound is stamped at its first sample, and given when its last one is over.
            turn.node.capture(turn, due_ns - (shown.every_ns if shown.length else 0))
            touched.add(turn.node)
            heapq.heapreplace(self._turns, (due_ns + shown.every_ns, number, turn))
        for node in touched:
            node.send(self.traffic)

    def _look(self, now_ns: int) -> None:
        for node in self.nodes:
            if node.tick(now_ns):
                self._connect(node)
            node.send(self.traffic)
