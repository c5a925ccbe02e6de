"""What the two ends of the event link say, see `pipeline.transport.event_link`."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from pipeline.transport.rekeying import KeyTaken, NewKey

MAX_EVENT_BYTES = 1 << 20
EVENT_LINK_VERSION = 1
"""Raised when an older end would take what is said for something else. Fields added at the end,
with a default, are no new version."""

_Key = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Offer(msgspec.Struct, array_like=True, tag=1, frozen=True):
    """Sender: an event; ``after`` is the key of the one before, which must have come.

    One of another version is refused; the sender keeps it and offers it again.
    """

    key: _Key
    body: Annotated[bytes, msgspec.Meta(max_length=MAX_EVENT_BYTES)]
    after: Annotated[str, msgspec.Meta(max_length=200)] = ""
    version: int = EVENT_LINK_VERSION


class Have(msgspec.Struct, array_like=True, tag=2, frozen=True):
    """Receiver: these events are here for good."""

    keys: list[_Key]


class Ping(msgspec.Struct, array_like=True, tag=3, frozen=True):
    """Sender: are you there?"""


class Pong(msgspec.Struct, array_like=True, tag=4, frozen=True):
    """Receiver: yes."""


class Refused(msgspec.Struct, array_like=True, tag=5, frozen=True):
    """Receiver: not this, for the reason ``code``."""

    code: Annotated[str, msgspec.Meta(max_length=40)]
    detail: Annotated[str, msgspec.Meta(max_length=500)] = ""


EventMessage: TypeAlias = Offer | Have | Ping | Pong | Refused | NewKey | KeyTaken
decode = msgspec.msgpack.Decoder(EventMessage).decode
encode = msgspec.msgpack.Encoder().encode
