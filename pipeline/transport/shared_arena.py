"""Memory that a sender and a receiver on one machine share, for payloads too large to copy twice.

The sender makes an anonymous file in memory, the receiver opens it through the sender's entry
in ``/proc``: there is nothing to clean up however either ends. A payload is written once, into
a leased part. The receiver looks at it right there, without a copy, for as long as anything
refers to it, and then says that it is done. A part is used again when both are done: the
sender's buffer (acked or given up) and the receiver. A connection that broke takes its arena
with it, since a receiver may still look at what it got: the next one gets a fresh arena.

The offer is ``PID:FD:TOKEN``. The receiver opens nothing but a file in memory of the right
name that cannot shrink, and believes the offer only if the token stands in the file.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import re
import secrets
import weakref
from bisect import insort
from collections import deque

import numpy as np

from pipeline.core.codec import Buffer
from pipeline.core.errors import ProtocolError

_NAME = "fusewatch-arena"
_PAGE = 4096
_TOKEN = 32
_OFFER = re.compile(r"(?P<pid>[0-9]{1,10}):(?P<fd>[0-9]{1,6}):(?P<token>[0-9a-f]{32})")


class Lease:
    """A part of an arena that holds one payload. Its owner locks.

    Attributes:
        arena: The arena.
        offset: Where it begins, bytes from the start of the file.
        size: Bytes of the payload.
    """

    __slots__ = ("_kept", "_lent", "arena", "offset", "size")

    def __init__(self, arena: SharedArena, offset: int, size: int) -> None:
        self.arena = arena
        self.offset = offset
        self.size = size
        self._kept = True
        self._lent = False

    def lend(self) -> None:
        """The receiver is told of it, and will say when it is done."""
        self._lent = True
        self.arena.lent[self.offset] = self

    def returned(self) -> None:
        """The receiver is done."""
        self._lent = False
        self._free()

    def free(self) -> None:
        """The sender is done."""
        self._kept = False
        self._free()

    def write(self, payload: Buffer) -> None:
        """Copy the payload in. May run while others lease and free."""
        self.arena.write(self.offset, self.size, payload)

    def view(self) -> memoryview:
        """The payload."""
        return self.arena.view(self.offset, self.size)

    def _free(self) -> None:
        if not self._kept and not self._lent:
            self.arena.free(self.offset)


class SharedArena:
    """The sender's side: makes the memory and gives out parts of it. Its owner locks.

    Args:
        size: Bytes for payloads; taken from the machine as they are used.
    """

    def __init__(self, size: int) -> None:
        self.token = secrets.token_hex(_TOKEN // 2)
        self._fd = os.memfd_create(_NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        total = _PAGE + -(-size // _PAGE) * _PAGE
        os.ftruncate(self._fd, total)
        fcntl.fcntl(self._fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        self._map = mmap.mmap(self._fd, total)
        self._map[:_TOKEN] = self.token.encode()
        self._bytes = np.frombuffer(self._map, np.uint8)
        self._free: list[tuple[int, int]] = [(_PAGE, total - _PAGE)]
        self._used: dict[int, int] = {}
        self.lent: dict[int, Lease] = {}

    @property
    def offer(self) -> str:
        """What the receiver needs to open it."""
        return f"{os.getpid()}:{self._fd}:{self.token}"

    def lease(self, size: int) -> Lease | None:
        """A part for a payload of `size` bytes; None when none is large enough.

        First fit, whole pages.
        """
        wanted = -(-size // _PAGE) * _PAGE
        for index, (offset, length) in enumerate(self._free):
            if length >= wanted:
                rest = (offset + wanted, length - wanted)
                self._free[index : index + 1] = [rest] if rest[1] else []
                self._used[offset] = wanted
                return Lease(self, offset, size)
        return None

    def returned(self, offsets: list[int]) -> None:
        """The receiver is done with the parts at these offsets."""
        for offset in offsets:
            lease = self.lent.pop(offset, None)
            if lease is not None:
                lease.returned()

    def write(self, offset: int, size: int, payload: Buffer) -> None:
        """Copy a payload into a part."""
        source = payload if isinstance(payload, np.ndarray) else np.frombuffer(payload, np.uint8)
        target = self._bytes[offset : offset + size].view(source.dtype).reshape(source.shape)
        np.copyto(target, source)

    def view(self, offset: int, size: int) -> memoryview:
        """A part as bytes, read-only."""
        return memoryview(self._map)[offset : offset + size].toreadonly()

    def free(self, offset: int) -> None:
        """Give a part back; neighbours that are free become one."""
        size = self._used.pop(offset)
        insort(self._free, (offset, size))
        at = self._free.index((offset, size))
        for left in (at, at - 1):
            if 0 <= left < len(self._free) - 1:
                (start, length), (after, more) = self._free[left : left + 2]
                if start + length == after:
                    self._free[left : left + 2] = [(start, length + more)]

    def close(self) -> None:
        """Offer it to nobody any more; what is mapped or leased stays."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class SharedReader:
    """The receiver's side: shows payloads where they lie.

    Args:
        offer: The sender's words.

    Raises:
        ProtocolError: There is no such memory here: another machine, another user, or a lie.
    """

    def __init__(self, offer: str) -> None:
        found = _OFFER.fullmatch(offer)
        if found is None:
            raise ProtocolError("the offer of shared memory is malformed")
        self._map = _map(f"/proc/{found['pid']}/fd/{found['fd']}")
        if self._map[:_TOKEN] != found["token"].encode():
            raise ProtocolError("the shared memory is not the one that was offered")
        self._done: deque[int] = deque()

    def view(self, offset: int, size: int) -> memoryview:
        """A part, read-only; `done` names it once nothing refers to it any more.

        Raises:
            ProtocolError: The part is not within the memory.
        """
        if offset < _PAGE or offset + size > len(self._map):
            raise ProtocolError(f"bytes {offset} to {offset + size} are not in the shared memory")
        # Whatever is made of the memoryview must hold `part`. NumPy lets an array hold the
        # first array of a chain of views, so `part` must be the first: no view of an array.
        part = np.frombuffer(self._map, np.uint8, size, offset)
        weakref.finalize(part, self._done.append, offset).atexit = False
        return part.data.toreadonly()

    def done(self) -> list[int]:
        """Offsets of the parts that nothing refers to any more, since the last call."""
        found = []
        while self._done:
            found.append(self._done.popleft())
        return found


def _map(path: str) -> mmap.mmap:
    try:
        if not os.readlink(path).startswith(f"/memfd:{_NAME}"):
            raise ProtocolError("what is offered as shared memory is none")
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ProtocolError("the shared memory cannot be opened here") from error
    try:
        if not fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK:
            raise ProtocolError("the shared memory could shrink under us")
        return mmap.mmap(fd, os.fstat(fd).st_size, prot=mmap.PROT_READ)
    except (OSError, ValueError) as error:
        raise ProtocolError("the shared memory cannot be mapped") from error
    finally:
        os.close(fd)
