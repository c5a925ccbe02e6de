"""The cameras of this machine, as Linux lists them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

DEV = Path("/dev")
SYS = Path("/sys/class/video4linux")


@dataclass(frozen=True, slots=True)
class VideoDevice:
    """One video device node. A camera often has several; the first gives pictures.

    Attributes:
        path: Its node, such as ``/dev/video0``.
        name: What the driver calls it; empty when it does not say.
        readable: Whether this user may open it.
    """

    path: str
    name: str
    readable: bool


def list_cameras(dev: Path = DEV, sys: Path = SYS) -> list[VideoDevice]:
    """Every video device node, by number."""
    nodes = [p for p in dev.glob("video*") if p.name[5:].isdigit()]
    return [
        VideoDevice(str(node), _name(sys / node.name), os.access(node, os.R_OK | os.W_OK))
        for node in sorted(nodes, key=lambda p: int(p.name[5:]))
    ]


def _name(folder: Path) -> str:
    try:
        return (folder / "name").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
