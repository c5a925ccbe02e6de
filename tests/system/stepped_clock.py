"""A system clock that can be set while everything runs, as Python processes see it.

Setting the real one would move that of everything on the machine, and ``faketime`` all timeouts.
The kernel knows nothing of it: stamps of its own stay on the real clock.
"""

from __future__ import annotations

from pathlib import Path

VARIABLE = "PLANT_CLOCK"
"""Names the file that says how far ahead the system clock is, nanoseconds."""

MODULE = '''
"""The system clock of every Python process that finds this is ahead by what a file says."""

import os
import time


def _ahead_ns(read=open, path=os.environ.get("PLANT_CLOCK", "")):
    try:
        with read(path) as file:
            return int(file.read() or 0)
    except (OSError, ValueError):
        return 0


def _put_ahead(plain_ns=time.time_ns):
    time.time_ns = lambda: plain_ns() + _ahead_ns()
    time.time = lambda: time.time_ns() / 1e9


_put_ahead()
'''


def unpack(folder: Path) -> None:
    """Put it into `folder`, which belongs on ``PYTHONPATH``."""
    (folder / "sitecustomize.py").write_text(MODULE)
