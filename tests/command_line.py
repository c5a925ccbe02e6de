"""The ``fusewatch`` command within the test's own process, which is left as it was."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import structlog

from nodes.cli import run

_SET_BY_FLAGS = ("FUSEWATCH_LOG_LEVEL", "FUSEWATCH_DEBUG")


def fusewatch(*arguments: str | float | Path) -> int:
    """Run a command; its exit code. Logs and what its flags set are restored after it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    before = {name: os.environ[name] for name in _SET_BY_FLAGS if name in os.environ}
    try:
        return run([str(argument) for argument in arguments])
    finally:
        structlog.reset_defaults()
        logging.captureWarnings(False)
        root.handlers[:] = handlers
        root.setLevel(level)
        for name in _SET_BY_FLAGS:
            os.environ.pop(name, None)
        os.environ.update(before)
