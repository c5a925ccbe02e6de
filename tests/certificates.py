"""Certificates for servers on this machine, made by the openssl program."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.requirements import require_command


@dataclass(frozen=True, slots=True)
class Certificates:
    """A self-signed certificate of 127.0.0.1 and localhost; it is its own authority."""

    certificate: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    require_command("openssl")
    made = Certificates(folder / "server.crt", folder / "server.key")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
            *("-keyout", str(made.key), "-out", str(made.certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return made
