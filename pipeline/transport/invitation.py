"""An invitation to join, as a token: one word of text, see `pipeline.transport.enrolment`."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

import msgspec

from pipeline.core.errors import AuthenticationError
from pipeline.transport.key_files import check_name
from pipeline.transport.key_store import PublicKey, Role

_PREFIX = "fw1."
_CHECK_BYTES = 4
_NOT_WHOLE = "the token is not whole"


class Invitation(msgspec.Struct, array_like=True, frozen=True):
    """What a token says.

    Attributes:
        address: Where the inviter listens, as the joiner reaches it.
        server: The inviter and its key.
        node: Name of the node that is invited.
        role: What that node is.
        secret: What both know, once.
        ends_ns: Until when it holds, by the inviter's clock, UTC.
    """

    address: str
    server: PublicKey
    node: str
    role: Role
    secret: bytes
    ends_ns: int

    def __repr__(self) -> str:
        return f"Invitation(node={self.node!r}, role={self.role.value!r}, at={self.address!r})"

    @property
    def token(self) -> str:
        """The invitation as one word of text."""
        body = msgspec.msgpack.encode(self)
        check = hashlib.sha256(body).digest()[:_CHECK_BYTES]
        return _PREFIX + base64.urlsafe_b64encode(body + check).decode().rstrip("=")

    def proof(self, what: str, public: str) -> bytes:
        """That one knows the secret: of the joiner (``join``), of the inviter (``joined``)."""
        parts = (what, self.server.public, public, self.node, self.role.value)
        return hmac.digest(self.secret, "\0".join(("fusewatch", *parts)).encode(), "sha256")


_INVITATION_DECODER = msgspec.msgpack.Decoder(Invitation)


def read_token(text: str) -> Invitation:
    """The invitation of a token.

    Raises:
        AuthenticationError: It is not one, or not whole; says nothing of what it holds.
    """
    text = "".join(text.split())
    if not text.startswith(_PREFIX):
        raise AuthenticationError(
            "not a token", fix="copy the whole line that 'fusewatch keys invite' printed"
        )
    try:
        data = base64.b64decode(text[len(_PREFIX) :] + "==", altchars=b"-_", validate=False)
        body, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
        if not hmac.compare_digest(hashlib.sha256(body).digest()[:_CHECK_BYTES], check):
            raise AuthenticationError(_NOT_WHOLE, fix="copy all of it")
        invitation = _INVITATION_DECODER.decode(body)
    except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError):
        raise AuthenticationError(_NOT_WHOLE, fix="copy all of it") from None
    check_name(invitation.node)
    return invitation
