"""Recordings are named by file, or by the folder that they lie in."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.recording_files import recording_files
from pipeline.core.errors import RecordingError


def test_a_folder_stands_for_the_recordings_in_it(tmp_path: Path) -> None:
    folder, file = tmp_path / "kept", tmp_path / "by-hand.mcap"
    folder.mkdir()
    for name in ("site-2.mcap", "site-1.mcap", "notes.txt"):
        (folder / name).touch()
    assert recording_files([file, folder]) == [file, folder / "site-1.mcap", folder / "site-2.mcap"]
    assert recording_files([]) == []


def test_a_folder_without_any_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no recordings"):
        recording_files([tmp_path])
