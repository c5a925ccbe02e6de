"""What has no date gets a day of its own, and the same one again."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.timestamps import format_iso
from pipeline.recording.import_day import day_of
from tests.import_samples import DAY_NS


def file(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_day_follows_from_the_content_and_not_from_names(tmp_path: Path) -> None:
    first = file(tmp_path / "a.wav", b"one")
    assert day_of([first]) == day_of([file(tmp_path / "b.wav", b"one")])
    assert day_of([first]) != day_of([file(tmp_path / "c.wav", b"two")])


def test_days_are_whole_and_of_the_years_2000_to_2009(tmp_path: Path) -> None:
    days = [day_of([file(tmp_path / "x", bytes([n]))]) for n in range(50)]
    assert all(day % DAY_NS == 0 for day in days)
    assert all(format_iso(day)[:3] == "200" for day in days)
    assert len(set(days)) > 45


def test_a_folder_is_all_that_is_within(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    file(folder / "normal" / "a", b"one")
    before = day_of([folder])
    file(folder / ".hidden", b"no clip")
    file(folder / ".thumbs" / "a", b"no clip")
    assert day_of([folder]) == before
    file(folder / "leak" / "b", b"two")
    assert day_of([folder]) != before


def test_of_a_large_file_its_length_and_its_ends_count(tmp_path: Path) -> None:
    whole = bytes(300_000)
    day = day_of([file(tmp_path / "a", whole)])
    for other in (whole + b"\0", b"\1" + whole[1:], whole[:-1] + b"\1"):
        assert day_of([file(tmp_path / "b", other)]) != day
