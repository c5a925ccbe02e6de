"""A folder of recordings: files of bounded size, a bounded total, and one run read back."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.arrival import SampleArrived, StreamEnded, StreamOpened
from pipeline.core.errors import RecordingError
from pipeline.core.sample import Encoding
from pipeline.recording import Recording, RecordingFolder, RecordingSet, read_many
from pipeline.recording.retention import Removal
from tests.unit.recordings import (
    CAMERA,
    MIC,
    MS,
    PUMP,
    STREAMS,
    T0,
    event,
    record,
    same,
    sample,
    scene,
)

SMALL_MB = 0.2


def folder(path: Path, **options: float) -> RecordingFolder:
    return RecordingFolder(path, name="home", max_file_mb=SMALL_MB, **options)  # type: ignore[arg-type]


def test_files_are_bounded_named_by_time_and_each_explains_itself(tmp_path: Path) -> None:
    recorder = folder(tmp_path / "made")
    for arrival in scene(6.0):
        recorder.write(arrival)
    recorder.close()
    files = recorder.files()
    assert len(files) > 4
    assert files[0].name == "home-20231114T221320.000000Z.mcap"
    for file in files:
        assert file.stat().st_size < SMALL_MB * 1.3 * (1 << 20)
        with Recording(file) as recording:
            assert recording.streams.keys() == {info.name for info in STREAMS}
            assert recording.truncated is None
            assert recording.deployment == "home"


def test_the_files_of_a_run_read_together_are_the_run(tmp_path: Path) -> None:
    recorder = folder(tmp_path)
    written = list(scene(6.0))
    for arrival in written:
        recorder.write(arrival)
    recorder.close()
    assert same(read_many(recorder.files()), written)
    first, end = T0 + 2500 * MS, T0 + 4500 * MS
    expected = [a for a in written if first <= a.arrival_ns < end]
    got = list(read_many(recorder.files(), first, end))
    assert got[:4] == [StreamOpened(first, "hall", info) for info in STREAMS]
    assert same(got[4:], expected)


def test_a_stream_that_ended_in_an_earlier_file_is_not_announced_again(tmp_path: Path) -> None:
    recorder = folder(tmp_path)
    for arrival in scene(3.0):
        recorder.write(arrival)
        if arrival == StreamOpened(T0, "hall", MIC):
            recorder.write(StreamEnded(T0, "hall", "mic"))
            recorder.write(StreamOpened(T0, "hall", MIC))
            recorder.write(StreamEnded(T0, "hall", "journal"))
    recorder.close()
    got = list(read_many(recorder.files(), T0 + 2900 * MS))
    assert [a.info.name for a in got if isinstance(a, StreamOpened)][:4] == [
        "camera", "mic", "pump", "journal",
    ]  # fmt: skip


def test_the_oldest_files_of_ours_are_removed_beyond_the_total(tmp_path: Path) -> None:
    (tmp_path / "home-notes.mcap").write_bytes(b"not ours to remove")
    recorder = folder(tmp_path, max_total_gb=3 * SMALL_MB / 1024)
    for arrival in scene(8.0):
        recorder.write(arrival)
    recorder.close()
    files = recorder.files()
    assert 2 <= len(files) <= 3
    assert sum(f.stat().st_size for f in files) <= 3.3 * SMALL_MB * (1 << 20)
    assert (tmp_path / "home-notes.mcap").exists()
    assert recorder.removed[Removal.SIZE] >= 4 and recorder.removed[Removal.AGE] == 0
    with RecordingSet(files) as recordings:
        assert recordings.end_ns == T0 + 7990 * MS


def test_a_start_leaves_earlier_recordings_where_one_file_may_take_the_whole_total(
    tmp_path: Path,
) -> None:
    total_gb = 3 * SMALL_MB / 1024
    for start in range(3):
        recorder = RecordingFolder(
            tmp_path, name="home", max_file_mb=total_gb * 1024, max_total_gb=total_gb
        )
        recorder.write(StreamOpened(T0 + start * 1000 * MS, "hall", MIC))
        recorder.close()
        assert len(recorder.files()) == start + 1
    for arrival in scene(8.0):
        recorder.write(arrival)
    recorder.close()
    assert len(recorder.files()) >= 2
    assert sum(f.stat().st_size for f in recorder.files()) <= 3.3 * SMALL_MB * (1 << 20)


def test_a_file_holds_no_longer_a_time_than_allowed(tmp_path: Path) -> None:
    recorder = RecordingFolder(tmp_path, name="home", max_file_s=1.5)
    written = list(scene(6.0))
    for arrival in written:
        recorder.write(arrival)
    recorder.close()
    spans = []
    for file in recorder.files():
        with Recording(file) as recording:
            spans.append(recording.end_ns - recording.start_ns)
    assert len(spans) == 5 and max(spans) <= 1500 * MS
    assert same(read_many(recorder.files()), written)


def test_files_too_old_are_removed_and_counted_even_while_nothing_arrives(tmp_path: Path) -> None:
    recorder = folder(tmp_path, max_age_days=2)
    for arrival in scene(3.0):
        recorder.write(arrival)
    day = 86_400_000_000_000
    open_file = recorder.current
    files = recorder.files()
    for file in files:
        os.utime(file, ns=(T0, T0))
    recorder.flush_due(T0 + day)
    assert recorder.files() == files
    recorder.flush_due(T0 + 3 * day)
    assert recorder.files() == (open_file,)
    assert recorder.removed[Removal.AGE] == len(files) - 1
    recorder.close()


def test_a_file_that_cannot_be_removed_does_not_stop_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    recorder = folder(tmp_path, max_total_gb=3 * SMALL_MB / 1024)
    for arrival in scene(4.0):
        recorder.write(arrival)
    recorder.close()
    assert len(recorder.files()) > 3
    assert recorder.lost == 0
    assert recorder.removed[Removal.SIZE] == 0


def test_two_files_begun_at_the_same_moment_get_two_names(tmp_path: Path) -> None:
    for _ in range(2):
        recorder = folder(tmp_path)
        recorder.write(StreamOpened(T0, "hall", CAMERA))
        recorder.event(event(), T0)
        recorder.close()
    assert len(recorder.files()) == 2


def test_a_folder_that_cannot_be_used_counts_what_is_lost_and_is_tried_again(
    tmp_path: Path,
) -> None:
    (tmp_path / "blocked").write_text("a file where the folder should be")
    recorder = folder(tmp_path / "blocked")
    arrivals = list(scene(12.0))
    for number, arrival in enumerate(arrivals):
        if arrival.arrival_ns > T0 + 4000 * MS and number:
            (tmp_path / "blocked").unlink(missing_ok=True)
            break
        recorder.write(arrival)
    refused = number
    assert recorder.lost == refused and recorder.current is None
    for arrival in arrivals[refused:]:
        recorder.write(arrival)
    recorder.close()
    got = list(read_many(recorder.files()))
    repeated = [a for a in got if isinstance(a, StreamOpened)]
    assert len(repeated) == len(STREAMS)
    assert len(got) - len(repeated) + recorder.lost == len(arrivals)


def test_a_disk_that_fills_up_costs_what_is_counted_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.recording import mcap_writer

    full = False
    real = mcap_writer.write_all

    def sometimes(file: int, pieces: list[bytes]) -> int:
        if full:
            raise OSError(28, "No space left on device")
        return real(file, pieces)

    monkeypatch.setattr(mcap_writer, "write_all", sometimes)
    recorder = folder(tmp_path)
    arrivals = list(scene(30.0, jpeg_bytes=8000))
    for arrival in arrivals:
        full = 3000 * MS < arrival.arrival_ns - T0 < 11_000 * MS
        recorder.write(arrival)
    recorder.close()
    for file in recorder.files():
        with Recording(file) as recording:
            assert recording.totals["pump"].samples > 0
            assert recording.faults == ()
    got = list(read_many(recorder.files()))
    assert recorder.lost > 0
    repeats = sum(isinstance(a, StreamOpened) for a in got) - len(STREAMS)
    assert len(got) - repeats + recorder.lost == len(arrivals)


def test_a_sample_that_does_not_fit_costs_itself_only(tmp_path: Path) -> None:
    recorder = folder(tmp_path)
    recorder.write(StreamOpened(T0, "hall", PUMP))
    recorder.write(sample("pump", 0, T0, np.zeros(3), Encoding.FLOAT))
    recorder.write(sample("pump", 1, T0, np.zeros(2), Encoding.FLOAT))
    recorder.write(sample("pump", 2, T0, np.ones(3), Encoding.FLOAT))
    recorder.close()
    assert recorder.lost == 1
    assert len(recorder.files()) == 1
    assert len(list(read_many(recorder.files()))) == 3


def test_a_quiet_deployment_still_gets_its_samples_to_the_disk(tmp_path: Path) -> None:
    recorder = folder(tmp_path)
    recorder.write(StreamOpened(T0, "hall", PUMP))
    recorder.flush_due(T0 + 500 * MS)
    file = recorder.files()[0]
    before = file.stat().st_size
    recorder.flush_due(T0 + 1500 * MS)
    assert file.stat().st_size > before
    recorder.close()


def test_what_was_flushed_survives_a_kill(tmp_path: Path) -> None:
    recorder = folder(tmp_path)
    recorder.write(StreamOpened(T0, "hall", PUMP))
    recorder.write(sample("pump", 0, T0, np.ones(3), Encoding.FLOAT))
    recorder.flush(T0)
    found = list(read_many(recorder.files()))
    assert sum(isinstance(arrival, SampleArrived) for arrival in found) == 1
    recorder.close()


def test_recordings_of_two_nodes_are_merged_in_time(tmp_path: Path) -> None:
    def of(node: str, name: str) -> list[object]:
        return [
            SampleArrived(a.arrival_ns + (node == "b"), node, a.sample)
            if isinstance(a, SampleArrived)
            else StreamOpened(a.arrival_ns, node, a.info)
            if isinstance(a, StreamOpened)
            else a
            for a in scene(1.0)
        ]

    first = record(tmp_path / "a.mcap", of("a", "x"))  # type: ignore[arg-type]
    second = record(tmp_path / "b.mcap", of("b", "y"))  # type: ignore[arg-type]
    merged = list(read_many([tmp_path / "b.mcap", tmp_path / "a.mcap"]))
    assert len(merged) == len(first) + len(second)
    samples = [a for a in merged if isinstance(a, SampleArrived) and a.sample.stream == "pump"]
    assert [a.arrival_ns for a in samples] == sorted(a.arrival_ns for a in samples)
    with RecordingSet([tmp_path / "a.mcap", tmp_path / "b.mcap"]) as recordings:
        assert set(recordings.nodes) == {"a", "b", "hall"}
        assert recordings.totals["pump"].samples == 200


def test_no_recording_at_all_is_an_error() -> None:
    with pytest.raises(RecordingError, match="no recording"):
        RecordingSet([])
