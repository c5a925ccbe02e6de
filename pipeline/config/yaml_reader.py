"""From a file to a tree of YAML nodes, each of which knows its line.

Only plain data is accepted: no tags, no second document, and limits on size, depth, number of
nodes and aliases, so that a hostile file costs little and harms nobody. Scalars follow the
core schema of YAML 1.2: ``on``, ``off``, ``yes`` and ``12:30`` are text, as in editors.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from pipeline.config.problems import Problem
from pipeline.core.errors import ConfigError

MAX_BYTES = 1 << 20
MAX_DEPTH = 40
MAX_NODES = 50_000
MAX_ALIASES = 200

_IMPLICIT = "implicit"
_TEXT_TAG = "tag:yaml.org,2002:str"
_INT = re.compile(r"[-+]?[0-9]{1,40}")
_HEX_OR_OCTAL = re.compile(r"0x[0-9a-fA-F]{1,32}|0o[0-7]{1,32}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]{1,40}|[0-9]{1,40}(\.[0-9]{0,40})?)([eE][-+]?[0-9]{1,5})?")
_SPECIAL = {"": None, "~": None} | {
    text: value
    for word, value in {"null": None, "true": True, "false": False}.items()
    for text in (word, word.capitalize(), word.upper())
}
_INFINITE = re.compile(r"([-+]?)\.(inf|Inf|INF)")


class ProblemFound(Exception):
    """Reading cannot go on; carries the one problem. Never leaves `pipeline.config`."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def read_text(path: Path) -> str:
    """The file as text.

    Raises:
        ConfigError: Missing, unreadable, empty, too large or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(
            "no such file", where=str(path), fix="check the name; examples are in configs/"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}",
            where=str(path),
            fix="name a deployment file that this user may read",
        ) from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"larger than {MAX_BYTES >> 20} MiB", where=str(path))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            "not UTF-8 text", where=f"{path}:{line}", fix="save the file as UTF-8"
        ) from error
    return text


def compose(text: str) -> yaml.Node:
    """The node tree of the one document in `text`.

    Raises:
        ProblemFound: Broken YAML, nothing in it, or a limit exceeded.
    """
    try:
        root = _Loader(text).get_single_node()
    except yaml.YAMLError as error:
        raise ProblemFound(_syntax_problem(error, text)) from error
    if root is None:
        raise ProblemFound(Problem((), "the file is empty", "see configs/ for examples", line=1))
    return root


def line_of(node: yaml.Node) -> int:
    """Line on which a node begins, from 1."""
    return int(node.start_mark.line) + 1


def is_plain(node: yaml.ScalarNode) -> bool:
    """Whether a scalar is unquoted and untagged, so that it may be a number."""
    return node.style is None and node.tag == _IMPLICIT


def plain_value(text: str) -> str | int | float | bool | None:
    """What an unquoted scalar means (YAML 1.2 core schema)."""
    if text in _SPECIAL:
        return _SPECIAL[text]
    if _INT.fullmatch(text):
        return int(text)
    if _HEX_OR_OCTAL.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if found := _INFINITE.fullmatch(text):
        return float(f"{found[1]}inf")
    return float("nan") if text in {".nan", ".NaN", ".NAN"} else text


class _Loader(yaml.SafeLoader):
    """Composes nodes within limits; never constructs an object."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._nodes = self._aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """One node and what is in it, counted."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self._depth += 1
        self._nodes += 1
        self._aliases += isinstance(event, yaml.AliasEvent)
        self._check_limits(event)
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        if node is not None and node.tag not in (_IMPLICIT, _TEXT_TAG):
            raise _marked(f"tag {node.tag!r} is not allowed, only plain data", node.start_mark)
        return node

    def resolve(self, kind: object, value: object, implicit: object) -> str:
        """Leave every type open: `plain_value` decides, after variables were put in."""
        return _IMPLICIT

    def _check_limits(self, event: yaml.Event) -> None:
        for count, limit, what in (
            (self._depth, MAX_DEPTH, "levels"),
            (self._nodes, MAX_NODES, "values"),
            (self._aliases, MAX_ALIASES, "aliases"),
        ):
            if count > limit:
                raise _marked(f"more than {limit} {what}", event.start_mark)


def _marked(message: str, mark: Any) -> yaml.MarkedYAMLError:  # noqa: ANN401 - two Mark types
    return yaml.MarkedYAMLError(problem=message, problem_mark=mark)


def _syntax_problem(error: yaml.YAMLError, text: str) -> Problem:
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        character = f"character U+{error.character:04X} is not allowed"
        return Problem((), f"not valid YAML: {character}", line=line)
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    words = [getattr(error, "context", None), getattr(error, "problem", None)]
    message = " ".join(word for word in words if word) or " ".join(str(error).split())
    if mark is None:
        return Problem((), f"not valid YAML: {message}", line=1)
    faulty = text.split("\n")[mark.line] if mark.line <= text.count("\n") else ""
    fix = "between braces write '${NAME}' in quotes" if "${" in faulty else ""
    if not fix and ("<stream end>" in message or "end of stream" in message):
        fix = "a bracket, brace or quote further up is never closed"
    if not fix and "'\\t'" in message:
        fix = "indent with spaces, not with tabs"
    message = f"not valid YAML: {message}, column {mark.column + 1}"
    return Problem((), message, fix, line=mark.line + 1)
