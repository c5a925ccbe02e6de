"""What a capture node and a directory say to each other.

::

    capture node  ── WHERE node ───────────────────>  directory
                  <── HERE address, key, token ─────
                  <── NOWHERE words ────────────────  nobody fuses its scenes now: ask again
                  <── REFUSED code, words ──────────  what cannot be taken

Every question comes by a connection of its own, which is closed after the answer: so a directory
keeps nothing of who asked, several can answer, and any of them may be started again at any time.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from pipeline.transport.bounds import Count, Name, Words

MAX_BYTES = 4_096
"""Largest message either side takes."""


class Where(msgspec.Struct, array_like=True, tag=1, frozen=True):
    """Capture node: which fusion node takes my samples?"""

    node: Name


class Here(msgspec.Struct, array_like=True, tag=2, frozen=True):
    """Directory: this one.

    Attributes:
        address: Where it listens.
        public: Its public key; empty: its link is not encrypted.
        token: Fencing token of its lease; of two answers the higher one is newer.
    """

    address: Words
    public: Words
    token: Count


class Nowhere(msgspec.Struct, array_like=True, tag=3, frozen=True):
    """Directory: none, for now."""

    reason: Words = ""


class NotTaken(msgspec.Struct, array_like=True, tag=4, frozen=True):
    """Directory: not this."""

    code: Words
    detail: Words = ""


DirectoryMessage: TypeAlias = Where | Here | Nowhere | NotTaken
decode = msgspec.msgpack.Decoder(DirectoryMessage).decode
encode = msgspec.msgpack.Encoder().encode
