"""Where the placer wants the worker of a group, which is where it saw it last.

A worker that lost its group, on a machine that was cut off and is back, stands by until Ray has
reached its keeper. It must not take the group when the next worker drains or starts again: that one
is where the placer put it, with the model that it was told to load.
"""

from __future__ import annotations

from pipeline.store import FusionStore

FRESH_S = 10.0
"""The placer looks every other second; what it saw longer ago says nothing."""


def placed_elsewhere(store: FusionStore, group: str, host: str) -> str:
    """Address of the machine that a group is placed on now, if that is another; else empty.

    Args:
        store: The store of the cluster.
        group: The group.
        host: Address of this machine.

    Raises:
        StoreError: It cannot be read.
    """
    seen = store.cluster.sights().get(group)
    if seen is None or seen.age_s > FRESH_S or seen.machine == host:
        return ""
    return seen.machine
