"""A window with what was known when it was cut, for events to quote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.core.event import Account
from pipeline.core.window import Window


@dataclass(frozen=True, slots=True)
class Cut:
    """A window with what was known when it was cut.

    Attributes:
        window: The window.
        accounts: Loss ledger per stream.
        unfit: Streams that the scene's model cannot use.
        left_out: Whether it is not scored, as the fusion node cannot keep up (`HopSet`).
    """

    window: Window
    accounts: Mapping[str, Account]
    unfit: frozenset[str]
    left_out: bool = False
