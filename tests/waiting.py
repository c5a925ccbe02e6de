"""Waiting for what other processes and threads do, with a generous deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

DEADLINE_S = 30.0


def wait_until(condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
    """Return when `condition` holds.

    Raises:
        AssertionError: It did not within `deadline_s`.
    """
    end_s = time.monotonic() + deadline_s
    pause = threading.Event()
    while not condition():
        if time.monotonic() > end_s:
            raise AssertionError(f"still not so after {deadline_s} s")
        pause.wait(0.02)
