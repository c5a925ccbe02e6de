"""Asking a running fusion node to record: a small file it looks at about once a second.

The one who asks touches the file every second; when it is gone or was not touched for
`STALE_S`, the fusion node closes the recording. No data takes a second way through the
network, and what is recorded is exactly what the engine took.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

STALE_S = 5.0
NAME = "record-request.json"


class RecordRequest:
    """A wish to record to a file.

    Args:
        data: The deployment's data folder.
    """

    def __init__(self, data: Path) -> None:
        self._path = data / "run" / NAME

    def ask(self, target: Path) -> None:
        """Ask for a recording at `target`; call again about once a second to keep it going."""
        if self._path.exists():
            os.utime(self._path)
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(".tmp")
        draft.write_text(json.dumps({"target": str(target.resolve())}))
        draft.replace(self._path)

    def withdraw(self) -> None:
        """The recording may end."""
        self._path.unlink(missing_ok=True)

    def target(self) -> Path | None:
        """Where to record to now, or None when nobody asks."""
        try:
            age_s = time.time() - self._path.stat().st_mtime
            wanted = json.loads(self._path.read_text())["target"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return Path(wanted) if age_s < STALE_S else None
