"""Messages that hold many readings at once, as fast sensors send them.

Rules. A batch is either columns (each channel's path leads to a list of numbers) or rows (a list
of readings, each a document in which the channels are looked up). Readings stand one period
apart. The time that a message carries is that of its first or last reading; without one, the
last reading was taken when the message came. A row in which no cell can be read is dropped and
counted, the others go on; a message whose lists differ in length is refused as a whole, because
nobody knows which readings it lacks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Literal

from pipeline.core.errors import BadReading
from pipeline.core.settings import Settings
from pipeline.sources.fields import ChannelSettings, at_path

SECOND_NS = 1_000_000_000
LONGEST = 65_536


class BatchSettings(Settings):
    """How one message holds many readings, `rate_hz` of the stream apart."""

    rows: str | None = None
    """Where a list of readings stands, each with all channels (``samples``; empty: the message is
    the list); none: each channel's path leads to a list of numbers."""

    time_of: Literal["first", "last"] = "first"
    """Which reading the message's own `time` is of. Without a time the last one came when the
    message did."""

    def within(self, channels: Sequence[ChannelSettings]) -> list[ChannelSettings]:
        """The channels as they are found in one of `documents`."""
        if self.rows is not None:
            return list(channels)
        return [c.model_copy(update={"path": cell(i)}) for i, c in enumerate(channels)]

    def documents(self, document: object, channels: Sequence[ChannelSettings]) -> list[object]:
        """The readings in a message, oldest first, each a document of its own.

        Raises:
            BadReading: There is no list, or lists of different lengths.
        """
        found: list[object] = (
            [*_columns(document, channels)]
            if self.rows is None
            else [*_list_at(document, self.rows)]
        )
        if len(found) > LONGEST:
            raise BadReading(f"{len(found)} readings in a message, over {LONGEST}")
        return found

    def times_ns(
        self, count: int, own_ns: int | None, arrival_ns: int, rate_hz: float
    ) -> list[int]:
        """When each of `count` readings was taken.

        Args:
            count: How many there are.
            own_ns: The message's own time; None: it carries none.
            arrival_ns: When it came.
            rate_hz: Readings a second.
        """
        period_ns = SECOND_NS / rate_hz
        from_last = own_ns is None or self.time_of == "last"
        base_ns = arrival_ns if own_ns is None else own_ns
        first = 1 - count if from_last else 0
        return [base_ns + round((first + index) * period_ns) for index in range(count)]


def _columns(document: object, channels: Sequence[ChannelSettings]) -> Iterator[dict[str, object]]:
    """Rows out of columns, a cell under its channel's `cell`; absent channels have none."""
    lists: dict[str, Sequence[object]] = {}
    for index, channel in enumerate(channels):
        path = channel.name if channel.path is None else channel.path
        with suppress(BadReading):
            lists[cell(index)] = _list_at(document, path)
    if not lists:
        raise BadReading("none of the channels is a list of numbers in the message")
    lengths = {channels[int(name)].name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        raise BadReading(f"lists of different lengths: {lengths}")
    for cells in zip(*lists.values(), strict=True):
        yield dict(zip(lists, cells, strict=True))


def cell(index: int) -> str:
    """Where the cell of a channel stands in a row that was made of columns."""
    return str(index)


def _list_at(document: object, path: str) -> Sequence[object]:
    try:
        found = at_path(document, path)
    except KeyError as error:
        raise BadReading(f"nothing at {path!r}") from error
    if not isinstance(found, list):
        raise BadReading(f"no list at {path!r}")
    return found
