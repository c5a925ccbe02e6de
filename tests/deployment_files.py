"""Deployment files for tests of what reads them, with a plug-in that is installed beside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from pipeline.config import Deployment, Report, check_file
from tests import outside_plugin

Write = Callable[..., Path]

GOOD = """\
name: home
nodes:
  hall:
    sources:
      - type: toy
        stream: cam
        url: rtsp://hall/live
scenes:
  hall:
    streams: [cam]
"""


def writing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a deployment file, in an environment where the toy plug-in is installed."""
    site = outside_plugin.unpack(folder / "site")
    monkeypatch.syspath_prepend(str(site))

    def write_file(text: str, name: str = "home.yaml") -> Path:
        file = folder / name
        file.write_text(dedent(text), encoding="utf-8")
        return file

    return write_file


def source(deployment: Deployment, index: int = 0) -> Any:
    return deployment.nodes["hall"].sources[index]


def problems(file: Path, **environ: str) -> list[str]:
    return [str(problem) for problem in check_file(file, environ=environ).problems]


def warnings(file: Path, **environ: str) -> list[str]:
    report: Report = check_file(file, environ=environ)
    assert report.problems == ()
    return [str(warning) for warning in report.warnings]


def with_source(lines: str) -> str:
    return GOOD.replace(
        "        url: rtsp://hall/live\n",
        "".join(f"        {line}\n" for line in lines.splitlines()),
    )
