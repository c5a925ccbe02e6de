"""Payloads that senders on this machine left in memory both may read, by node."""

from __future__ import annotations

from collections.abc import Set

import structlog
import zmq

from pipeline.core.codec import Buffer
from pipeline.core.errors import ProtocolError
from pipeline.transport.protocol import Data, Hello
from pipeline.transport.shared_arena import SharedReader

log = structlog.get_logger(__name__)


class SharedPayloads:
    """See the module.

    Args:
        max_bytes: Most that the payloads of one message may have.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._readers: dict[str, SharedReader] = {}

    def opened(self, hello: Hello) -> SharedReader | None:
        """The memory that a sender offers; None when it cannot be had."""
        try:
            return SharedReader(hello.shared)
        except ProtocolError as error:
            log.info("no shared memory", node=hello.node, why=error.message)
            return None

    def agree(self, node: str, reader: SharedReader | None, connected: Set[str]) -> None:
        """A node connected; only nodes that are `connected` keep what was agreed on."""
        self._readers = {n: r for n, r in self._readers.items() if n in connected and n != node}
        if reader is not None:
            self._readers[node] = reader

    def done(self) -> dict[str, list[int]]:
        """Offsets of parts that are no longer needed, by node."""
        return {node: reader.done() for node, reader in self._readers.items()}

    def of(self, node: str, message: Data, frames: list[zmq.Frame]) -> list[Buffer]:
        """Frames of samples as the codec made them, those in shared memory where they lie.

        Raises:
            ProtocolError: No memory was agreed on, or it is not as the message says.
        """
        payloads: list[Buffer] = [message.header, message.joined]
        payloads += [frame.buffer for frame in frames]
        if not message.shared:
            return payloads
        reader = self._readers.get(node)
        if reader is None:
            raise ProtocolError("a payload in shared memory, and none is agreed on")
        if sum(size for _, _, size in message.shared) > self._max_bytes:
            raise ProtocolError("payloads in shared memory are too large")
        for number, offset, size in sorted(message.shared):
            if number > len(payloads):
                raise ProtocolError(f"payload frame {number} of {len(payloads)}")
            payloads.insert(number, reader.view(offset, size))
        return payloads
