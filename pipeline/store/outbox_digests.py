"""Deliveries of one scene to one sink that are told together, as a digest.

They are bound together before that is first sent and stay so: however often it is sent, its key
stands for the same phases. The rules of what is told so are in `pipeline.core.digest`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, insert, inspect, select

from pipeline.core.digest import digest_key, over
from pipeline.store.outbox_rows import Delivery
from pipeline.store.outbox_tables import DIGESTS


def to_bind(waiting: Sequence[Delivery], before_ns: int) -> list[Delivery]:
    """Those that one digest is to tell of what waits, in order.

    Args:
        waiting: Deliveries of phases of one scene to one sink, in order.
        before_ns: Only of events that were over by then.
    """
    told = {phase.key for phase in over([one.event for one in waiting], before_ns)}
    return [one for one in waiting if one.event.key in told]


def bind(connection: Connection, together: Sequence[Delivery]) -> str:
    """Have deliveries told together from now on; the key of their digest."""
    key = digest_key(one.event for one in together)
    connection.execute(insert(DIGESTS), [{"delivery": one.id, "key": key} for one in together])
    return key


def digests_of(connection: Connection, ids: Collection[int]) -> dict[int, str]:
    """Key of the digest that each of these deliveries is told in, of those that are."""
    if not inspect(connection).has_table(DIGESTS.name):
        return {}  # written by an older fusewatch
    rows = connection.execute(select(DIGESTS).where(DIGESTS.c.delivery.in_(ids)))
    return {row.delivery: row.key for row in rows}
