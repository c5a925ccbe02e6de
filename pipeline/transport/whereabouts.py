"""Where a sender connects to: always the same address, or the one that directories tell."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.transport.clock_probe import ClockSync
from pipeline.transport.directory_client import Place, WorkerFinder
from pipeline.transport.security import CurveClient


class Whereabouts:
    """Used by the sender's thread alone.

    Args:
        endpoint: The address; with `finder` unused.
        finder: Asks directories; None: there is nothing to ask.
        curve: Told which key to expect; None: without encryption.
        sync: Told where the clock is; None: nobody asks.
    """

    def __init__(
        self,
        endpoint: str,
        finder: WorkerFinder | None = None,
        curve: CurveClient | None = None,
        sync: ClockSync | None = None,
    ) -> None:
        self._place = None if finder is not None else Place(endpoint, "", 0)
        self._finder = finder
        self._curve = curve
        self._sync = sync

    def start(self, on_news: Callable[[], None]) -> None:
        """Begin to ask; `on_news` is called from another thread when the address changed."""
        if self._finder is not None:
            self._finder.start(on_news)

    @property
    def moved(self) -> bool:
        """Whether a connection made to `address` before should be made anew."""
        found = self._finder.place if self._finder is not None else None
        if found is None or self._place is None:
            return found is not None
        return (found.address, found.public) != (self._place.address, self._place.public)

    @property
    def trouble(self) -> str:
        """Why it is not known where to connect; empty when it is."""
        return self._finder.trouble if self._finder is not None and self._place is None else ""

    def address(self) -> str | None:
        """Where to connect now; None: nobody knows yet."""
        if self._finder is not None and self.moved:
            self._place = self._finder.place
            if self._place is not None and self._curve is not None:
                self._curve.expect(self._place.public)
            if self._place is not None and self._sync is not None:
                self._sync.move(self._place.address)
        return self._place.address if self._place is not None else None

    def lost(self) -> None:
        """A connection is to be made anew: it may be elsewhere by now."""
        if self._finder is not None:
            self._finder.ask()

    def close(self) -> None:
        """Stop asking."""
        if self._finder is not None:
            self._finder.close()
