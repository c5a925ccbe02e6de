"""One kind of data that a node keeps, and what a capture node keeps.

Apart from `nodes.retention`, which knows stores and recordings that a capture node does not load.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nodes.places import spool_folder
from pipeline.config.deployment import Deployment
from pipeline.core.file_stock import FileStock
from pipeline.core.retention import Kind, Stock
from pipeline.transport.spool_segment import QUARANTINE

HOUR_NS = 3600 * 10**9


@dataclass(frozen=True, slots=True)
class Kept:
    """One kind of data of a deployment.

    Attributes:
        name: Its name.
        stock: What there is.
        limit_ns: How old it may get; None: any age.
        own: Whether whoever keeps it removes it by a limit of its own, so that we only look.
    """

    name: str
    stock: Stock
    limit_ns: int | None
    own: bool = False


def kinds(kept: Sequence[Kept]) -> list[Kind]:
    """Those that a `Sweeper` is to remove from."""
    return [
        Kind(one.name, one.stock, one.limit_ns)
        for one in kept
        if one.limit_ns is not None and not one.own
    ]


def kept_by_capture(deployment: Deployment, node: str) -> list[Kept]:
    """What a capture node keeps and this removes; its spool looks after itself."""
    settings, folder = deployment.nodes[node].spool, spool_folder(deployment, node)
    limit_ns = None if settings is None else round(settings.max_age_h * HOUR_NS)
    quarantine = FileStock(lambda: (folder / QUARANTINE).glob("*"))
    return [Kept(f"quarantine {node}", quarantine, limit_ns)]
