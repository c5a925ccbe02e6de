"""The command that imports, and the one that repairs a recording."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from nodes.cli import run
from pipeline.recording import Recording
from pipeline.recording.importing import (
    ImportPlan,
    run_import,
)
from tests.import_samples import (
    footage,
    sound,
    table,
)


@pytest.fixture(autouse=True)
def _logs_as_they_were(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command sets up logs for its own process; here others come after it."""
    monkeypatch.setenv("FUSEWATCH_LOG_LEVEL", "info")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def test_the_command_names_streams_and_prints_a_summary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "o.mcap"
    footage(tmp_path / "v.mkv", 5)
    table(tmp_path / "s.csv", "t,a\n0,1\n1,2\n")
    arguments = [
        "import", "--scene", "room", "--video", str(tmp_path / "v.mkv"),
        "--video", f"door={tmp_path / 'v.mkv'}", "--video", str(tmp_path / "v.mkv"),
        "--sensors", str(tmp_path / "s.csv"), "--start", "2024-05-01T00:00:00Z",
        "-o", str(output), "--json",
    ]  # fmt: skip
    assert run(arguments) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["start"] == "2024-05-01T00:00:00.000Z"
    names = [item["stream"] for item in summary["inputs"]]
    assert names == ["room-video", "door", "room-video-2", "room-sensors"]
    assert run(["recording", "info", str(output), "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["truncated"] is None and info["scenes"]["room"] == names
    assert run(["recording", "info", str(output), "--check"]) == 0
    assert run(arguments) == 69
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--video", "v.mkv", "--start", "tomorrow"],
        ["--video", "v.mkv", "--video-size", "big"],
        ["--video", "a=v.mkv", "--video", "a=w.mp4"],
        ["--video", "v.mkv", "--video-times", "door=t.csv"],
        ["--audio-times", "t.csv", "--video", "v.mkv"],
    ],
)
def test_wrong_usage_of_the_command_is_code_64(tmp_path: Path, arguments: list[str]) -> None:
    assert run(["import", "--scene", "x", "-o", str(tmp_path / "o.mcap"), *arguments]) == 64


def test_the_repair_command_saves_a_recording_that_is_cut(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "o.mcap"
    plan = ImportPlan(scene="x", output=output, audio={"m": sound(tmp_path / "a.wav", 80_000)})
    run_import(plan)
    output.write_bytes(output.read_bytes()[:-3000])
    assert run(["recording", "info", str(output)]) == 0
    assert "cut off" in " ".join(capsys.readouterr().out.split())
    assert run(["recording", "repair", str(output), "-o", str(tmp_path / "fixed.mcap")]) == 0
    assert "messages saved" in capsys.readouterr().out
    with Recording(tmp_path / "fixed.mcap") as recording:
        assert recording.truncated is None
    assert run(["recording", "info", str(tmp_path / "a.wav")]) == 69
