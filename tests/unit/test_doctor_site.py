"""What the doctor says about GPU, disk, clock, and about what a deployment needs here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import typer
from typer.testing import CliRunner

from nodes import assembly, doctor_machine, doctor_site
from nodes.commands.doctor import register
from nodes.doctor import Finding, Level
from nodes.free_ports import free_ports
from pipeline.config import Deployment, load_deployment

CONFIG = """
name: site
data: data
nodes:
  hall:
    sources:
      - {{type: media, url: "rtsp://127.0.0.1/1", video: eye}}
      - {{type: media, url: "rtsp://127.0.0.1/2", video: door}}
scenes:
  hall: {{streams: [eye, door], model: data/hall.model}}
fusion: {{listen: "tcp://127.0.0.1:{fusion}", device: {device}}}
alert: {{listen: "tcp://127.0.0.1:{alert}"}}
"""


def site(folder: Path, device: str = "auto") -> Path:
    fusion, alert = free_ports(2)
    file = folder / "site.yaml"
    file.write_text(CONFIG.format(fusion=fusion, alert=alert, device=device))
    return file


@pytest.fixture
def learnt(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Gives the scene a model that knows the streams that are named."""

    def give(deployment: Deployment, *streams: str) -> None:
        path = deployment.scenes["hall"].model
        path.parent.mkdir()
        path.touch()
        infos = [SimpleNamespace(info=SimpleNamespace(name=name)) for name in streams]
        monkeypatch.setattr(assembly, "scene_model", lambda *_: SimpleNamespace(streams=infos))

    return give


def test_a_scene_without_a_model_is_told_how_to_get_one(tmp_path: Path) -> None:
    (found,) = doctor_site.models(load_deployment(site(tmp_path)))
    assert found.level is Level.NOTE
    assert "--scene hall" in found.fix


@pytest.mark.parametrize(
    ("streams", "level", "text"),
    [
        (("eye", "door"), Level.OK, "knows all of 2 streams"),
        (("eye",), Level.PROBLEM, "does not know door: left out"),
        (("eye", "door", "gone"), Level.NOTE, "misses gone: judged without"),
    ],
)
def test_a_model_is_held_against_the_streams_of_its_scene(
    tmp_path: Path, learnt: Callable[..., None], streams: tuple[str, ...], level: Level, text: str
) -> None:
    deployment = load_deployment(site(tmp_path))
    learnt(deployment, *streams)
    (found,) = doctor_site.models(deployment)
    assert (found.level, text in found.text) == (level, True)


def test_a_damaged_model_is_a_problem_with_its_cure(tmp_path: Path) -> None:
    deployment = load_deployment(site(tmp_path))
    (tmp_path / "data").mkdir()
    deployment.scenes["hall"].model.write_bytes(b"no model")
    (found,) = doctor_site.models(deployment)
    assert found.level is Level.PROBLEM


def test_a_gpu_that_is_asked_for_and_not_there_is_a_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [f.level for f in doctor_machine.gpu("auto")] == [Level.NOTE]
    (found,) = doctor_machine.gpu("cuda")
    assert found.level is Level.PROBLEM
    assert "fusion.device: auto" in found.fix


def test_gpus_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    device = SimpleNamespace(name="GPU of a test", total_memory=80 * 2**30)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: device)
    (found,) = doctor_machine.gpu("cuda")
    assert (found.level, found.text.startswith("GPU of a test, 80 GiB")) == (Level.OK, True)


@pytest.mark.parametrize(
    ("free_gb", "level"), [(100, Level.OK), (5, Level.NOTE), (0.5, Level.PROBLEM)]
)
def test_a_disk_that_fills_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_gb: float, level: Level
) -> None:
    usage = SimpleNamespace(free=free_gb * 2**30)
    monkeypatch.setattr(doctor_machine.shutil, "disk_usage", lambda _: usage)
    (found,) = doctor_machine.disk(tmp_path / "not" / "there" / "yet")
    assert found.level is level


@pytest.mark.parametrize(
    ("read", "level"),
    [
        ((0, 0.004), Level.OK),
        ((0, 0.5), Level.NOTE),
        ((doctor_machine.TIME_ERROR, 16.0), Level.NOTE),
    ],
)
def test_a_clock_that_nothing_keeps_is_told(read: tuple[int, float], level: Level) -> None:
    (found,) = doctor_machine.clock(lambda: read)
    assert found.level is level


def test_the_kernel_says_how_its_clock_is_kept() -> None:
    state, off_s = doctor_machine._kernel_clock() or (0, 0.0)
    assert 0 <= state <= doctor_machine.TIME_ERROR
    assert 0 <= off_s <= 16.1  # what the kernel says at most


def test_the_command_looks_at_a_deployment(tmp_path: Path) -> None:
    app, runner = typer.Typer(), CliRunner()
    register(app)
    deployment = load_deployment(site(tmp_path, "cuda" if not torch.cuda.is_available() else "cpu"))
    said = runner.invoke(app, [str(tmp_path / "site.yaml"), "--json"])
    ports = {
        f"port {a.rpartition(':')[2]}" for a in (deployment.fusion.listen, deployment.alert.listen)
    }
    assert all(port in said.output for port in ports)
    assert said.exit_code == (69 if "fusion.device is cuda" in said.output else 0)


def test_recordings_that_may_grow_beyond_the_disk_are_a_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = site(tmp_path)
    text = file.read_text().replace("fusion: {", "fusion: {record: {max_total_gb: 50}, ")
    file.write_text(text)
    deployment = load_deployment(file)

    def found(free_gb: float) -> dict[str, Finding]:
        monkeypatch.setattr(doctor_site, "free_bytes", lambda _folder: free_gb * 1e9)
        return {one.about: one for one in doctor_site.kept(deployment)}

    assert found(9.0)["recordings"].level is Level.PROBLEM
    assert found(9.0)["recordings"].fix == "fusion.record.max_total_gb: 4"
    assert found(9.0)["evidence"].fix == "retention: {evidence: 90d}"
    assert "recordings" not in found(100.0)
