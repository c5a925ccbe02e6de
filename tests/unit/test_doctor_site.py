"""What the doctor says of the clock, and of a deployment's disk and models."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from nodes import doctor_site
from nodes.doctor import Level, ports
from pipeline.config import load_deployment
from pipeline.config.deployment import Deployment

SITE = """\
name: home
data: {data}
nodes:
  hall:
    sources:
      - {{type: csv_file, stream: climate, path: x.csv}}
      - {{type: csv_file, stream: power, path: y.csv}}
scenes:
  hall: {{streams: [climate, power], model: hall.model}}
fusion: {{record: {{folder: recordings, max_total_gb: 20}}}}
"""


@pytest.fixture
def site(tmp_path: Path) -> Deployment:
    file = tmp_path / "home.yaml"
    file.write_text(SITE.format(data=tmp_path / "data"))
    return load_deployment(file)


def free(monkeypatch: pytest.MonkeyPatch, gb: float) -> None:
    usage = SimpleNamespace(free=gb * 1e9)
    monkeypatch.setattr(doctor_site.shutil, "disk_usage", lambda _folder: usage)


def test_the_clock_is_told_as_the_kernel_keeps_it() -> None:
    (kept,) = doctor_site.clock(lambda: (True, 0.012))
    assert (kept.level, kept.text) == (Level.OK, "kept by NTP, off by 12 ms at most")
    (free_running,) = doctor_site.clock(lambda: (False, 16.0))
    assert free_running.level is Level.NOTE
    assert "set-ntp" in free_running.fix

    def refuses() -> tuple[bool, float]:
        raise PermissionError(1, "not permitted")

    (unknown,) = doctor_site.clock(refuses)
    assert "does not tell" in unknown.text


def test_this_kernel_tells_of_its_clock() -> None:
    kept, most_s = doctor_site.kernel_clock()
    assert isinstance(kept, bool)
    assert 0 <= most_s < 1e6


def test_recordings_that_may_grow_beyond_the_disk_are_a_problem(
    monkeypatch: pytest.MonkeyPatch, site: Deployment
) -> None:
    free(monkeypatch, 9.0)
    found = {one.about: one for one in doctor_site.disk(site)}
    assert found["disk"].level is Level.OK
    assert found["recordings"].level is Level.PROBLEM
    assert found["recordings"].fix == "fusion.record.max_total_gb: 4"
    assert found["evidence"].fix == "retention: {evidence: 90d}"
    free(monkeypatch, 0.4)
    assert next(doctor_site.disk(site)).level is Level.PROBLEM
    free(monkeypatch, 100.0)
    assert "recordings" not in {one.about for one in doctor_site.disk(site)}


def test_a_model_is_held_against_the_streams_of_its_scene(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, site: Deployment
) -> None:
    (missing,) = doctor_site.models(site)
    assert "nothing is scored yet" in missing.text
    (tmp_path / "hall.model").write_bytes(b"not a model")
    (damaged,) = doctor_site.models(site)
    assert damaged.level is Level.PROBLEM
    for names, level, said in (
        (["climate"], Level.PROBLEM, "has not learnt power"),
        (["climate", "power"], Level.OK, "knows climate, power"),
        (["climate", "power", "sound"], Level.NOTE, "has learnt sound as well"),
    ):
        streams = [SimpleNamespace(info=SimpleNamespace(name=name)) for name in names]
        model = SimpleNamespace(streams=streams)
        monkeypatch.setattr("pipeline.models.checkpoint.load_model", lambda _f, m=model: m)
        (found,) = doctor_site.models(site)
        assert found.level is level
        assert said in found.text


def test_ports_are_those_of_the_file() -> None:
    found = list(ports({"fusion": "tcp://127.0.0.1:1", "alert": "ipc://run/alert"}))
    assert [one.about for one in found] == ["port 1"]
