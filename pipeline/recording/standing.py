"""What holds at a moment within a recording: streams that are open, hops that are wide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from pipeline.core.arrival import HopSet, StreamEnded, StreamOpened
from pipeline.core.sample import StreamInfo


def standing(
    control: Iterable[StreamOpened | StreamEnded | HopSet], from_ns: int
) -> Iterator[StreamOpened | HopSet]:
    """What says, as of `from_ns`, which streams are open then and which hops are wide."""
    open_then: dict[tuple[str, str], StreamInfo] = {}
    hops: dict[str, HopSet] = {}
    for entry in control:
        if entry.arrival_ns >= from_ns:
            continue
        if isinstance(entry, StreamOpened):
            open_then[entry.node, entry.info.name] = entry.info
        elif isinstance(entry, HopSet):
            hops[entry.scene] = entry
        else:
            open_then.pop((entry.node, entry.stream), None)
    for (node, _), info in open_then.items():
        yield StreamOpened(from_ns, node, info)
    for said in hops.values():
        if said.times > 1:
            yield replace(said, arrival_ns=from_ns)
