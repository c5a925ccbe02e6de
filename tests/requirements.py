"""What a test needs from its machine, and what happens when it is not there.

On a developer's machine such a test skips; with ``FUSEWATCH_REQUIRE_ALL=1`` (CI) it fails,
so that nothing is skipped unnoticed. Recordings kept beside the checkout are the exception:
they are not published, so their tests skip wherever the folder is absent.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def require_command(*names: str) -> None:
    for name in names:
        if shutil.which(name) is None and not Path("/usr/sbin", name).exists():
            missing(f"the program {name!r} is not installed")


def command_of(name: str) -> str:
    """Path of a program that a Python package brings, or the system."""
    beside = Path(sys.executable).with_name(name)
    if not beside.exists():
        require_command(name)
    return str(beside) if beside.exists() else name


def require_module(name: str) -> None:
    if importlib.util.find_spec(name) is None:
        missing(f"the Python package {name!r} is not installed")


def missing(what: str) -> NoReturn:
    if os.environ.get("FUSEWATCH_REQUIRE_ALL") == "1":
        pytest.fail(f"{what}, and FUSEWATCH_REQUIRE_ALL=1")
    pytest.skip(what, allow_module_level=True)


def shared_data(path: str) -> Path:
    found = SHARED_DATA / path
    if not found.exists():
        pytest.skip(f"needs shared/data/{path}, which is kept beside the checkout")
    return found
