"""``${VAR}`` in the text of a deployment.

======================  ==================================================================
``${VAR}``              the variable; an error when it is not set
``${VAR:-default}``     the default when it is not set or empty; may hold further ``${...}``
``${VAR:?message}``     an error with this message when it is not set or empty
``$${``                 a plain ``${``
======================  ==================================================================

Variables are put in after the YAML was parsed, so nothing in a variable can change the
structure of the file, and what a variable holds is never looked at for variables again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_REFERENCE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<rule>:[-?])(?P<rest>.*))?", re.S)
_MAX_DEPTH = 8


class VariableFault(Exception):
    """A reference that cannot be replaced. Never leaves `pipeline.config`.

    Args:
        message: What is wrong.
        fix: What to do about it.
    """

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Substituted:
    """A text with its variables put in.

    Attributes:
        text: The result.
        names: Variables it was made from, in order.
        whole: The text was one reference and nothing else.
        values: What was taken from the environment; may be secret.
    """

    text: str
    names: tuple[str, ...] = ()
    whole: bool = False
    values: tuple[str, ...] = ()


def substitute(text: str, environ: Mapping[str, str]) -> Substituted:
    """`text` with every reference replaced.

    Raises:
        VariableFault: A variable is missing, or a reference is not well formed.
    """
    return _Substitution(environ).run(text)


class _Substitution:
    """One pass over one text."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._names: list[str] = []
        self._values: list[str] = []

    def run(self, text: str) -> Substituted:
        result = self._replace(text, 0)
        whole = text.startswith("${") and _closing(text, 2) == len(text) - 1
        return Substituted(result, tuple(self._names), whole, tuple(self._values))

    def _replace(self, text: str, depth: int) -> str:
        if depth > _MAX_DEPTH:
            raise VariableFault("variables nested too deeply")
        parts: list[str] = []
        at = 0
        while (start := text.find("${", at)) >= 0:
            if start > at and text[start - 1] == "$":
                parts.append(text[at : start - 1] + "${")
                at = start + 2
                continue
            end = _closing(text, start + 2)
            parts.append(text[at:start] + self._value(text[start + 2 : end], depth))
            at = end + 1
        return "".join(parts) + text[at:]

    def _value(self, reference: str, depth: int) -> str:
        found = _REFERENCE.fullmatch(reference)
        if found is None:
            raise VariableFault(
                f"'${{{reference}}}' is not a variable",
                "write ${NAME}, ${NAME:-default} or ${NAME:?message}; $${ for a plain ${",
            )
        name, rule, rest = found["name"], found["rule"], found["rest"] or ""
        value = self._environ.get(name)
        self._names.append(name)
        if value or (value is not None and rule is None):
            self._values.append(value)
            return value
        if rule == ":-":
            return self._replace(rest, depth + 1)
        if rule == ":?":
            raise VariableFault(
                f"variable {name} is not set: {rest or 'it is needed'}", _export(name)
            )
        raise VariableFault(
            f"variable {name} is not set", f"{_export(name)} or write ${{{name}:-default}}"
        )


def _closing(text: str, start: int) -> int:
    depth = 1
    for at in range(start, len(text)):
        if text.startswith("${", at) and text[at - 1] != "$":
            depth += 1
        elif text[at] == "}":
            depth -= 1
            if depth == 0:
                return at
    raise VariableFault("'${' is never closed", "add '}', or write $${ for a plain ${")


def _export(name: str) -> str:
    return f"export {name}=..."
