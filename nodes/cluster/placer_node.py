"""The placer as a process: looks at the cluster once a second and takes the next step.

Of two placers of one deployment, on two machines, one works and the other stands by: the one that
works has a lease in the store. When Ray goes away, this process ends with it and is started again
until the cluster is back; the workers that live on are found, those that do not are placed anew.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry, Gauge

from nodes.claim import holder_of
from nodes.cluster.placement import Need
from nodes.cluster.placer import Placer
from nodes.cluster.ray_cluster import RayCluster
from nodes.health import Health
from nodes.places import fusion_store
from pipeline.config.deployment import Deployment
from pipeline.config.groups import groups_of
from pipeline.core.errors import AlreadyRunning
from pipeline.store import FusionStore, Sight

log = structlog.get_logger(__name__)

PLACER = "@placer"  # no scene can have this name
LOOK_S = 1.0
WELL = frozenset({"serving"})


class PlacerNode:
    """The placer process of a deployment.

    Args:
        deployment: The whole deployment.
        config: Its file.
    """

    name = "placer"

    def __init__(self, deployment: Deployment, config: Path) -> None:
        self._deployment = deployment
        self._config = config
        self._pause = threading.Event()
        self._store: FusionStore | None = None
        self._cluster: RayCluster | None = None
        self._placer: Placer | None = None
        self._health: Health | None = None
        self._waits_for = ""

    def register(self, health: Health, registry: CollectorRegistry) -> None:
        """Take what health and metrics are reported to."""
        self._health = health
        self._groups = Gauge(
            "fusewatch_cluster_groups", "Groups of scenes by state.", ["state"], registry=registry
        )
        self._restarts = Gauge(
            "fusewatch_cluster_worker_restarts",
            "How often a worker was started again where it is.",
            ["group"],
            registry=registry,
        )

    def start(self) -> None:
        """Open the store."""
        self._store = fusion_store(self._deployment)

    def step(self, timeout_s: float) -> bool:
        """Look, and take the next step; False once everything was taken down."""
        store = self._store
        if store is None or not self._leads(store):
            self._pause.wait(timeout_s)
            return True
        placer = self._placer or self._begin()
        sights, fulfilled = placer.look(store.cluster.wishes(), store.directory.served())
        store.cluster.see(sights)
        store.cluster.fulfil(fulfilled)
        self._report(sights)
        self._pause.wait(LOOK_S)
        return not placer.finished

    def drain(self, timeout_s: float) -> None:
        """Let another placer have its turn; the workers go on."""
        if self._store is not None:
            self._store.leases.release()

    def close(self) -> None:
        """Leave the cluster and the store."""
        if self._cluster is not None:
            self._cluster.close()
        if self._store is not None:
            self._store.close()

    def _leads(self, store: FusionStore) -> bool:
        """Whether this placer has the lease, which it renews."""
        if store.leases.tokens:
            store.leases.renew()
            return True
        here = holder_of(self._deployment)
        try:
            store.leases.claim([PLACER], replace(here, node=f"placer of {self._deployment.name}"))
        except AlreadyRunning as error:
            if error.message != self._waits_for:
                log.info("standing by", because=error.message)
            self._waits_for = error.message
            return False
        return True

    def _begin(self) -> Placer:
        engine = self._deployment.engine
        need = Need(engine.cpus, engine.gpus)
        self._cluster = RayCluster(engine.address, self._deployment.name, self._config, need)
        self._placer = Placer(groups_of(self._deployment), need, self._cluster)
        log.info("placing", groups=len(groups_of(self._deployment)))
        return self._placer

    def _report(self, sights: list[Sight]) -> None:
        if self._health is None:
            return
        wrong = [f"{s.name} {s.state}" for s in sights if s.state not in WELL]
        self._health.ready("workers", not wrong, ", ".join(wrong[:8]))
        self._groups.clear()
        for sight in sights:
            self._groups.labels(sight.state).inc()
            self._restarts.labels(sight.name).set(sight.restarts)
