"""Folders of still pictures: frames of a collection, and what cameras leave."""

from __future__ import annotations

import json
from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import cv2
import numpy as np
import pytest

from pipeline.core.errors import RecordingError
from pipeline.core.timestamps import format_iso, iso_ns
from pipeline.recording.importing import ImportPlan
from pipeline.recording.still_times import still_times
from tests.command_line import fusewatch
from tests.import_samples import footage, imported, number_of, one, stamps_ms, table


def still(path: Path, number: int, size: tuple[int, int] = (64, 48)) -> Path:
    """A picture whose brightness says its number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.full((size[1], size[0], 3), 20 + 6 * number, np.uint8)
    assert cv2.imwrite(str(path), picture)
    return path


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("cam/Front_01_20240501120000", "2024-05-01T12:00:00.000Z"),
        ("cam/192.168.1.64_01_20240501120000123_TIMING", "2024-05-01T12:00:00.123Z"),
        ("cam/2024-05-01T12-00-00Z", "2024-05-01T12:00:00.000Z"),
        ("cam/2024-05-01/12-00-00", "2024-05-01T12:00:00.000Z"),
        ("cam/2024-05-01/12/cam-12-120001", "2024-05-01T12:00:01.000Z"),
        ("2024/05/01/12/00/07", None),
        ("20240501/12/00/07", "2024-05-01T12:00:07.000Z"),
        ("cam/01-20240501120000-00", "2024-05-01T12:00:00.000Z"),
        ("cam/1714557600", "2024-05-01T10:00:00.000Z"),
        ("cam/1714557600.250", "2024-05-01T10:00:00.250Z"),
        ("cam/1714557600250", "2024-05-01T10:00:00.250Z"),
        ("cam/frame_000123", None),
        ("cam/20240631_120000", None),
        ("cam/20240501", None),
        ("20240501_120000/0001", None),
        ("1714557600/0001", None),
        ("20240501_120000/cam_20240501_120007", "2024-05-01T12:00:07.000Z"),
    ],
)
def test_names_tell_when_a_picture_was_taken(name: str, time: str | None) -> None:
    found = still_times([name], UTC)
    assert (found and format_iso(found[0])) == time


def test_a_time_without_a_zone_is_of_the_zone_that_is_told() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert still_times(["20240501_120000"], berlin) == [iso_ns("2024-05-01T10:00:00Z")]
    assert still_times(["20240501_120000Z"], berlin) == [iso_ns("2024-05-01T12:00:00Z")]


def test_pictures_of_one_second_are_spread_over_it() -> None:
    names = [f"01-2024050112000{second}-0{n}" for second, n in ((0, 0), (0, 1), (1, 0))]
    begin_ns = iso_ns("2024-05-01T12:00:00Z")
    found = still_times(names, UTC)
    assert found is not None
    assert [time_ns - begin_ns for time_ns in found] == [0, 500_000_000, 1_000_000_000]


def test_all_names_tell_a_time_or_none_does() -> None:
    assert still_times(["20240501_120000", "logo"], UTC) is None
    assert still_times([], UTC) is None


def test_frames_follow_evenly_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (0, 1, 2, 10, 11):
        still(tmp_path / "in" / f"{number}.png", number)
    (tmp_path / "in" / ".thumbs").write_text("no picture")
    plan = ImportPlan(scene="x", output=tmp_path / "o.mcap", video={"v": tmp_path / "in"})
    report, streams = imported(plan)
    assert [number_of(arrival.sample) for arrival in streams["v"]] == [0, 1, 2, 10, 11]
    assert stamps_ms(streams["v"]) == [0, 100, 200, 300, 400]
    assert "taken for 10 a second" in one(report).notes[0]
    assert not report.clips
    plan = ImportPlan(
        scene="x", output=tmp_path / "p.mcap", video={"v": tmp_path / "in"}, still_hz=25.0
    )
    report, streams = imported(plan)
    assert stamps_ms(streams["v"]) == [0, 40, 80, 120, 160]
    assert not one(report).notes


def test_what_names_tell_goes_over_all_folders_within(tmp_path: Path) -> None:
    day = tmp_path / "in" / "2024-05-01"
    still(day / "13" / "cam-130000.jpg", 2)
    still(day / "12" / "cam-120000.jpg", 0)
    still(day / "12" / "cam-120010.jpg", 1)
    plan = ImportPlan(scene="x", output=tmp_path / "o.mcap", video={"v": tmp_path / "in"})
    report, streams = imported(plan)
    assert report.start_ns == iso_ns("2024-05-01T12:00:00Z")
    assert report.dated
    assert [number_of(arrival.sample) for arrival in streams["v"]] == [0, 1, 2]
    assert stamps_ms(streams["v"], report.start_ns) == [0, 10_000, 3_600_000]
    assert "taken for UTC" in one(report).notes[0]


def test_folders_of_frames_are_clips_and_label_themselves(tmp_path: Path) -> None:
    for name, numbers in (("leak/b", (5, 6)), ("normal/a", (1, 2, 3))):
        for number in numbers:
            still(tmp_path / "in" / name / f"{number:03}.jpg", number)
    (tmp_path / "in" / "about.txt").write_text("what it is")
    plan = ImportPlan(scene="x", output=tmp_path / "o.mcap", video={"v": tmp_path / "in"})
    report, streams = imported(plan)
    assert [(clip.name, clip.kind, clip.start_s) for clip in report.clips] == [
        ("leak/b", "leak", 0.0),
        ("normal/a", "normal", 6.0),
    ]
    assert stamps_ms(streams["v"]) == [0, 100, 6000, 6100, 6200]
    assert [label.kind for label in report.labels] == ["leak", "normal"]


def test_folders_label_pictures_that_tell_their_time(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    taken = [("good", 0), ("good", 10), ("leak", 20), ("leak", 30), ("good", 40)]
    for number, (kind, second) in enumerate([*taken, ("good", 3000), ("good", 3010)]):
        clock = f"12{second // 60:02}{second % 60:02}"
        still(folder / kind / f"20240501_{clock}.jpg", number)
    plan = ImportPlan(scene="x", output=tmp_path / "o.mcap", video={"v": folder})
    report, _ = imported(plan)
    assert [(label.kind, label.start_s, label.end_s) for label in report.labels] == [
        ("normal", 0.0, 20.0),
        ("leak", 20.0, 40.0),
        ("normal", 40.0, 50.0),
        ("normal", 3000.0, 3020.0),
    ]


def test_a_thumbnail_beside_each_clip_is_none_of_its_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    still(folder / "a.jpg", 3)
    footage(folder / "a.mkv")
    plan = ImportPlan(scene="x", output=tmp_path / "o.mcap", video={"v": folder})
    report, streams = imported(plan)
    assert one(report).faults == {"files left out": 1}
    assert one(report).notes == ["a.jpg is left out: a still picture among clips"]
    assert len(streams["v"]) == 30


def test_what_is_hidden_is_none_of_the_pictures(tmp_path: Path) -> None:
    for number in range(3):
        still(tmp_path / "in" / f"{number:03}.jpg", number)
        still(tmp_path / "in" / ".thumbs" / f"{number:03}.jpg", number)
    plan = ImportPlan(scene="x", output=tmp_path / "o.mcap", video={"v": tmp_path / "in"})
    report, streams = imported(plan)
    assert len(streams["v"]) == 3
    assert not report.clips


def test_damaged_ones_are_counted_and_other_sizes_fitted(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for number in range(4):
        still(folder / f"{number}.jpg", number, (64, 48) if number else (32, 24))
    whole = (folder / "2.jpg").read_bytes()
    (folder / "2.jpg").write_bytes(whole[: len(whole) // 2][:40])
    (folder / "3.jpg").write_bytes(b"")
    plan = ImportPlan(scene="x", output=tmp_path / "o.mcap", video={"v": folder})
    report, streams = imported(plan)
    assert one(report).dropped == {"corrupt": 2}
    assert len(streams["v"]) == 2
    for path in folder.iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(RecordingError, match="none of its pictures can be read"):
        imported(plan)


def test_video_hz_thins_them_out(tmp_path: Path) -> None:
    for number in range(10):
        still(tmp_path / "in" / f"{number}.jpg", number)
    plan = ImportPlan(
        scene="x", output=tmp_path / "o.mcap", video={"v": tmp_path / "in"}, video_hz=3.0
    )
    report, streams = imported(plan)
    assert stamps_ms(streams["v"]) == [0, 400, 700]
    assert one(report).faults == {"frames beyond --video-hz, left out": 7}


def test_clips_of_thinned_pictures_are_as_long_as_they_were(tmp_path: Path) -> None:
    for clip in ("a", "b"):
        for number in range(20):
            still(tmp_path / "in" / clip / f"{number}.jpg", number)
    plan = ImportPlan(
        scene="x", output=tmp_path / "o.mcap", video={"v": tmp_path / "in"}, video_hz=5.0
    )
    report, streams = imported(plan)
    assert [(clip.start_s, clip.end_s) for clip in report.clips] == [(0.0, 2.0), (7.0, 9.0)]
    assert streams["v"][0].sample.timestamp_ns == report.start_ns
    assert len(streams["v"]) == 20


def test_a_times_file_says_when_each_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        still(tmp_path / "in" / f"{number}.jpg", number)
    times = table(tmp_path / "t.csv", "index,seconds\n0,0\n1,0.5\n2,2\n")
    made = ["--scene", "x", "--video", tmp_path / "in", "-o", tmp_path / "o.mcap"]
    assert fusewatch("import", *made, "--video-times", times, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["inputs"][0]["samples"] == 3
    assert told["inputs"][0]["end_ns"] - told["start_ns"] == 2_000_000_000
