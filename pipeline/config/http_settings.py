"""How the HTTP pages of a node are kept from strangers where others can reach them."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from pipeline.core.settings import Settings


class HttpSettings(Settings):
    """Token and certificate for HTTP addresses that are not on the loopback."""

    token: SecretStr = Field(min_length=16)
    """What a request brings as ``Authorization: Bearer TOKEN``; without it, ``/livez`` alone
    answers, with its status and no details."""

    certificate: Path
    """Certificate chain, a PEM file; read again when it changes."""

    key: Path
    """Its private key, a PEM file that others may not read."""
