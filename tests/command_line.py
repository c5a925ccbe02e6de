"""The ``fusewatch`` command within the test's own process, which is left as it was."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import structlog

from nodes.cli import run

_LEVEL = "FUSEWATCH_LOG_LEVEL"


def fusewatch(*arguments: str | float | Path) -> int:
    """Run a command; its exit code. Logs are set up for the command and restored after it."""
    root = logging.getLogger()
    handlers, level, named = root.handlers[:], root.level, os.environ.get(_LEVEL)
    try:
        return run([str(argument) for argument in arguments])
    finally:
        structlog.reset_defaults()
        logging.captureWarnings(False)
        root.handlers[:] = handlers
        root.setLevel(level)
        os.environ.pop(_LEVEL, None)
        if named is not None:
            os.environ[_LEVEL] = named
