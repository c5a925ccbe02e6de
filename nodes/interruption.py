"""Ctrl-C as a wish to end, which is looked at between two steps.

As an exception it comes anywhere: when a batch has been taken from its queue and not yet been
written, or half of a message has been read from a pipe.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any, Self


class Interruption:
    """While entered, the first ``SIGINT`` or ``SIGTERM`` is only noted; a second acts as before.

    To be entered by the main thread.

    Attributes:
        asked: Whether one came.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True
        self._restore()

    def _restore(self) -> None:
        while self._before:
            number, action = self._before.popitem()
            signal.signal(number, action)
