"""What a running process says of itself in ``<data>/run/<name>.json``: who it is, where it answers.

Only the standard library is used, as `nodes.probe` starts every few seconds.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunFile:
    """One process.

    Attributes:
        name: Name of the process.
        pid: Process id.
        http: Port of /livez, /readyz and /metrics on the loopback; None when off.
        started_ns: When it started, UTC.
    """

    name: str
    pid: int
    http: int | None
    started_ns: int


def write_run_file(path: Path, content: RunFile) -> None:
    """Write a run file; readers see the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(json.dumps(asdict(content)), encoding="utf-8")
    draft.replace(path)


def read_run_files(data: Path) -> list[RunFile]:
    """Run files of the processes of a deployment that are running, by name."""
    found = map(read_run_file, sorted((data / "run").glob("*.json")))
    return [one for one in found if one is not None and _is_running(one.pid)]


def read_run_file(path: Path) -> RunFile | None:
    """What a run file says, whether its process runs or not; None when it is none."""
    try:
        return RunFile(**json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True
