"""Secrets from files: ``password_file: FILE`` stands for ``password: <what is in FILE>``.

Any setting that takes text may be given so. The file is read once, when the deployment is
loaded; white space around its content is dropped.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, SecretStr

from pipeline.config.document import UNSET, Data
from pipeline.config.fields import Holding, nested, takes_text
from pipeline.config.paths import absolute
from pipeline.config.problems import KeyPath, Positions, Problem
from pipeline.core.errors import ConfigError
from pipeline.core.redact import url_passwords
from pipeline.core.settings import Settings

SUFFIX = "_file"
_MAX_BYTES = 64 << 10


@dataclass(slots=True)
class SecretFiles:
    """Replaces ``*_file`` keys by the content of the file.

    Attributes:
        folder: Folder that relative paths start from.
        positions: Lines of the deployment file; learns those of the keys put in.
        problems: What went wrong so far, and files that others can read.
        unset: Where `UNSET` stands for what could not be had, see `Document`; learns settings
            whose file cannot be read.
        values: Every secret read, to keep it out of logs.
    """

    folder: Path
    positions: Positions
    unset: set[KeyPath] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    values: set[str] = field(default_factory=set)

    def expand(self, data: Data, settings: type[Settings], path: KeyPath) -> None:
        """Replace the keys in `data`, and in what is nested in it, in place."""
        if not isinstance(data, dict):
            return
        for key in [k for k in data if is_secret_file(k, settings)]:
            self._replace(data, key, path)
        for name, info in settings.model_fields.items():
            for how, inner in nested(info.annotation):
                self._descend(data.get(name), how, inner, (*path, name))

    def _descend(self, value: Data, how: Holding, settings: type[Settings], path: KeyPath) -> None:
        if how is Holding.ONE:
            self.expand(value, settings, path)
        elif how is Holding.LIST and isinstance(value, list):
            for index, item in enumerate(value):
                self.expand(item, settings, (*path, index))
        elif how is Holding.MAPPING and isinstance(value, dict):
            for key, item in value.items():
                self.expand(item, settings, (*path, key))

    def _replace(self, data: dict[str, Data], key: str, path: KeyPath) -> None:
        name = key.removesuffix(SUFFIX)
        given = data.pop(key)
        if given is None or given == "":
            return
        if data.get(name) is not None:
            self.problems.append(Problem((*path, key), f"{name!r} is given too", "remove one"))
            return
        if not isinstance(given, str) or "\0" in given:
            self.problems.append(Problem((*path, key), "must be the path of a file"))
            given = UNSET
            self.unset.add((*path, key))
        self.positions.lines[(*path, name)] = self.positions.line((*path, key))
        # What is wrong with the path itself was told already; nothing is read then.
        secret = "" if (*path, key) in self.unset else self._read(given, (*path, key))
        data[name] = secret or UNSET
        if secret:
            self.values.add(secret)
        else:
            self.unset.add((*path, name))

    def _read(self, given: str, path: KeyPath) -> str:
        try:
            file = absolute(Path(given), self.folder)
        except ConfigError as error:
            self.problems.append(Problem(path, error.message, error.fix))
            return ""
        try:
            with file.open("rb") as opened:
                mode = file.stat().st_mode
                text = opened.read(_MAX_BYTES + 1)
            secret = text.decode().strip()
        except OSError as error:
            self.problems.append(Problem(path, f"{file}: {error.strerror}", "create the file"))
            return ""
        except UnicodeDecodeError:
            self.problems.append(Problem(path, f"{file}: not UTF-8 text"))
            return ""
        if not secret or len(text) > _MAX_BYTES:
            self.problems.append(Problem(path, f"{file}: empty, or larger than 64 KiB"))
            return ""
        if mode & stat.S_IROTH:
            self.problems.append(
                Problem(path, f"every user can read {file}", f"chmod 600 {file}", fatal=False)
            )
        return secret


def secret_values(value: object) -> Iterator[str]:
    """Every `SecretStr` in settings, however deep, and every password in a URL."""
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
        yield from url_passwords(value.get_secret_value())
    elif isinstance(value, str):
        yield from url_passwords(value)
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from secret_values(getattr(value, name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from secret_values(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from secret_values(item)


def is_secret_file(key: str, settings: type[Settings]) -> bool:
    """Whether `key` is the ``*_file`` form of one of the settings' text fields."""
    name = key.removesuffix(SUFFIX)
    if name in (key, "type") or key in settings.model_fields or name not in settings.model_fields:
        return False
    return takes_text(settings.model_fields[name].annotation)
