"""A recording goes out as Matroska and tables, and comes back the same."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import simplejpeg

from nodes.cli import run
from pipeline.core.arrival import SampleArrived, StreamOpened
from pipeline.core.errors import RecordingError
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.recording import Recording
from pipeline.recording.exporting import export_recording
from pipeline.recording.importing import ImportPlan, run_import
from pipeline.recording.writer import RecordingWriter
from tests.unit.recordings import event

START_NS = 1_700_000_000_123_456_789
RATE = 8000
CAM = StreamInfo("cam", Modality.VIDEO, 10.0, (48, 64, 3), "uint8")
MIC = StreamInfo("mic", Modality.AUDIO, float(RATE), (2,), "int16")
AIR = StreamInfo("air", Modality.SENSOR, 10.0, (2,), "float64", channels=("a", "b"))
LOG = StreamInfo("log", Modality.TEXT)
INFOS = (CAM, MIC, AIR, LOG)


def at(number: int) -> int:
    """Time of the samples of a tenth of a second, with jitter below a millisecond."""
    return START_NS + number * 100_000_000 + number * number * 137 % 400_000


def jpeg(number: int, height: int = 48) -> bytes:
    picture = np.full((height, 64, 3), 20 + 6 * number, np.uint8)
    return bytes(simplejpeg.encode_jpeg(picture, quality=95, colorspace="BGR"))


def heard(number: int) -> np.ndarray:
    counted = np.arange(number * 800, (number + 1) * 800) % 30_000
    return np.stack([counted, -counted], axis=1).astype(np.int16)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Two seconds of four streams; frame 7 has another size, frame 9 is damaged."""
    path = tmp_path / "night.mcap"
    with RecordingWriter(path, deployment="d", scenes={"s": [i.name for i in INFOS]}) as writer:
        for info in INFOS:
            writer.write(StreamOpened(START_NS, "n", info))
        for n in range(20):
            frame: bytes = jpeg(n, 32 if n == 7 else 48) if n != 9 else b"\xff\xd8 no picture"
            readings = np.array([n / 3, np.nan if n == 4 else -n])
            samples = [
                Sample("cam", n, at(n), frame, Encoding.JPEG),
                Sample("mic", n, at(n), heard(n), Encoding.PCM, position=800 * n),
                Sample("air", n, at(n), readings, Encoding.FLOAT),
            ]
            samples += [Sample("log", 0, at(n), "door opened", Encoding.UTF8)] if n == 5 else []
            for sample in samples:
                writer.write(SampleArrived(at(n) + 1000, "n", sample))
    return path


def samples_of(path: Path) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {}
    with Recording(path) as opened:
        for arrival in opened.arrivals():
            if isinstance(arrival, SampleArrived):
                found.setdefault(arrival.sample.stream, []).append(arrival.sample)
    return found


def test_what_goes_out_comes_back_with_its_times(recording: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export_recording(recording, folder)
    media = folder / "night.mkv"
    again = tmp_path / "again.mcap"
    plan = ImportPlan(
        scene="s",
        output=again,
        video={"cam": media},
        audio={"mic": media},
        sensors={"air": folder / "air.csv"},
        text={"log": folder / "log.txt"},
        video_times={"cam": folder / "cam.times.csv"},
        audio_times={"mic": folder / "mic.times.csv"},
    )
    run_import(plan)
    before, after = samples_of(recording), samples_of(again)
    kept = [n for n in range(20) if n not in {7, 9}]
    assert [s.timestamp_ns for s in after["cam"]] == [at(n) for n in kept]
    for n, sample in zip(kept, after["cam"], strict=True):
        picture = simplejpeg.decode_jpeg(bytes(sample.data))  # type: ignore[arg-type]
        assert picture.mean() == pytest.approx(20 + 6 * n, abs=2)
    assert [s.timestamp_ns for s in after["mic"]] == [at(n) for n in range(20)]
    sound = np.concatenate([s.data for s in after["mic"]])  # type: ignore[arg-type]
    np.testing.assert_array_equal(sound, np.concatenate([heard(n) for n in range(20)]))
    assert [s.timestamp_ns for s in after["air"]] == [s.timestamp_ns for s in before["air"]]
    values = [np.array([s.data for s in side["air"]]) for side in (before, after)]
    np.testing.assert_array_equal(values[0], values[1])
    assert after["log"][0].data == "door opened"
    assert abs(after["log"][0].timestamp_ns - at(5)) < 1000


def test_pictures_are_the_same_bytes_and_tracks_have_the_names_of_their_streams(
    recording: Path, tmp_path: Path
) -> None:
    report = export_recording(recording, tmp_path / "out")
    with av.open(str(tmp_path / "out" / "night.mkv")) as container:
        names = [track.metadata["title"] for track in container.streams]
        pictures = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    assert names == ["cam", "mic"]
    assert pictures == [jpeg(n) for n in range(20) if n not in {7, 9}]
    assert report.start_ns == START_NS


def test_what_is_left_out_is_counted_and_told(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["export", str(recording), "-o", str(tmp_path / "out"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    cam = next(one for one in told["streams"] if one["name"] == "cam")
    assert (cam["samples"], cam["left_out"]) == (18, {"another size": 1, "damaged": 1})
    assert all(not one["left_out"] for one in told["streams"] if one["name"] != "cam")


def test_a_table_has_its_channels_and_leaves_unknown_cells_empty(
    recording: Path, tmp_path: Path
) -> None:
    export_recording(recording, tmp_path / "out")
    rows = list(csv.reader((tmp_path / "out" / "air.csv").open()))
    assert rows[0] == ["timestamp", "utc", "a", "b"]
    assert rows[5][3] == ""
    assert rows[1][0] == str(START_NS)
    assert rows[1][1] == "2023-11-14T22:13:20.123456Z"


def test_nothing_is_written_over(recording: Path, tmp_path: Path) -> None:
    export_recording(recording, tmp_path / "out")
    with pytest.raises(RecordingError, match="holds an export already"):
        export_recording(recording, tmp_path / "out")


@pytest.mark.parametrize("left", ["log.txt", "mic.times.csv", "events.jsonl"])
def test_nothing_of_another_export_is_written_over(
    recording: Path, tmp_path: Path, left: str
) -> None:
    with RecordingWriter(tmp_path / "day.mcap") as writer, Recording(recording) as old:
        for arrival in old.arrivals():
            writer.write(arrival)
        writer.event(event(), START_NS)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / left).write_text("of yesterday")
    with pytest.raises(RecordingError, match=left):
        export_recording(tmp_path / "day.mcap", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [left]
    assert (tmp_path / "out" / left).read_text() == "of yesterday"


def test_of_several_tracks_each_stream_takes_its_own(tmp_path: Path) -> None:
    path = tmp_path / "two.mcap"
    with RecordingWriter(path) as writer:
        for name in ("east", "west"):
            writer.write(StreamOpened(START_NS, "n", replace(CAM, name=name)))
        for n in range(10):
            for name, number in (("east", n), ("west", 20 + n)):
                sample = Sample(name, n, at(n), jpeg(number), Encoding.JPEG)
                writer.write(SampleArrived(at(n), "n", sample))
    export_recording(path, tmp_path / "out")
    media, times = tmp_path / "out" / "two.mkv", tmp_path / "out" / "west.times.csv"
    for name, number in (("east", 0), ("west", 20), ("other", 0)):
        plan = ImportPlan(
            scene="s",
            output=tmp_path / f"{name}.mcap",
            video={name: media},
            video_times={name: times},
        )
        report = run_import(plan)
        first = samples_of(plan.output)[name][0]
        assert bytes(first.data) == jpeg(number)  # type: ignore[arg-type]
        told = [note for note in report.inputs[0].notes if "2 tracks of video (east, west)" in note]
        assert len(told) == (name == "other")


def test_a_recording_cut_off_goes_out_as_far_as_it_is_whole(
    recording: Path, tmp_path: Path
) -> None:
    content = recording.read_bytes()
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(content[: len(content) * 2 // 3])
    report = export_recording(cut, tmp_path / "out")
    assert report.faults
    assert sum(one.samples for one in report.streams) <= 59
