"""The groups of a cluster as people see them: read from the store, and as a table."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from nodes.cluster.operating import GroupStatus, statuses
from nodes.places import fusion_store
from pipeline.config.deployment import Deployment
from pipeline.core.errors import StoreError
from pipeline.store import FusionStore

SERVING = "serving"


class GroupsSeen:
    """Looks at the groups again and again; none where the deployment has no cluster.

    Args:
        deployment: The deployment.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._store: FusionStore | None = None

    def look(self) -> tuple[tuple[GroupStatus, ...], str]:
        """How each group is; or none, and why that cannot be told."""
        if not self._deployment.engine.is_ray:
            return (), ""
        try:
            self._store = self._store or fusion_store(self._deployment, create=False)
            return tuple(statuses(self._deployment, self._store)), ""
        except StoreError as error:
            return (), error.message

    def close(self) -> None:
        """Let go of the store; may be called twice."""
        if self._store is not None:
            self._store.close()


def groups_table(groups: Iterable[GroupStatus]) -> Table:
    """A row for each group: where it is fused, who owns its scenes, by which token."""
    table = Table(box=None, pad_edge=False, header_style="bold cyan")
    for heading in ("group", "state", "machine", "owner"):
        table.add_column(heading, overflow="fold")
    for heading in ("token", "restarts"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("scenes", "said"):
        table.add_column(heading, overflow="fold")
    for one in groups:
        well = one.state == SERVING
        table.add_row(
            Text(one.group),
            Text(one.state, "green" if well else "bold red"),
            Text(one.machine),
            Text(one.owner or "nobody", "" if one.owner else "bold red"),
            Text(str(one.token)),
            Text(str(one.restarts)),
            Text(", ".join(one.scenes)),
            Text("" if well else one.detail),
        )
    return table
