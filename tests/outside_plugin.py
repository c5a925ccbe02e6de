"""A tiny package of somebody else, with one source and one sink, as a wheel or unpacked."""

from __future__ import annotations

import zipfile
from pathlib import Path

from tests.installed_package import unpack_package

MODULE = '''
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from pipeline.core.settings import Settings
from pipeline.sinks.base import SinkSettings
from pipeline.sources.base import SourceSettings


class Limits(Settings):
    """Limits of the toy."""

    low: float = 0.0
    """Lowest value."""

    file: Path | None = None
    """A file with limits."""

    token: str = ""
    """Who may set limits."""


class ToySource(SourceSettings):
    """Counts for whoever listens."""

    type: Literal["toy"] = "toy"

    stream: str
    """Name of the stream."""

    url: str
    """Where the toy is."""

    port: int = Field(default=1, ge=1, le=65535)
    """Port of the toy."""

    loud: bool = False
    """Whether the toy is loud."""

    password: SecretStr | None = None
    """Password of the toy."""

    device: int | str = 0
    """Which toy, by number or name."""

    folder: Path = Path("toys")
    """Where toys lie."""

    limits: Limits = Limits()
    """Limits of the toy."""

    more: list[Limits] = []
    """Further limits."""

    @model_validator(mode="after")
    def _kind(self):
        if self.url.startswith("bad"):
            raise ValueError(f"{self.url} is not a toy")
        return self

    def stream_names(self):
        return (self.stream,)

    def build(self, context):
        raise NotImplementedError


class ToySink(SinkSettings):
    """Shows events on the toy."""

    type: Literal["toy"] = "toy"

    url: str
    """Where the toy is."""

    def build(self, context):
        raise NotImplementedError


class NotSettings:
    pass
'''

ENTRY_POINTS = """[fusewatch.sources]
toy = fusewatch_toy:ToySource
broken_toy = fusewatch_toy_of_nobody:PLUGIN
odd_toy = fusewatch_toy:NotSettings

[fusewatch.sinks]
toy = fusewatch_toy:ToySink
"""

METADATA = "Metadata-Version: 2.1\nName: fusewatch-toy\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
INFO = "fusewatch_toy-1.0.dist-info"

FILES = {
    "fusewatch_toy.py": MODULE,
    f"{INFO}/METADATA": METADATA,
    f"{INFO}/WHEEL": WHEEL,
    f"{INFO}/entry_points.txt": ENTRY_POINTS,
    f"{INFO}/RECORD": "".join(
        f"{name},,\n" for name in ("fusewatch_toy.py", f"{INFO}/METADATA", f"{INFO}/RECORD")
    ),
}


def unpack(folder: Path) -> Path:
    """Put the installed form of the package into `folder`, which belongs on ``sys.path``."""
    return unpack_package(FILES, folder)


def make_wheel(folder: Path) -> Path:
    """A wheel of the package that pip can install."""
    wheel = folder / "fusewatch_toy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    return wheel
