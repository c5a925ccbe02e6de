"""Files that are not what they should be, given to commands as a user gives them."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from tests.command_line import fusewatch
from tests.requirements import require_module
from tests.system.ports import free_port

pytestmark = pytest.mark.system

CONFIGURATION, UNAVAILABLE = 78, 69
DEPLOYMENT = """name: files
data: data
nodes:
  site:
    sources: [{{type: scene, size: [64, 48]}}]
scenes:
  site:
    streams: [site-camera, site-microphone, site-sensors]
    model: site.model
fusion: {{listen: "tcp://127.0.0.1:{port}", http: null}}
"""
LAUGHS = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
)
HOSTILE = {
    "a billion laughs": (LAUGHS, 1, "aliases make the file too large"),
    "a hundred thousand levels": ("name: x\ndata: " + "[" * 100_000, 2, "more than 40 levels"),
    "half a million values": ("name: x\ndata: [" + "a," * 500_000, 2, "more than 50000 values"),
    "aliases without end": ("a: &a x\nb: [" + "*a," * 300_000, 2, "more than 200 aliases"),
    "an object to be made": ("\n\na: !!python/object/apply:os.system ['true']", 3, "not allowed"),
    "a file within": ("a: !include /etc/passwd", 1, "not allowed"),
    "an unknown key": (DEPLOYMENT.format(port=1) + "stream: {}\n", 11, "did you mean 'streams'?"),
    "a wrong type": (DEPLOYMENT.format(port="x").replace("files", "[1]"), 1, "name"),
}


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self._mark),)


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_deployment_is_refused_with_its_line(what: str, tmp_path: Path, capsys) -> None:
    text, line, words = HOSTILE[what]
    file = tmp_path / "hostile.yaml"
    file.write_text(text)
    assert fusewatch("run", file) == CONFIGURATION
    said = capsys.readouterr().err
    assert f"hostile.yaml:{line}: " in said
    assert words in said
    assert len(said) < 2_000
    assert [path.name for path in tmp_path.iterdir()] == ["hostile.yaml"]


def test_a_deployment_of_many_megabytes_is_refused_unread(tmp_path: Path, capsys) -> None:
    file = tmp_path / "hostile.yaml"
    with file.open("wb") as out:
        out.truncate(20 << 30)
    assert fusewatch("config", "check", file) == CONFIGURATION
    assert "larger than 1 MiB" in capsys.readouterr().err


def pickled(path: Path, mark: Path) -> None:
    path.write_bytes(pickle.dumps(Bomb(mark)))


def saved_by_torch(path: Path, mark: Path) -> None:
    import torch

    torch.save({"weights": torch.zeros(3), "bomb": Bomb(mark)}, path)


def numpy_archive(path: Path, mark: Path) -> None:
    import numpy as np

    with path.open("wb") as out:
        np.savez(out, weights=np.array([Bomb(mark)], object))


def text(path: Path, mark: Path) -> None:
    del mark
    path.write_text("weights: 1\n")


@pytest.mark.parametrize("make", [pickled, saved_by_torch, numpy_archive, text])
def test_a_model_file_that_is_none_is_refused_and_runs_nothing(make, tmp_path: Path, capfd) -> None:
    require_module("torch")
    mark = tmp_path / "mark"
    make(tmp_path / "site.model", mark)
    file = tmp_path / "files.yaml"
    file.write_text(DEPLOYMENT.format(port=free_port()))
    assert fusewatch("fusion", file) == CONFIGURATION
    assert str(tmp_path / "site.model") in capfd.readouterr().err
    assert not mark.exists()


def test_a_recording_that_is_none_is_refused_and_runs_nothing(tmp_path: Path, capfd) -> None:
    mark = tmp_path / "mark"
    file = tmp_path / "files.mcap"
    pickled(file, mark)
    assert fusewatch("recording", "info", file) == UNAVAILABLE
    assert str(file) in capfd.readouterr().err
    assert not mark.exists()
