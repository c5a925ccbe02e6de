"""How a sender's link is, as others may see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.transport.sender_session import LinkState


@dataclass(frozen=True, slots=True)
class SenderStatus:
    """How the link is.

    Attributes:
        state: ``offline``, ``asked``, ``ready``, ``closing`` or ``closed``.
        refusal: Why the receiver does not take us, in words; empty when it does.
        pending: Samples neither acked nor dropped.
        buffer_used: Bytes of the buffer in use.
        shared: Whether large payloads go through shared memory.
        counters: What happened so far, by name; ``clock_...``: the offset was found anew.
    """

    state: LinkState
    refusal: str
    pending: int
    buffer_used: int
    shared: bool
    counters: Mapping[str, int]
