"""A window with what was known when it was cut, for events to quote."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.core.window import Window
from pipeline.detection.accounts import Accounts


@dataclass(frozen=True, slots=True)
class Cut:
    """A window with what was known when it was cut.

    Attributes:
        window: The window.
        accounts: Loss ledger.
        unfit: Streams that the scene or its model cannot use.
        left_out: Whether it is not scored, as the fusion node cannot keep up (`HopSet`).
    """

    window: Window
    accounts: Accounts
    unfit: frozenset[str]
    left_out: bool = False
