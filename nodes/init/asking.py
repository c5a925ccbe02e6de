"""Questions on the terminal, each with a default."""

from __future__ import annotations

import typer


class Asking:
    """Questions with a default.

    Args:
        silent: Ask nothing: what was not given is the default.
    """

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent

    def text(self, question: str, given: str | None, default: str) -> str:
        """A line."""
        if given is not None or self._silent:
            return default if given is None else given
        return str(typer.prompt(question, default=default, show_default=bool(default))).strip()

    def secret(self, question: str) -> str:
        """A password, not shown."""
        if self._silent:
            return ""
        return str(typer.prompt(question, default="", hide_input=True, show_default=False))

    def yes(self, question: str, given: bool | None, default: bool) -> bool:
        """Yes or no."""
        if given is not None or self._silent:
            return default if given is None else given
        return typer.confirm(question, default=default)
