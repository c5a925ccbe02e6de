"""Samples as one message: a header for all, small payloads joined, large ones a frame each.

Payloads that lie in memory which both ends share stay there; the message says where.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from pipeline.core.codec import Buffer, Described, SampleHeader, pack
from pipeline.transport.kept import Kept
from pipeline.transport.protocol import Data, encode
from pipeline.transport.shared_arena import Lease, SharedArena

Leases: TypeAlias = list[tuple[SampleHeader, Lease]]


def parts_of(samples: Sequence[Kept], arena: SharedArena | None) -> tuple[list[Described], Leases]:
    """Samples as the codec takes them, and those whose payloads stay in shared memory.

    Args:
        samples: The samples; what is lent of them is the receiver's until it gives it back.
        arena: Memory that the receiver has open; None: it has none.
    """
    parts: list[Described] = []
    leases: Leases = []
    for kept in samples:
        payload = kept.payload
        if isinstance(payload, Lease):
            if payload.arena is arena:
                payload.lend()
                leases.append((kept.header, payload))
            payload = payload.view()
        if payload is not None:
            parts.append((kept.stream.name, kept.header, payload))
    return parts, leases


def message_of(parts: Sequence[Described], leases: Leases) -> list[Buffer]:
    """Frames of the message, without the payloads that stay in shared memory."""
    header, joined, *large = pack(parts)
    places = [(head.frame, lease.offset, lease.size) for head, lease in leases]
    left_out = {frame for frame, _, _ in places}
    inline = [frame for number, frame in enumerate(large, 2) if number not in left_out]
    return [encode(Data(bytes(header), bytes(joined), places)), *inline]
