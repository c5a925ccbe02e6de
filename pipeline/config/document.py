"""From YAML nodes to plain data, with the line of every key and the variables put in.

A list item that is a mapping may have the key ``when``: the item is left out when its value
is empty or ``false`` after variables were put in, and nothing else in it is looked at. So an
optional sink reads ``when: ${WEBHOOK_URL:-}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import yaml

from pipeline.config.problems import KeyPath, Positions, Problem
from pipeline.config.variables import Substituted, VariableFault, substitute
from pipeline.config.yaml_reader import (
    MAX_DEPTH,
    MAX_NODES,
    ProblemFound,
    is_plain,
    line_of,
    plain_value,
)

Data: TypeAlias = "str | int | float | bool | list[Data] | dict[str, Data] | None"

WHEN = "when"
UNSET = "unset"
"""Stands for a value whose variable or secret file is missing, so that the rest can be checked."""

_MERGE = "<<"


@dataclass(slots=True)
class Document:
    """A parsed deployment file.

    Attributes:
        data: Plain data.
        positions: Line of every key and list item.
        texts: Values that came from variables, before they were read as numbers.
        unset: Where `UNSET` stands for a value that could not be had; each has its problem.
        problems: Duplicate keys and variables that are not there.
    """

    data: Data = None
    positions: Positions = field(default_factory=Positions)
    texts: dict[KeyPath, Substituted] = field(default_factory=dict)
    unset: set[KeyPath] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)


def build_document(root: yaml.Node, environ: Mapping[str, str]) -> Document:
    """Turn a node tree into data.

    Raises:
        ProblemFound: Aliases blow the tree up beyond its limits, or it contains itself.
    """
    builder = _Builder(environ)
    builder.document.data = builder.value(root, ())
    return builder.document


class _Builder:
    """Walks a node tree once; an aliased node is built anew wherever it is used."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.document = Document()
        self._environ = environ
        self._count = 0

    def value(self, node: yaml.Node, path: KeyPath) -> Data:
        self._spend(node, path)
        self.document.positions.lines.setdefault(path, line_of(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return self._sequence(node, path)
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Data]:
        result: dict[str, Data] = {}
        for key, value in self._unique(node, path):
            child = (*path, key.value)
            self.document.positions.lines[child] = line_of(key)
            result[key.value] = self.value(value, child)
        return result

    def _unique(
        self, node: yaml.MappingNode, path: KeyPath
    ) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
        own: dict[str, tuple[yaml.ScalarNode, yaml.Node]] = {}
        merged: list[yaml.Node] = []
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._problem(path, "a key must be a plain word", line=line_of(key))
            elif key.value == _MERGE and is_plain(key):
                merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
            elif key.value in own:
                first = line_of(own[key.value][0])
                self._problem(
                    (*path, key.value),
                    f"written twice, first in line {first}",
                    "remove one",
                    line=line_of(key),
                )
            else:
                own[key.value] = (key, value)
        for source in merged:
            self._merge(source, own, path)
        return list(own.values())

    def _merge(
        self, source: yaml.Node, own: dict[str, tuple[yaml.ScalarNode, yaml.Node]], path: KeyPath
    ) -> None:
        if not isinstance(source, yaml.MappingNode):
            self._problem((*path, _MERGE), "only mappings can be merged", line=line_of(source))
            return
        self._spend(source, path)
        for key, value in self._unique(source, (*path, _MERGE)):
            own.setdefault(key.value, (key, value))

    def _sequence(self, node: yaml.SequenceNode, path: KeyPath) -> list[Data]:
        result: list[Data] = []
        for item in node.value:
            child = (*path, len(result))
            if self._left_out(item, child):
                continue
            value = self.value(item, child)
            if isinstance(value, dict):
                value.pop(WHEN, None)
            result.append(value)
        return result

    def _left_out(self, item: yaml.Node, path: KeyPath) -> bool:
        if not isinstance(item, yaml.MappingNode):
            return False
        for key, value in item.value:
            if isinstance(key, yaml.ScalarNode) and key.value == WHEN:
                said = self._scalar(value, (*path, WHEN))
                # Quotes round a variable must not make its "false" a text like any other.
                said = plain_value(said) if isinstance(said, str) else said
                return said in (None, "", False, UNSET)
        return False

    def _scalar(self, node: yaml.Node, path: KeyPath) -> Data:
        if not isinstance(node, yaml.ScalarNode):
            self._problem(path, "must be a single value", line=line_of(node))
            return None
        if "${" not in node.value:
            return plain_value(node.value) if is_plain(node) else str(node.value)
        try:
            done = substitute(node.value, self._environ)
        except VariableFault as fault:
            self._problem(path, fault.message, fault.fix, line=line_of(node))
            self.document.unset.add(path)
            return UNSET
        self.document.texts[path] = done
        return plain_value(done.text) if done.whole and is_plain(node) else done.text

    def _spend(self, node: yaml.Node, path: KeyPath) -> None:
        self._count += 1
        if self._count > MAX_NODES or len(path) > MAX_DEPTH:
            raise ProblemFound(
                Problem(path[:3], "aliases make the file too large", line=line_of(node))
            )

    def _problem(self, path: KeyPath, message: str, fix: str = "", *, line: int = 0) -> None:
        self.document.problems.append(Problem(path, message, fix, line))
