"""The signature of a webhook's requests, as Standard Webhooks has it.

Headers ``webhook-id`` (the idempotency key), ``webhook-timestamp`` (seconds) and
``webhook-signature`` = ``v1,`` and the base64 of HMAC-SHA256 over ``<id>.<timestamp>.<body>``.
A secret that begins with ``whsec_`` is base64 after that; any other is used as it stands. How a
receiver verifies it stands in ``configs/README.md``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac


def signature(secret: str, message_id: str, timestamp_s: int, body: bytes) -> str:
    """The value of ``webhook-signature``; see the module."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    digest = hmac.new(secret_bytes(secret), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def secret_bytes(secret: str) -> bytes:
    """The key that a secret stands for.

    Raises:
        ValueError: It is empty, or no base64 after ``whsec_``.
    """
    if not secret:
        raise ValueError("the secret must not be empty")
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise ValueError("what follows whsec_ must be base64") from error
