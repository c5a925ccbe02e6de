"""Claiming a deployment's scenes in a store that several fusion nodes share.

A node that may stand by tries again until the scenes are free; any other ends with what it was
told. Once claimed they are renewed, also while there is nothing to commit: see
`pipeline.store.leases`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import structlog

from pipeline.config.deployment import Deployment
from pipeline.core.clock import Clock
from pipeline.core.errors import AlreadyRunning
from pipeline.store import FusionStore, Holder
from pipeline.store.leases import LEASE_S

log = structlog.get_logger(__name__)

SECOND_NS = 1_000_000_000
RENEW_NS = round(LEASE_S * SECOND_NS / 5)
TRY_NS = SECOND_NS
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Claim:
    """This fusion node's claim on the scenes of its deployment; none where it needs none.

    Args:
        deployment: Its scenes, and whether the store is shared.
        store: The store.
        clock: Node time.
        elsewhere: Where the scenes are to be fused instead, for which no claim is made; empty:
            nowhere else.
    """

    def __init__(
        self,
        deployment: Deployment,
        store: FusionStore,
        clock: Clock,
        elsewhere: Callable[[], str] = str,
    ) -> None:
        self._scenes = sorted(deployment.scenes)
        self._holder = holder_of(deployment)
        self._leases = store.leases
        self._directory = store.directory
        self._place: Callable[[], tuple[str, str]] | None = None
        self._published = ("", "")
        self._clock = clock
        self._elsewhere = elsewhere
        self._standby = deployment.fusion.standby
        self._due_ns = 0
        self._waits_for = ""
        self._shared = deployment.fusion.store is not None
        self.held = not self._shared

    @property
    def waits_for(self) -> str:
        """Who holds the scenes while this node stands by; empty: nobody."""
        return self._waits_for

    def look(self) -> bool:
        """Claim, or renew, when it is time to; whether the scenes are this node's.

        Raises:
            AlreadyRunning: Another node holds them, and this one does not stand by.
            LeaseLost: Another node has taken over.
            StoreError: The store cannot be written.
        """
        now_ns = self._clock.now_ns()
        if now_ns < self._due_ns or not self._shared:
            return self.held
        if self.held:
            self._due_ns = now_ns + RENEW_NS
            self._leases.renew()
            if self._place is not None:
                self.publish(self._place)
        else:
            self._due_ns = now_ns + TRY_NS
            self._try()
        return self.held

    def publish(self, place: Callable[[], tuple[str, str]]) -> None:
        """Say in the directory where this node is found, from now on, also when that changes.

        Args:
            place: Gives its address for capture nodes, and its public key.

        Raises:
            LeaseLost: Another node has taken over.
            StoreError: The store cannot be written.
        """
        self._place = place
        if (now := place()) != self._published:
            self._directory.publish(*now)
            self._published = now
            log.info("published", address=now[0])

    def release(self) -> None:
        """Let another node have the scenes at once."""
        self._leases.release()

    def _try(self) -> None:
        if there := self._elsewhere():
            self._stand_by(f"its scenes are placed on {there}")
            return
        try:
            self._leases.claim(self._scenes, self._holder)
        except AlreadyRunning as error:
            if not self._standby:
                raise
            self._stand_by(error.message)
        else:
            self.held, self._waits_for = True, ""

    def _stand_by(self, because: str) -> None:
        if because != self._waits_for:
            log.info("standing by", because=because)
        self._waits_for = because


def holder_of(deployment: Deployment) -> Holder:
    """This process, as others are told of it."""
    host = socket.gethostname()
    boot = BOOT_ID.read_text().strip() if BOOT_ID.exists() else ""
    place = f"{host} {boot} {deployment.data}"
    return Holder(f"fusion of {deployment.name}", host, os.getpid(), place)
