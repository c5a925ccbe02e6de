"""Opens a source, reads it until told to stop or until it is lost, and closes it.

The same loop runs in a thread of the node and in a process of its own. What ended it is said
before the source is closed, because closing a lost device may hang.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from pipeline.core.clock import Clock
from pipeline.core.errors import FusewatchError, SourceEnded
from pipeline.core.ledger import DropReason
from pipeline.core.redact import redact_url
from pipeline.core.sample import StreamInfo
from pipeline.core.stream_codec import check_stream
from pipeline.sources.base import Source, SourceContext, SourceSettings
from pipeline.sources.handover import (
    Alive,
    Announced,
    Batch,
    Ended,
    Handover,
    Lost,
    Opened,
    Rejected,
)

READ_S = 0.2
"""How long one ``read()`` may wait: also how soon a stop is noticed."""


class ReaderLoop:
    """One life of one source.

    Args:
        settings: The source's settings.
        clock: Node time.
        handover: Where what it says goes; closed when the loop is at its end.
    """

    def __init__(self, settings: SourceSettings, clock: Clock, handover: Handover) -> None:
        self._settings = settings
        self._clock = clock
        self._handover = handover
        self._stopping = threading.Event()
        self._source: Source | None = None

    def stop(self) -> None:
        """Ask the loop to end after the read under way."""
        self._stopping.set()

    def abandon(self) -> None:
        """Close the source from outside, in the hope that this ends a read that hangs."""
        self._stopping.set()
        self._handover.close()
        if self._source is not None:
            self._source.close()

    def run(self) -> None:
        """Open, read, close. Errors of ours become the last message; others pass through."""
        try:
            self._read_until_stopped()
        except SourceEnded:
            self._handover.put(Ended())
        except FusewatchError as error:
            self._handover.put(Lost(redact_url(str(error))))
        finally:
            self._close()

    def _read_until_stopped(self) -> None:
        context = SourceContext(self._clock, self._reject, self._announce)
        self._source = self._settings.build(context)
        self._handover.put(Opened(_possible(self._source.open())))
        while not self._stopping.is_set():
            samples = self._source.read(READ_S)
            self._handover.put(Batch(samples) if samples else Alive())

    def _reject(self, stream: str, reason: DropReason, detail: str) -> None:
        self._handover.put(Rejected(stream, reason, redact_url(detail)))

    def _announce(self, infos: tuple[StreamInfo, ...]) -> None:
        self._handover.put(Announced(_possible(infos)))

    def _close(self) -> None:
        self._handover.close()
        if self._source is not None:
            self._source.close()


def _possible(infos: Iterable[StreamInfo]) -> tuple[StreamInfo, ...]:
    """`infos`, if they are possible: the link would refuse the whole node because of one.

    Raises:
        CodecError: One is not.
    """
    return tuple(check_stream(info) for info in infos)
