"""From plain data to settings, with every fault told in words that help.

Plug-in kinds are validated first, each by its own settings class, then the deployment around
them, so that all faults are found in one go and each names its own place in the file.

A value that could not be had (`UNSET`) was told when that was found, so faults that only follow
from it are left out.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pipeline.config.deployment import Deployment
from pipeline.config.document import UNSET, Data, Document
from pipeline.config.fields import owner_of
from pipeline.config.problems import KeyPath, Problem, suggest
from pipeline.config.secrets import SecretFiles
from pipeline.core.errors import DependencyMissing, PluginError
from pipeline.core.redact import redact_url
from pipeline.core.settings import Settings
from pipeline.plugins import Family
from pipeline.sinks.base import SINKS, SinkSettings
from pipeline.sources.base import SOURCES, SourceSettings

AnySettings = TypeVar("AnySettings", bound=Settings)

_YAML_WORDS = {"True": "true", "False": "false", "None": "nothing"}
_SECRET_WORDS = ("password", "secret", "token", "key", "auth", "credential")


@dataclass(slots=True)
class Validation:
    """One pass over one document.

    Attributes:
        document: What was read.
        secrets: Reader of ``*_file`` keys.
        problems: Faults found so far.
        incomplete: Whether a plug-in's settings could not be built.
    """

    document: Document
    secrets: SecretFiles
    problems: list[Problem] = field(default_factory=list)
    incomplete: bool = False

    def run(self) -> Deployment | None:
        """The deployment, or None when it is too wrong to be built."""
        data = copy.deepcopy(self.document.data)
        if not isinstance(data, dict):
            self.problems.append(Problem((), "must be a mapping such as 'name: my-site'"))
            return None
        self.secrets.expand(data, Deployment, ())
        nodes = data.get("nodes")
        for name, node in nodes.items() if isinstance(nodes, dict) else ():
            self._plugins(node, "sources", SOURCES, ("nodes", name, "sources"))
        self._plugins(data.get("alert"), "sinks", SINKS, ("alert", "sinks"))
        return self._validated(Deployment, data, ())

    def only(self, settings: type[AnySettings]) -> AnySettings | None:
        """Settings of one kind, or None; for files that are not deployments."""
        data = copy.deepcopy(self.document.data)
        if not isinstance(data, dict):
            self.problems.append(Problem((), "must be a mapping such as 'key: value'"))
            return None
        return self._validated(settings, data, ())

    def _plugins(self, holder: Data, key: str, family: Family, path: KeyPath) -> None:
        items = holder.get(key) if isinstance(holder, dict) else None
        if isinstance(items, list):
            built: list[Any] = [
                self._plugin(item, family, (*path, index)) for index, item in enumerate(items)
            ]
            items[:] = built

    def _plugin(self, item: Data, family: Family, path: KeyPath) -> Settings:
        kind = item.get("type") if isinstance(item, dict) else None
        if not isinstance(item, dict) or not isinstance(kind, str):
            wanted = f"write 'type: KIND', one of: {', '.join(family.kinds())}"
            self.problems.append(Problem((*path, "type"), "missing", wanted))
            return self._placeholder(family, "")
        try:
            settings = family.settings(kind)
        except (PluginError, DependencyMissing) as error:
            message = self._without_values(error.message, (*path, "type"))
            self.problems.append(Problem((*path, "type"), message, error.fix))
            return self._placeholder(family, kind)
        self.secrets.expand(item, settings, path)
        return self._validated(settings, item, path) or self._placeholder(family, kind)

    def _validated(
        self, settings: type[AnySettings], data: dict[str, Data], path: KeyPath
    ) -> AnySettings | None:
        try:
            return settings.model_validate(data)
        except ValidationError as error:
            if self._take_literally(data, error.errors(), path):
                return self._validated(settings, data, path)
            found = self._explain(error.errors(), data, path, settings)
            self.problems += [problem for problem in found if not self._follows(problem)]
            return None

    def _follows(self, problem: Problem) -> bool:
        """Whether a fault may only follow from a value that could not be had."""
        at = len(problem.path)
        for unset in self.document.unset:
            if unset == problem.path:
                return True
            words = (UNSET, *(part for part in unset[at:] if isinstance(part, str)))
            if unset[:at] == problem.path and any(
                re.search(rf"\b{re.escape(word)}\b", problem.message) for word in words
            ):
                return True
        return False

    def _placeholder(self, family: Family, kind: str) -> Settings:
        self.incomplete = True
        base: type[SourceSettings | SinkSettings] = SourceSettings
        if family is SINKS:
            base = SinkSettings
        return base.model_construct(type=kind)

    def _take_literally(self, data: Data, errors: list[ErrorDetails], path: KeyPath) -> bool:
        """Undo reading a variable as a number where text is wanted (a password of digits)."""
        changed = False
        for error in errors:
            if error["type"] != "string_type":
                continue
            where = _real_path(error["loc"], data)
            origin = self.document.texts.get((*path, *where))
            if origin is not None and _get(data, where) != origin.text:
                changed = _set(data, where, origin.text) or changed
        return changed

    def _explain(
        self, errors: list[ErrorDetails], data: Data, path: KeyPath, settings: type[Settings]
    ) -> list[Problem]:
        found: dict[KeyPath, Problem] = {}
        for error in errors:
            where = _real_path(error["loc"], data)
            message, fix = self._words(error, data, where, (*path, *where), settings)
            if (earlier := found.get(where)) is not None and message not in earlier.message:
                message, fix = f"{earlier.message}, or {message}", earlier.fix or fix
            found[where] = Problem((*path, *where), message, fix)
        return list(found.values())

    def _words(
        self,
        error: ErrorDetails,
        data: Data,
        where: KeyPath,
        full: KeyPath,
        settings: type[Settings],
    ) -> tuple[str, str]:
        owner = owner_of(settings, where)
        name = str(where[-1]) if where else ""
        if error["type"] == "extra_forbidden":
            taken = _get(data, where[:-1])
            known = set(owner.model_fields) - set(taken if isinstance(taken, dict) else ())
            return "unknown key", suggest(name, known or owner.model_fields)
        if error["type"] == "missing":
            return "missing", _write(owner, name)
        if error["type"] == "literal_error":
            expected = str(error.get("ctx", {}).get("expected", "")).replace("'", "")
            choices = expected.replace(" or ", ", ").split(", ")
            return f"{self._shown(error, full)} is not allowed", suggest(
                str(error["input"]), choices
            )
        message = _first_lower(error["msg"].removeprefix("Value error, "))
        if error["type"] in ("value_error", "assertion_error"):
            return self._without_values(message, full), ""
        message = _in_words_of_yaml(message)
        return f"{message}, got {self._shown(error, full)}", _about(owner, name)

    def _shown(self, error: ErrorDetails, full: KeyPath) -> str:
        if origin := self.document.texts.get(full):
            return f"the value of {' and '.join(origin.names) or 'a variable'}"
        if any(word in str(full[-1]).lower() for word in _SECRET_WORDS if full):
            return "a value that is not shown"
        shown = _YAML_WORDS.get(repr(error["input"])) or repr(error["input"])
        return self._without_values(shown, full)[:80]

    def _without_values(self, message: str, full: KeyPath) -> str:
        for path, origin in self.document.texts.items():
            if path[: len(full)] == full:
                message = _hide(message, origin.values)
        return redact_url(_hide(message, self.secrets.values))


def _hide(message: str, values: Iterable[str]) -> str:
    for value in values:
        if len(value) > 3:
            message = message.replace(value, "***")
    return message


def _real_path(loc: tuple[int | str, ...], data: Data) -> KeyPath:
    """`loc` without the names of union branches, which are not in the file."""
    real: list[int | str] = []
    here: object = data
    for at, part in enumerate(loc):
        last = at == len(loc) - 1
        if isinstance(here, dict) and (part in here or last):
            real.append(part)
            here = here.get(part)
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            real.append(part)
            here = here[part]
    return tuple(real)


def _get(data: object, path: KeyPath) -> object:
    for part in path:
        if isinstance(data, dict):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int):
            data = data[part]
    return data


def _set(data: Data, path: KeyPath, value: str) -> bool:
    holder = _get(data, path[:-1])
    if isinstance(holder, dict) and path:
        holder[path[-1]] = value
        return True
    if isinstance(holder, list) and path and isinstance(path[-1], int):
        holder[path[-1]] = value
        return True
    return False


def _about(owner: type[Settings], name: str) -> str:
    info = owner.model_fields.get(name)
    return f"{name}: {info.description}" if info is not None and info.description else ""


def _write(owner: type[Settings], name: str) -> str:
    about = _about(owner, name).removeprefix(f"{name}: ")
    return f"write '{name}: ...'" + (f" ({_first_lower(about)[:-1]})" if about else "")


def _in_words_of_yaml(message: str) -> str:
    message = message.removeprefix("input ").partition(", unable to")[0]
    message = re.sub(r" or instance of \w+|for <class '[^']*'>", "", message).rstrip()
    return message.replace("dictionary", "mapping")


def _first_lower(text: str) -> str:
    return text[:1].lower() + text[1:]
