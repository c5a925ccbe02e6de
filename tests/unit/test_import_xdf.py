"""Recordings of the Lab Streaming Layer come in with the times that pyxdf gives."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyxdf

from pipeline.core.arrival import SampleArrived
from pipeline.core.errors import RecordingError
from pipeline.core.sample import Modality, Sample, StreamInfo
from pipeline.core.timestamps import iso_ns
from pipeline.recording import Recording
from pipeline.recording.importing import ImportPlan, ImportReport, run_import
from tests.requirements import shared_data
from tests.xdf_files import XdfStream, tone, write_xdf

MARKERS = XdfStream("Door Markers", "Markers", "string", 0, [10.5, 12.25], [["open"], ["shut"]])


def imported(
    path: Path, folder: Path, prefix: str = ""
) -> tuple[ImportReport, dict[str, list[Sample]], dict[str, StreamInfo]]:
    """The report, the samples per stream, the streams."""
    output = folder / "made.mcap"
    report = run_import(ImportPlan(scene="lab", output=output, xdf=[(prefix, path)]))
    samples: dict[str, list[Sample]] = {}
    with Recording(output) as recording:
        infos = dict(recording.streams)
        for arrival in recording.arrivals():
            if isinstance(arrival, SampleArrived):
                samples.setdefault(arrival.sample.stream, []).append(arrival.sample)
    return report, samples, infos


@pytest.mark.parametrize("name", ["clock_resets", "minimal", "empty_streams"])
def test_real_recordings_have_the_stamps_of_pyxdf_to_the_microsecond(
    name: str, tmp_path: Path
) -> None:
    path = shared_data(f"xdf/{name}.xdf")
    report, samples, _ = imported(path, tmp_path)
    streams, _ = pyxdf.load_xdf(str(path))
    held = [one for one in streams if len(one["time_stamps"])]
    zero = min(one["time_stamps"].min() for one in held)
    wanted = {_slug(one): one["time_stamps"] - zero for one in held}
    assert set(samples) == set(wanted)
    for stream, rows in samples.items():
        seconds = np.array([sample.timestamp_ns - report.start_ns for sample in rows]) / 1e9
        np.testing.assert_allclose(seconds, wanted[stream], rtol=0, atol=1e-6)
    assert all(not one.dropped for one in report.inputs)


def _slug(stream: dict[str, Any]) -> str:
    return "-".join(re.findall("[a-z0-9]+", stream["info"]["name"][0].lower()))


def test_values_channels_units_and_the_clock_offset_come_along(tmp_path: Path) -> None:
    stamps = [100 + row / 10 for row in range(30)]
    eeg = XdfStream(
        "Lab EEG",
        "EEG",
        "double64",
        10,
        stamps,
        [[row, -row] for row in range(30)],
        offsets=[(100 + s, -90.0) for s in range(4)],
        labels=[("Cz", "microvolts"), ("Pz", "microvolts")],
    )
    markers = XdfStream("Markers", "Markers", "string", 0, [11.0], [["begin"]], [(10, 0), (11, 0)])
    path = write_xdf(tmp_path / "a.xdf", [eeg, markers], "2024-05-01T12:00:00+0200")
    report, samples, infos = imported(path, tmp_path, prefix="room")
    assert set(samples) == {"room-lab-eeg", "room-markers"}
    info = infos["room-lab-eeg"]
    assert (info.channels, info.units) == (("Cz", "Pz"), ("microvolts", "microvolts"))
    values = np.array([sample.data for sample in samples["room-lab-eeg"]])
    np.testing.assert_array_equal(values, [[row, -row] for row in range(30)])
    start_ns = iso_ns("2024-05-01T12:00:00+0200")
    assert report.start_ns == start_ns == samples["room-lab-eeg"][0].timestamp_ns
    marker = samples["room-markers"][0]
    assert marker.data == "begin"
    assert marker.timestamp_ns - start_ns == pytest.approx(1e9, abs=1000)  # 11 s; 100 - 90 = 10


def test_what_calls_itself_audio_becomes_sound(tmp_path: Path) -> None:
    rate = 8000
    stamps = [5 + row / rate for row in range(rate)]
    heard = XdfStream("Mic", "Audio", "float32", rate, stamps, tone(rate, 1.0))
    report, samples, infos = imported(write_xdf(tmp_path / "a.xdf", [heard]), tmp_path)
    info = infos["mic"]
    assert (info.modality, info.rate_hz, info.dtype) == (Modality.AUDIO, rate, "int16")
    assert [len(sample.data) for sample in samples["mic"]] == [800] * 10
    assert [sample.position for sample in samples["mic"]] == list(range(0, rate, 800))
    sound = np.concatenate([sample.data for sample in samples["mic"]])[:, 0]
    wanted = np.array(tone(rate, 1.0))[:, 0] * 32767
    assert np.abs(sound - wanted).max() <= 1
    assert report.inputs[0].end_ns - report.inputs[0].start_ns == pytest.approx(1e9, abs=2e5)


def test_it_has_a_day_of_its_own_without_a_calendar(tmp_path: Path) -> None:
    report, samples, _ = imported(write_xdf(tmp_path / "a.xdf", [MARKERS]), tmp_path)
    assert not report.dated
    times = [sample.timestamp_ns - report.start_ns for sample in samples["door-markers"]]
    assert times == [0, 1_750_000_000]
    assert "10.500000 s by the recorder's clock" in report.inputs[0].notes[0]


def test_streams_of_one_name_are_told_apart_and_empty_ones_said(tmp_path: Path) -> None:
    nothing = XdfStream("Quiet", "Markers", "string", 0, [], [])
    path = write_xdf(tmp_path / "a.xdf", [MARKERS, MARKERS, nothing])
    report, samples, _ = imported(path, tmp_path)
    assert set(samples) == {"door-markers", "door-markers-2"}
    assert any("'Quiet'" in note for one in report.inputs for note in one.notes)


def test_an_infinite_number_is_missing_and_counted(tmp_path: Path) -> None:
    values = [[1.0], [float("inf")], [3.0]]
    stream = XdfStream("Flow", "Misc", "float32", 0, [1.0, 2.0, 3.0], values)
    report, samples, _ = imported(write_xdf(tmp_path / "a.xdf", [stream]), tmp_path)
    assert np.isnan(samples["flow"][1].data[0])
    assert report.inputs[0].faults == {"infinite numbers": 1}


@pytest.mark.parametrize("content", [b"", b"XDF:", b"not at all", b"XDF:\x04\xff\xff\xff\x7f\x02"])
def test_what_is_no_recording_is_refused_and_leaves_nothing(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.xdf"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=r"a\.xdf"):
        imported(path, tmp_path)
    assert not (tmp_path / "made.mcap").exists()


def test_a_file_cut_off_gives_what_is_whole(tmp_path: Path) -> None:
    path = write_xdf(tmp_path / "a.xdf", [MARKERS, MARKERS])
    path.write_bytes(path.read_bytes()[:-40])
    _, samples, _ = imported(path, tmp_path)
    assert [sample.data for sample in samples["door-markers"]] == ["open", "shut"]
