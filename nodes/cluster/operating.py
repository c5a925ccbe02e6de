"""What operators ask of a cluster: said through the store, and waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from nodes.cluster.placer import CANNOT_MOVE, DOWN, MOVE, UPGRADE
from nodes.cluster.placer_node import PLACER
from pipeline.config.deployment import Deployment
from pipeline.config.groups import group_of, groups_of
from pipeline.core.errors import ClusterError
from pipeline.store import FusionStore, Served, Sight, Wish, place_of

POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """How a group of scenes is.

    Attributes:
        group: Its name.
        scenes: Its scenes.
        state: As the placer saw it last; ``serving`` only if its leases hold now.
        machine: Address of the machine of its worker.
        address: Where capture nodes send; empty: nowhere now.
        owner: Machine and process that hold its leases now; empty: none does.
        token: Newest fencing token of its scenes.
        restarts: How often its process was started again where it is.
        detail: How that last ended, or why it was not moved, in words.
        age_s: How long ago the placer looked, seconds; None: it never saw the group.
    """

    group: str
    scenes: tuple[str, ...]
    state: str
    machine: str
    address: str
    owner: str
    token: int
    restarts: int
    detail: str
    age_s: float | None


def statuses(deployment: Deployment, store: FusionStore) -> Iterator[GroupStatus]:
    """How each group is, as the store tells."""
    served, sights = store.directory.served(), store.cluster.sights()
    for group, scenes in groups_of(deployment).items():
        seen = sights.get(group)
        last = seen or Sight(group, "", "never placed")
        place = place_of(scenes, served)
        newest = max((served[s] for s in scenes if s in served), key=_token, default=None)
        state = "serving" if place else "not serving" if last.state == "serving" else last.state
        yield GroupStatus(
            group,
            scenes,
            state,
            last.machine,
            place.address if place else "",
            newest.holder.rpartition(" on ")[2] if newest is not None and newest.live else "",
            newest.token if newest is not None else 0,
            last.restarts,
            last.detail,
            seen.age_s if seen else None,
        )


def _token(served: Served) -> int:
    return served.token


def placer_is_there(store: FusionStore) -> bool:
    """Whether a placer works now."""
    found = store.directory.served().get(PLACER)
    return found is not None and found.live


class Operator:
    """Asks and waits.

    Args:
        deployment: The whole deployment.
        store: Its store.
        now_s: Monotonic seconds.
    """

    def __init__(
        self,
        deployment: Deployment,
        store: FusionStore,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._deployment = deployment
        self._store = store
        self._now_s = now_s
        self._pause = threading.Event()

    def forget_down(self) -> None:
        """Nobody wants it to be down any more."""
        wishes = self._store.cluster.wishes()
        self._store.cluster.fulfil([wish for wish in wishes if wish.kind == DOWN])

    def ask_down(self) -> None:
        """All workers are to drain and end."""
        self._store.cluster.wish([Wish(DOWN)])

    def down(self, timeout_s: float) -> None:
        """Wait until the cluster is down.

        Raises:
            ClusterError: It was not in time.
        """
        self._until(lambda: not self._wished(DOWN), timeout_s, "workers are still ending")

    def move(self, group: str, machine: str, timeout_s: float) -> None:
        """Move a group to a machine, named by its address, and wait for it to serve there.

        Raises:
            ConfigError: There is no such group.
            ClusterError: No placer works, there is no such machine, or the group does not serve
                there in time.
        """
        group_of(self._deployment, group)
        self._need_placer()
        self._store.cluster.wish([Wish(MOVE, group, machine)])

        def is_there() -> bool:
            if self._wished(MOVE):
                return False
            now = self._status(group)
            if now.detail.startswith(f"{CANNOT_MOVE}{machine},"):
                raise ClusterError(now.detail, where=group)
            return now.state == "serving" and machine == now.machine

        self._until(is_there, timeout_s, f"{group} does not serve on {machine}")

    def upgrade(self, groups: Sequence[str], timeout_s: float) -> Iterator[GroupStatus]:
        """Start workers anew, one after the other; gives each once it serves again.

        Raises:
            ConfigError: There is no such group.
            ClusterError: No placer works, or a group does not serve again in time; those after
                it were not touched.
        """
        for group in groups:
            group_of(self._deployment, group)
        self._need_placer()
        for group in groups:
            before = self._status(group).token
            self._store.cluster.wish([Wish(UPGRADE, group)])
            try:
                self._until(partial(self._is_new, group, before), timeout_s, f"{group} is not back")
            except ClusterError:
                self._store.cluster.fulfil([Wish(UPGRADE, group)])
                raise
            yield self._status(group)

    def _is_new(self, group: str, before: int) -> bool:
        now = self._status(group)
        return now.state == "serving" and now.token > before and not self._wished(UPGRADE, group)

    def _status(self, group: str) -> GroupStatus:
        return next(s for s in statuses(self._deployment, self._store) if s.group == group)

    def _wished(self, kind: str, group: str = "") -> bool:
        wishes = self._store.cluster.wishes()
        return any(wish.kind == kind and group in ("", wish.name) for wish in wishes)

    def _need_placer(self) -> None:
        if not placer_is_there(self._store):
            raise ClusterError(
                "no placer works for this deployment",
                where=self._deployment.name,
                fix="'fusewatch cluster up' must run somewhere",
            )

    def _until(self, done: Callable[[], bool], timeout_s: float, otherwise: str) -> None:
        until_s = self._now_s() + timeout_s
        while not done():
            if self._now_s() > until_s:
                raise ClusterError(
                    f"{otherwise} after {timeout_s:.0f} s", fix="see 'fusewatch cluster status'"
                )
            self._pause.wait(POLL_S)
