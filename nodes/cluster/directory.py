"""The directory of a cluster as a process: it tells capture nodes which worker is theirs.

What it says is read from the store, so it has no state, several may run, and it is needed only by
nodes that look for their worker. While the database is away it says so, and they go on asking.
"""

from __future__ import annotations

import structlog
from prometheus_client import CollectorRegistry, Gauge

from nodes.health import Health
from nodes.links import directory_server
from nodes.places import fusion_store
from pipeline.config.addresses import host_of, is_this_machine
from pipeline.config.deployment import Deployment
from pipeline.config.groups import scenes_of_node
from pipeline.core.clock import Clock
from pipeline.core.errors import ConfigError, StoreError
from pipeline.store import FusionStore, Served, place_of
from pipeline.transport.directory_messages import Here, Nowhere
from pipeline.transport.directory_server import DirectoryServer

log = structlog.get_logger(__name__)

READ_NS = 200_000_000
"""What was read of the store is good for so long."""


class DirectoryNode:
    """The directory process of a deployment.

    Args:
        deployment: The whole deployment.
        clock: Node time.
        address: Which of its directories this is; None: the first.

    Raises:
        ConfigError: It is none of them.
    """

    name = "directory"

    def __init__(self, deployment: Deployment, clock: Clock, address: str | None = None) -> None:
        known = deployment.engine.directory
        if not deployment.engine.is_ray or (address is not None and address not in known):
            raise ConfigError(
                f"{address or 'the engine'} is no directory of this deployment",
                fix=f"one of: {', '.join(known)}" if known else "write 'engine: {kind: ray, ...}'",
            )
        self._deployment = deployment
        self._clock = clock
        self._listen = listens_at(address or known[0])
        self._server: DirectoryServer | None = None
        self._store: FusionStore | None = None
        self._served: dict[str, Served] = {}
        self._read_ns = -READ_NS
        self._health: Health | None = None

    def register(self, health: Health, registry: CollectorRegistry) -> None:
        """Take what health and metrics are reported to."""
        self._health = health
        asked = Gauge(
            "fusewatch_directory_answers",
            "Answers to capture nodes since the start, by kind.",
            ["kind"],
            registry=registry,
        )
        self._asked = asked

    def start(self) -> None:
        """Open the store and listen."""
        self._store = fusion_store(self._deployment)
        self._server = directory_server(self._deployment, self._listen, self.where)
        log.info("directory", address=self._server.address)

    def step(self, timeout_s: float) -> bool:
        """Answer what is asked."""
        if self._server is not None:
            self._server.poll(timeout_s)
            for kind, count in self._server.counters.items():
                self._asked.labels(kind).set(count)
        return True

    def drain(self, timeout_s: float) -> None:
        """Nothing is under way."""

    def close(self) -> None:
        """Stop listening."""
        for opened in (self._server, self._store):
            if opened is not None:
                opened.close()

    def where(self, node: str) -> Here | Nowhere:
        """Which worker takes what a capture node sends."""
        scenes = scenes_of_node(self._deployment, node)
        if not scenes:
            return Nowhere(f"there is no node {node!r} in this deployment, or no scene uses it")
        try:
            found = place_of(scenes, self._look())
        except StoreError as error:
            self._ready(False, error.message)
            return Nowhere("the database does not answer")
        if found is None:
            return Nowhere(f"nobody fuses {', '.join(scenes)} now")
        return Here(found.address, found.public, found.token)

    def _look(self) -> dict[str, Served]:
        now_ns = self._clock.now_ns()
        if self._store is not None and not 0 <= now_ns - self._read_ns < READ_NS:
            self._served = self._store.directory.served()
            self._read_ns = now_ns
            self._ready(True)
        return self._served

    def _ready(self, well: bool, why: str = "") -> None:
        if self._health is not None:
            self._health.ready("store", well, why)


def listens_at(address: str) -> str:
    """Where a directory listens that is reached at an address: on every interface, or here only."""
    if is_this_machine(address):
        return address
    any_host = "[::]" if ":" in host_of(address) else "0.0.0.0"
    return f"tcp://{any_host}:{address.rpartition(':')[2]}"
