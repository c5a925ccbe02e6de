"""Somebody else's package, installed by pip, gives a kind that a deployment can name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import outside_plugin

pytestmark = pytest.mark.system

DEPLOYMENT = """\
name: toys
nodes:
  room:
    sources:
      - {type: toy, stream: counts, url: toy://shelf}
scenes:
  room: {streams: [counts]}
alert:
  sinks:
    - {type: toy, url: toy://shelf}
"""


def run(*command: str, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ)
    if site is not None:
        environment["PYTHONPATH"] = str(site)
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, timeout=120
    )


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with the package, installed from its wheel as a user would."""
    site = tmp_path / "site"
    wheel = outside_plugin.make_wheel(tmp_path)
    install = ("install", "--quiet", "--no-index", "--no-deps", "--target", str(site), str(wheel))
    answer = run(sys.executable, "-m", "pip", *install)
    assert answer.returncode == 0, answer.stderr
    return site


def test_a_deployment_can_name_the_kinds_of_an_installed_package(
    site: Path, tmp_path: Path
) -> None:
    file = tmp_path / "toys.yaml"
    file.write_text(DEPLOYMENT)
    check = (sys.executable, "-m", "nodes.cli", "config", "check", str(file))
    installed = run(*check, site=site)
    assert installed.returncode == 0, installed.stderr
    assert "toys: 1 node, 1 source, 1 stream, 1 scene, 1 sink" in installed.stdout
    missing = run(*check)
    assert missing.returncode == 78
    assert "toys.yaml:5: nodes.room.sources[0].type: no sources of type 'toy'" in missing.stderr
    assert "toys.yaml:10: alert.sinks[0].type: no sinks of type 'toy'" in missing.stderr


def test_its_kinds_are_in_the_schema(site: Path) -> None:
    answer = run(sys.executable, "-m", "nodes.cli", "config", "schema", site=site)
    assert answer.returncode == 0, answer.stderr
    assert "Counts for whoever listens." in answer.stdout
    assert "broken_toy" not in answer.stdout
