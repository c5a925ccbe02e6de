"""An outside package with a source that misbehaves on demand, in a process of its own."""

from __future__ import annotations

from pathlib import Path

from tests.installed_package import unpack_package

MODULE = """
import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import structlog
from pydantic import SecretStr

from pipeline.core.errors import SourceEnded
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.sources.base import SourceSettings


class UnrulySettings(SourceSettings):
    type: Literal["unruly"] = "unruly"
    folder: Path
    secret: SecretStr = SecretStr("")
    once: str = ""
    frame_bytes: int = 1000
    period_s: float = 0.02
    limit: int = 0
    isolated: ClassVar[bool] = True
    default_stall_s: ClassVar[float | None] = 5.0

    def stream_names(self):
        return ("u",)

    def build(self, context):
        return Unruly(self, context)


class Unruly:
    def __init__(self, settings, context):
        self.settings, self.context, self.count = settings, context, 0

    def open(self):
        (self.settings.folder / "argv").write_bytes(Path("/proc/self/cmdline").read_bytes())
        (self.settings.folder / "secret").write_text(self.settings.secret.get_secret_value())
        with (self.settings.folder / "pids").open("a") as pids:
            pids.write(f"{os.getpid()}\\n")
        structlog.get_logger().warning("the unruly one is here", mood="bad")
        print("libraries print what they like")
        shape = (self.settings.frame_bytes // 3, 1, 3)
        return (StreamInfo("u", Modality.VIDEO, 50.0, shape, "uint8"),)

    def read(self, timeout_s):
        if self.settings.limit and self.count == self.settings.limit:
            (self.settings.folder / "done").touch()
            raise SourceEnded("that was all")
        self.count += 1
        first_life = len((self.settings.folder / "pids").read_text().split()) == 1
        if self.count == 20 and first_life and self.settings.once:
            getattr(self, self.settings.once)()
        time.sleep(self.settings.period_s)
        frame = np.full((self.settings.frame_bytes // 3, 1, 3), self.count % 251, np.uint8)
        return (Sample("u", 0, self.context.clock.now_ns(), frame, Encoding.RAW),)

    def hang(self):
        time.sleep(3600)

    def hang_with_the_interpreter_locked(self):
        ctypes.PyDLL(None).sleep(3600)

    def crash(self):
        sys.stderr.flush()
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGSEGV)

    def fail(self):
        raise ZeroDivisionError("a fault of the plug-in")

    def close(self):
        pass
"""

FILES = {
    "fusewatch_unruly.py": MODULE,
    "fusewatch_unruly-1.0.dist-info/METADATA": (
        "Metadata-Version: 2.1\nName: fusewatch-unruly\nVersion: 1.0\n"
    ),
    "fusewatch_unruly-1.0.dist-info/entry_points.txt": (
        "[fusewatch.sources]\nunruly = fusewatch_unruly:UnrulySettings\n"
    ),
}


def unpack(folder: Path) -> Path:
    """Put the installed form of the package into `folder`, which belongs on ``PYTHONPATH``."""
    return unpack_package(FILES, folder)
