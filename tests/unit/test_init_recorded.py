"""``fusewatch init --recording`` writes a deployment file that fits what was recorded."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import load_deployment
from pipeline.config.deployment import Deployment
from tests.command_line import fusewatch
from tests.model_samples import one_thread  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("one_thread")


def table(path: Path, seconds: Iterable[float]) -> Path:
    random = np.random.default_rng(1)
    rows = [f"{second:.3f},{40 + random.normal():.2f}" for second in seconds]
    path.write_text("\n".join(["time,heat", *rows]) + "\n")
    return path


def recorded(folder: Path, name: str, scene: str, *inputs: str | Path) -> Path:
    made = folder / f"{name}.mcap"
    assert fusewatch("import", "--scene", scene, *inputs, "-o", made) == 0
    return made


def written(*named: str | Path, file: Path) -> Deployment:
    assert fusewatch("init", *named, file) == 0
    return load_deployment(file)


def test_what_is_written_learns_and_judges_a_table_of_slow_readings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    climate = table(tmp_path / "climate.csv", np.arange(300) * 60.0)
    recording = recorded(Path(), "week", "hall", "--sensors", f"climate={climate}")
    capsys.readouterr()
    file = Path("hall.yaml")
    hall = written("--recording", recording, "--data", "kept", file=file)
    assert hall.scenes["hall"].streams == ["climate"]
    assert (hall.scenes["hall"].window_s, hall.scenes["hall"].hop_s) == (600.0, 60.0)
    assert hall.stream("climate").max_gap_s == 120.0
    assert hall.scenes["hall"].alarm.budget == "6/hour"
    typed = [line.split()[1:] for line in capsys.readouterr().out.splitlines()[-2:]]
    for command in typed:  # as it is told
        assert fusewatch(*command) == 0
    assert "91 windows, 91 scored" in capsys.readouterr().out
    assert (tmp_path / "kept" / "hall.model").exists()


def test_faster_readings_and_those_of_a_day_have_what_suits_them(tmp_path: Path) -> None:
    fast = table(tmp_path / "fast.csv", np.arange(100) / 10)
    slow = table(tmp_path / "slow.csv", np.arange(100) * 900.0)
    of_fast = recorded(tmp_path, "fast", "hall", "--sensors", fast)
    of_slow = recorded(tmp_path, "slow", "hall", "--sensors", slow)
    quick = written("--recording", of_fast, file=tmp_path / "quick.yaml")
    assert (quick.scenes["hall"].window_s, quick.scenes["hall"].hop_s) == (2.0, 0.5)
    assert quick.stream("hall-sensors").max_gap_s == 5.0
    day = written("--recording", of_slow, file=tmp_path / "day.yaml")
    assert (day.scenes["hall"].window_s, day.scenes["hall"].alarm.budget) == (9000.0, "2/day")
    options = ("--budget", "1/week", "--scene", "attic")
    asked = written("-r", of_slow, *options, file=tmp_path / "asked.yaml")
    assert asked.scenes["attic"].alarm.budget == "1/week"


def test_uneven_readings_hold_for_long(tmp_path: Path) -> None:
    uneven = table(tmp_path / "doors.csv", np.cumsum([1, 400, 3, 900, 30, 2000, 5, 60]))
    recording = recorded(tmp_path, "doors", "hall", "--sensors", f"doors={uneven}")
    doors = written("-r", recording, file=tmp_path / "hall.yaml").stream("doors")
    assert doors.interpolation == "previous"
    assert doors.max_gap_s == pytest.approx(5 * 3398 / 7, rel=1e-3)


@pytest.mark.parametrize("name", ["1", "null", "1e3", "0x1f", "true", "no", "2024-05-01", "hall"])
def test_a_scene_may_be_called_as_it_likes(tmp_path: Path, name: str) -> None:
    readings = table(tmp_path / "heat.csv", np.arange(50.0))
    recording = recorded(tmp_path, "heat", name, "--sensors", readings)
    made = written("-r", recording, file=tmp_path / "site.yaml")
    assert (made.name, list(made.scenes)) == (name, [name])
    quoted = f"name: {name}\n" not in (tmp_path / "site.yaml").read_text()
    assert quoted == (name not in {"hall", "no"})  # without quotes where it needs none


def test_commands_that_are_told_can_be_typed_whatever_files_are_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    climate = table(tmp_path / "climate.csv", np.arange(300) * 60.0)
    recording = recorded(Path(), "press 1 [left]", "hall", "--sensors", f"climate={climate}")
    told = capsys.readouterr().out.splitlines()[-1].partition(": fusewatch ")[2]
    assert shlex.split(told) == ["init", "--recording", str(recording)]
    written("--recording", recording, file=Path("my site.yaml"))
    typed = [shlex.split(line)[1:] for line in capsys.readouterr().out.splitlines()[-2:]]
    for command in typed:
        assert fusewatch(*command) == 0
    assert "fusewatch config check 'my site.yaml'" in Path("my site.yaml").read_text()


def test_several_recordings_of_several_scenes_are_one_deployment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    readings = table(tmp_path / "heat.csv", np.arange(50.0))
    for scene in ("press", "oven"):
        recorded(folder, scene, scene, "--sensors", readings)
    capsys.readouterr()
    both = written("-r", folder, file=tmp_path / "plant.yaml")
    assert {name: one.streams for name, one in both.scenes.items()} == {
        "oven": ["oven-sensors"],
        "press": ["press-sensors"],
    }
    assert both.nodes["player"].sources[0].paths == [  # type: ignore[attr-defined]
        folder / "oven.mcap",
        folder / "press.mcap",
    ]
    assert "-r NORMAL.mcap -r ... --scene oven|press" in capsys.readouterr().out


def test_what_lies_between_recordings_is_no_length_of_theirs(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    for name, count in (("one", 50), ("two", 60)):  # each has a day of its own
        recorded(folder, name, "hall", "--sensors", table(tmp_path / f"{name}.csv", range(count)))
    both = written("-r", folder, file=tmp_path / "hall.yaml")
    assert both.scenes["hall"].alarm.budget == "6/hour"


def test_devices_and_recordings_do_not_go_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = ("-r", tmp_path / "a.mcap", "--camera", "/dev/video0")
    assert fusewatch("init", *named, tmp_path / "site.yaml") == 64
    assert "--camera" in capsys.readouterr().err
    assert fusewatch("init", "-r", tmp_path / "a.mcap", tmp_path / "site.yaml") != 0
    assert not (tmp_path / "site.yaml").exists()
