"""How a node that is connected replaces its key: it brings the new one by the old one's link.

Either side does so. The side that listens says it to everybody, and changes when it is told to.

Both messages are part of the link to the fusion node and of that to the alert node, each with
the same tags, so that either may be asked in the same way.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

Key = Annotated[str, msgspec.Meta(min_length=40, max_length=40)]


class NewKey(msgspec.Struct, array_like=True, tag=14, frozen=True):
    """This is the key that will replace the one of this connection."""

    public: Key


class KeyTaken(msgspec.Struct, array_like=True, tag=15, frozen=True):
    """That key is trusted now beside the old one; the old one goes when it was seen."""

    public: Key
