"""Asking a running fusion node how well its streams agree on the time: two small files.

The one who asks touches ``run/sync-request.json`` every second. While it is fresh the fusion
node compares the streams of every scene, also of those whose deployment does not ask for it,
and writes what it found last to ``run/sync-answer.json``. Nobody asks: nothing is compared.
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

    def ask(self) -> None:
        """Ask; call again about once a second to keep it going."""
        self._wish.parent.mkdir(parents=True, exist_ok=True)
        self._wish.touch()

    def withdraw(self) -> None:
        """It need not be known any longer."""
        self._wish.unlink(missing_ok=True)
        self._answer.unlink(missing_ok=True)

    @property
    def wanted(self) -> bool:
        """Whether somebody asks."""
        try:
            return time.time() - self._wish.stat().st_mtime < STALE_S
        except OSError:
            return False

    def answer(self, found: Mapping[str, Any]) -> None:
        """Write what was found, by scene, whole or not at all.

        Raises:
            OSError: The disk refuses.
        """
        draft = self._answer.with_suffix(".tmp")
        draft.write_text(json.dumps(found))
        os.replace(draft, self._answer)

    def read(self) -> dict[str, Any]:
        """What was answered last; empty when nothing was."""
        try:
            found = json.loads(self._answer.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}
