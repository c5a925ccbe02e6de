"""Two who want the same scenes, and what time does to a lease."""

from sqlalchemy import update

from pipeline.store import FusionStore, Holder
from pipeline.store.fusion_tables import LEASES
from pipeline.store.leases import LEASE_S

ONE = Holder("fusion of home", "one", 11, "one /data")
TWO = Holder("fusion of home", "two", 22, "two /data")


def grow_old(store: FusionStore, seconds: float = LEASE_S + 1) -> None:
    """What so much time does to leases that nobody renews; more than they last, if not told."""
    with store.leases._database.write() as connection:
        connection.execute(update(LEASES).values(renewed_s=LEASES.c.renewed_s - seconds))
