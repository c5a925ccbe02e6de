"""What is wrong with a deployment file, and where in the file it stands."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]
"""Way to a value: keys of mappings and indices of lists, from the top."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault or one thing worth saying.

    Attributes:
        path: Where in the deployment.
        message: What is wrong.
        fix: What to write instead.
        line: Line in the file, from 1; 0 when unknown.
        file: Name of the file.
        fatal: False for warnings.
    """

    path: KeyPath
    message: str
    fix: str = ""
    line: int = 0
    file: str = ""
    fatal: bool = True

    def __str__(self) -> str:
        spot = f"{self.file}:{self.line}" if self.line else self.file
        parts = [part for part in (spot, dotted(self.path), self.message) if part]
        return ": ".join(parts) + (f"; {self.fix}" if self.fix else "")

    def in_file(self, file: str, positions: Positions) -> Problem:
        """The same problem with its file and line filled in, unless it has them."""
        return replace(self, file=self.file or file, line=self.line or positions.line(self.path))


@dataclass(slots=True)
class Positions:
    """Lines of keys and values of one file, counted from 1."""

    lines: dict[KeyPath, int] = field(default_factory=dict)

    def line(self, path: KeyPath) -> int:
        """Line of the key or list item at `path`, or of what it would stand in; 0 if unknown."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return 0


def dotted(path: KeyPath) -> str:
    """A path as people write it: ``nodes.hall.sources[0].url``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def suggest(wrong: str, known: Iterable[str]) -> str:
    """What was probably meant, or everything that could be."""
    names = sorted(known)
    close = difflib.get_close_matches(wrong, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"write one of: {', '.join(names)}" if names else ""
