"""Relative paths of a deployment start from the folder its file is in.

So do those in ``sqlite:///FILE`` and ``ipc://FILE``, wherever a text begins so; left alone are
``sqlite:///:memory:``, SQLite's own ``file:`` URIs and abstract sockets (``ipc://@name``).
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, SecretStr

from pipeline.config.problems import KeyPath, Problem
from pipeline.config.yaml_reader import ProblemFound
from pipeline.core.errors import ConfigError

_FILE_URL = re.compile(
    r"(?P<scheme>sqlite(?:\+\w+)?:///(?!:memory:|file:)|ipc://(?!@))(?P<path>[^?]+)(?P<rest>.*)",
    re.DOTALL,
)

AnySettings = TypeVar("AnySettings", bound=BaseModel)


def resolve_paths(settings: AnySettings, folder: Path, place: KeyPath = ()) -> AnySettings:
    """A copy of `settings`, which stand at `place`, with every path, however deep, absolute.

    ``~`` is the home folder. Defaults are resolved as well as what was written.

    Raises:
        ProblemFound: A path begins with a home folder that is not known.
    """
    changed: dict[str, object] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        resolved = _resolve(value, folder, (*place, name))
        if resolved is not value:
            changed[name] = resolved
    return settings.model_copy(update=changed) if changed else settings


def absolute(path: Path, folder: Path) -> Path:
    """`path` seen from `folder`, without ``..`` and ``~``; absolute paths stay as they are.

    Raises:
        ConfigError: It begins with a home folder that is not known.
    """
    try:
        path = path.expanduser()
    except RuntimeError as error:
        raise ConfigError(
            f"no home folder is known for {path.parts[0]!r}", fix="write the whole path"
        ) from error
    return path if path.is_absolute() else Path(os.path.normpath(folder / path))


def absolute_url(url: str, folder: Path) -> str:
    """`url` with the file it names seen from `folder`; any other text as it is.

    Raises:
        ConfigError: See `absolute`.
    """
    found = _FILE_URL.fullmatch(url)
    if found is None:
        return url
    return f"{found['scheme']}{absolute(Path(found['path']), folder)}{found['rest']}"


def _resolve(value: object, folder: Path, place: KeyPath) -> object:
    if isinstance(value, Path | str | SecretStr):
        try:
            return _resolve_text(value, folder)
        except ConfigError as error:
            raise ProblemFound(Problem(place, error.message, error.fix)) from error
    if isinstance(value, BaseModel):
        return resolve_paths(value, folder, place)
    if isinstance(value, dict):
        return {key: _resolve(item, folder, (*place, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, folder, (*place, n)) for n, item in enumerate(value)]
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple(_resolve(item, folder, (*place, n)) for n, item in enumerate(value))
    return value


def _resolve_text(value: Path | str | SecretStr, folder: Path) -> Path | str | SecretStr:
    if isinstance(value, Path):
        return absolute(value, folder)
    if isinstance(value, str):
        return absolute_url(value, folder)
    text = value.get_secret_value()
    resolved = absolute_url(text, folder)
    return value if resolved == text else SecretStr(resolved)
