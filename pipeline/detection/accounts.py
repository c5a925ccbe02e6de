"""The loss ledger as events quote it: of each scene, the accounts of its own streams.

A snapshot: what a window was cut with stays as it was then, whatever is reported later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.core.event import Account
from pipeline.core.ledger import StreamAccount


class Accounts:
    """Accounts of all streams at one time.

    Args:
        streams: Streams of each scene.
        known: Account of each stream of which one was reported.
    """

    def __init__(
        self,
        streams: Mapping[str, Sequence[str]] | None = None,
        known: Mapping[str, Account] | None = None,
    ) -> None:
        self._streams = streams or {}
        self._known = known or {}

    def after(self, reported: Mapping[str, StreamAccount]) -> Accounts:
        """The accounts once these are reported."""
        new = {
            name: Account(a.captured, a.delivered, a.spooled, dict(a.dropped))
            for name, a in reported.items()
        }
        return Accounts(self._streams, {**self._known, **new})

    def of(self, scene: str) -> dict[str, Account]:
        """Accounts of the streams of a scene, of those of which one was reported."""
        known = self._known
        return {name: known[name] for name in self._streams.get(scene, ()) if name in known}
