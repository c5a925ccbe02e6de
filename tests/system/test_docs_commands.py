"""Every command of the shipped Markdown is typed, in the order in which a reader would.

All in one folder that has what the pages speak of: the deployments that are shipped, recordings
made elsewhere, a package with kinds of one's own. What the pages say is not run is left out
(its words are looked at by `tests.unit.test_docs`); recordings and the demo are shorter.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from tests.documents import ROOT, Block, blocks, commands
from tests.imported_site import made_site
from tests.installed_package import unpack_package
from tests.requirements import require_module

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

HARMLESS = {"fusewatch", "export", "cmp", "echo", "."}
"""What a test may type; a block with anything else says that it is not run."""

INFO = "fusewatch_garden-1.0.dist-info"
TYPED = [block for block in blocks("sh", "console") if block.mark[0] != "not run"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for module in ("torch", "httpx", "sounddevice", "paho", "fastapi"):
        require_module(module)
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(ROOT / "configs", folder / "configs")
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "activate").touch()  # the commands are on the path already
    command = folder / "bin" / "fusewatch"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m nodes.cli "$@"\n')
    command.chmod(0o755)
    write_hall(folder)
    write_garden(folder)
    return folder


def write_hall(folder: Path) -> None:
    """Footage, sound and a table, with what went wrong in them."""
    made = made_site(folder)
    for there, here in (("yard.mp4", "hall.mp4"), ("fan.wav", "hall.wav")):
        (folder / there).rename(folder / here)
    (folder / "machine.csv").rename(folder / "climate.csv")
    labels = [
        {"start_s": t.start_s, "end_s": t.end_s, "kind": t.kind, "modalities": list(t.modalities)}
        for t in made.truths
        if t.kind != "line"
    ]
    (folder / "labels.json").write_text(json.dumps(labels))


def write_garden(folder: Path) -> None:
    """The package of `pipeline/extending.md`, as pip would leave it, and what it learns from."""
    files = {b.mark[1]: b.text for b in blocks("toml", "python", "yaml") if b.mark[0] == "file"}
    project = tomllib.loads(files["pyproject.toml"])["project"]
    points = (
        f"[{group}]\n" + "".join(f"{kind} = {where}\n" for kind, where in kinds.items())
        for group, kinds in project["entry-points"].items()
    )
    about = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    unpack_package(files, folder)
    unpack_package({f"{INFO}/METADATA": about, f"{INFO}/entry_points.txt": "".join(points)}, folder)
    random = np.random.default_rng(0)
    for number in range(24):
        rows = (f"{t / 10},{random.normal(number % 2, 0.1):.3f}" for t in range(20))
        table = folder / "labelled" / ("fault" if number % 2 else "calm") / f"{number:02d}.csv"
        table.parent.mkdir(parents=True, exist_ok=True)
        table.write_text("time,load\n" + "\n".join(rows) + "\n")


def typed(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("HOME_", "FUSEWATCH_"))}
    environment = inherited | {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}:{folder}",
        "COLUMNS": "100",
    }
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


@pytest.mark.parametrize("block", TYPED, ids=lambda block: block.name)
def test_what_is_typed_works(block: Block, folder: Path) -> None:
    script = block.script
    if block.mark[0] == "run with":
        said, instead, here = block.mark[1].partition("=")
        assert instead and said in script
        script = script.replace(said, here)
    assert {command[0] for command in commands(script)} <= HARMLESS
    answer = typed(script, folder)
    assert answer.returncode == 0, f"{script}\n{answer.stdout[-3000:]}\n{answer.stderr[-3000:]}"


def test_the_package_of_the_page_can_be_built(tmp_path: Path) -> None:
    """By what its file names; pip would fetch that first."""
    require_module("setuptools")
    files = {b.mark[1]: b.text for b in blocks("toml", "python") if b.mark[0] == "file"}
    unpack_package(files, tmp_path)
    build = [sys.executable, "-c", "import setuptools; setuptools.setup()", "-q", "build"]
    answer = subprocess.run(
        [*build, "--build-lib", "built"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    modules = {name for name in files if name.endswith(".py")}
    assert {file.name for file in (tmp_path / "built").iterdir()} == modules
    about = tomllib.loads(files["pyproject.toml"])
    assert about["build-system"]["build-backend"] == "setuptools.build_meta"


def test_kinds_of_ones_own_keep_the_contracts_of_the_shipped_ones(folder: Path) -> None:
    """Needs no block before it: the package is there from the beginning."""
    files = [ROOT / "tests" / "checks" / f"test_{one}_contract.py" for one in ("encoder", "fusion")]
    chosen = '-q -p no:cacheprovider -k "sensor_mean or loudest"'
    paths = " ".join(f"'{file}'" for file in files)
    script = f"cd '{ROOT}' && '{sys.executable}' -m pytest {chosen} {paths}"
    answer = typed(script, folder)
    assert answer.returncode == 0, answer.stdout[-3000:]
    assert " passed" in answer.stdout or "[100%]" in answer.stdout


def test_what_the_demo_leaves_is_what_the_page_says(folder: Path) -> None:
    made = folder / "demo-out"
    if not made.exists():
        pytest.skip("the demo did not run before this")
    for name in ("events.jsonl", "evidence", "scores.csv", "timeline.png", "dashboard-token"):
        assert (made / name).exists(), name
    assert list((made / "evidence").glob("*/event.mcap"))
    assert list((made / "recordings").glob("*.mcap"))
