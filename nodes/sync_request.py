"""Asking a running fusion node how well its streams agree on the time: two small files.

The one who asks touches ``run/sync-request.json`` every second; it says how much of the past is
to be compared. While it is fresh the fusion node compares the streams of every scene, also of
those whose deployment does not ask for it, and writes what it found last to
``run/sync-answer.json``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

STALE_S = 5.0


class SyncRequest:
    """A wish to know how well streams agree.

    Args:
        data: The deployment's data folder.
    """

    def __init__(self, data: Path) -> None:
        self._wish = data / "run" / "sync-request.json"
        self._answer = data / "run" / "sync-answer.json"

    def ask(self, window_s: float) -> None:
        """Ask; call again about once a second to keep it going."""
        if self._wish.exists():
            os.utime(self._wish)
            return
        self._wish.parent.mkdir(parents=True, exist_ok=True)
        self._write(self._wish, {"window_s": window_s})

    def withdraw(self) -> None:
        """It need not be known any longer."""
        self._wish.unlink(missing_ok=True)
        self._answer.unlink(missing_ok=True)

    def wanted_s(self) -> float | None:
        """How much of the past is to be compared, seconds; None while nobody asks."""
        try:
            age_s = time.time() - self._wish.stat().st_mtime
            window_s = float(json.loads(self._wish.read_text())["window_s"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return window_s if age_s < STALE_S else None

    def answer(self, found: Mapping[str, Any]) -> None:
        """Write what was found, by scene, whole or not at all.

        Raises:
            OSError: The disk refuses.
        """
        self._write(self._answer, found)

    def read(self) -> dict[str, Any]:
        """What was answered last; empty when nothing was."""
        try:
            found = json.loads(self._answer.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    @staticmethod
    def _write(path: Path, content: Mapping[str, Any]) -> None:
        draft = path.with_suffix(".tmp")
        draft.write_text(json.dumps(content))
        draft.replace(path)
