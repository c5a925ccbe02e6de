"""Recordings are named by file, or by the folder that they lie in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nodes.recording_files import recording_files
from pipeline.core.errors import RecordingError
from tests.command_line import fusewatch
from tests.unit.recordings import record, scene


def test_a_folder_stands_for_the_recordings_in_it(tmp_path: Path) -> None:
    folder, file = tmp_path / "kept", tmp_path / "by-hand.mcap"
    folder.mkdir()
    for name in ("site-2.mcap", "site-1.mcap", "notes.txt"):
        (folder / name).write_bytes(b"what is in it is looked at later")
    assert recording_files([file, folder]) == [file, folder / "site-1.mcap", folder / "site-2.mcap"]
    assert recording_files([]) == []


def test_what_is_hidden_or_empty_in_a_folder_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path / "a.mcap", scene(1.0))
    (tmp_path / "._a.mcap").write_bytes(b"of another system")
    (tmp_path / "b.mcap").touch()
    assert recording_files([tmp_path]) == [tmp_path / "a.mcap"]
    (tmp_path / "c.mcap").symlink_to(tmp_path / "gone.mcap")  # is told by who opens it
    assert recording_files([tmp_path])[1:] == [tmp_path / "c.mcap"]
    (tmp_path / "c.mcap").unlink()
    capsys.readouterr()
    assert fusewatch("recording", "info", tmp_path, "--json") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["file"] == str(tmp_path / "a.mcap")
    assert "empty" in printed.err
    assert "b.mcap" in printed.err
    assert fusewatch("recording", "info", tmp_path / "b.mcap") == 69  # named, it is an error


def test_a_folder_without_any_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no recordings"):
        recording_files([tmp_path])


def test_info_tells_of_all_in_a_folder_and_merge_takes_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    for name in ("b.mcap", "a.mcap"):
        record(folder / name, scene(1.0))
    assert fusewatch("recording", "info", folder, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [Path(one["file"]).name for one in told] == ["a.mcap", "b.mcap"]
    assert fusewatch("recording", "info", folder) == 0
    assert capsys.readouterr().out.count("0 events") == 2
    assert fusewatch("recording", "merge", folder, "-o", tmp_path / "all.mcap") == 0
