"""How to install what is not installed.

fusewatch is installed from a folder or a wheel, not from an index, so ``pip install
'fusewatch[mqtt]'`` would fetch nothing, or a stranger's package of that name. The packages of
an extra are named themselves, with the pip of the environment that runs.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from importlib import metadata
from pathlib import Path

_REQUIREMENT = re.compile(
    r"^(?P<wanted>(?P<name>[A-Za-z0-9._-]+)[^;]*?)\s*;.*?extra\s*==\s*['\"](?P<extra>[^'\"]+)"
)

EXTRAS = {
    "torch": "fusion",
    "torchaudio": "fusion",
    "safetensors": "fusion",
    "matplotlib": "fusion",
    "sounddevice": "audio",
    "paho": "mqtt",
    "serial": "serial",
    "httpx": "alerts",
    "apprise": "alerts",
    "confluent_kafka": "kafka",
    "psycopg": "postgres",
    "pylsl": "lsl",
    "pyxdf": "lsl",
    "transformers": "hf",
    "fastapi": "dashboard",
    "uvicorn": "dashboard",
    "ray": "cluster",
}
"""The extra that brings a module, by the name it is imported by."""


def packages() -> dict[str, dict[str, str]]:
    """By extra, what it asks for (``torch==2.11.*``) by name of the package.

    Extras that only bundle others, or serve development, are left out.
    """
    found: dict[str, dict[str, str]] = {}
    for line in _requirements():
        match = _REQUIREMENT.match(line)
        if match and match["extra"] not in {"all", "dev"}:
            found.setdefault(match["extra"], {})[match["name"]] = match["wanted"]
    return found


def lacking(extra: str) -> list[str]:
    """Packages of an extra that are not installed."""
    return [name for name in packages().get(extra, {}) if not is_installed(name)]


def installing(extra: str) -> str:
    """The command that installs what an extra lacks; all of it when nothing seems to."""
    wanted = packages().get(extra, {})
    names = lacking(extra) or list(wanted)
    if not names:
        return f"install fusewatch again from where it came from, with [{extra}]"
    return " ".join([pip(), "install", *(shlex.quote(wanted[name]) for name in names)])


def installing_module(module: str) -> str:
    """The command for a module that could not be imported."""
    return installing(EXTRAS.get(module.partition(".")[0], "fusion"))


def pip() -> str:
    """The pip of this environment, as it must be typed: another one installs elsewhere."""
    if sys.prefix in {sys.base_prefix, os.environ.get("VIRTUAL_ENV")}:
        return "pip"
    return shlex.quote(str(Path(sys.prefix) / "bin" / "pip"))


def is_installed(package: str) -> bool:
    """Whether a package, by the name it is installed by, is there."""
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _requirements() -> list[str]:
    try:
        return metadata.requires("fusewatch") or []
    except metadata.PackageNotFoundError:
        return []
