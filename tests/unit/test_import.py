"""Footage, sound, tables and text become one recording, with their own times."""

from __future__ import annotations

import json
import logging
import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import simplejpeg
import structlog

from nodes.cli import run
from pipeline.core.arrival import LedgerReport, SampleArrived, StreamEnded, StreamOpened
from pipeline.core.errors import ConfigError, FusewatchError, RecordingError, SourceUnavailable
from pipeline.core.sample import Encoding, Modality, Sample
from pipeline.recording import Recording
from pipeline.recording.import_report import InputReport
from pipeline.recording.importing import (
    DEFAULT_START_NS,
    ImportPlan,
    ImportReport,
    run_import,
)
from tests.requirements import shared_data

MS = 1_000_000
RATE = 8000


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


def footage(path: Path, frames: int = 30, fps: int = 10, codec: str = "ffv1") -> Path:
    """Each frame's brightness says its number."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = {"mjpeg": "yuvj420p", "ffv1": "bgr0"}.get(codec, "yuv420p")
        for number in range(frames):
            picture = np.full((48, 64, 3), 20 + 6 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts = number
            frame.time_base = Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def sound(path: Path, samples: int = 3 * RATE) -> Path:
    """Sample n has the value n modulo 30000."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.arange(samples) % 30_000).astype("<i2").tobytes())
    return path


def table(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def imported(plan: ImportPlan) -> tuple[ImportReport, dict[str, list[SampleArrived]]]:
    report = run_import(plan)
    streams: dict[str, list[SampleArrived]] = {}
    last_ns = 0
    with Recording(plan.output) as recording:
        assert recording.truncated is None
        for arrival in recording.arrivals():
            assert arrival.arrival_ns >= last_ns
            last_ns = arrival.arrival_ns
            if isinstance(arrival, SampleArrived):
                streams.setdefault(arrival.sample.stream, []).append(arrival)
    return report, streams


def stamps_ms(arrivals: list[SampleArrived], start_ns: int = DEFAULT_START_NS) -> list[float]:
    return [(a.sample.timestamp_ns - start_ns) / MS for a in arrivals]


def brightness(sample: Sample) -> float:
    return float(simplejpeg.decode_jpeg(bytes(sample.data)).mean())  # type: ignore[arg-type]


def number_of(sample: Sample) -> int:
    return round((brightness(sample) - 20) / 6)


def one(report: ImportReport) -> InputReport:
    return report.inputs[0]


def test_everything_together_is_one_timeline(tmp_path: Path) -> None:
    plan = ImportPlan(
        scene="room",
        output=tmp_path / "o.mcap",
        video={"cam": footage(tmp_path / "v.mkv")},
        audio={"mic": sound(tmp_path / "a.wav")},
        sensors={"air": table(tmp_path / "s.csv", "t,a,b\n0,1,2\n0.5,3,4\n1.0,5,6\n")},
        text={"log": table(tmp_path / "l.txt", "0.25 door opened\n1.5 door closed\n")},
    )
    report, streams = imported(plan)
    assert {name: len(items) for name, items in streams.items()} == {
        "cam": 30, "mic": 30, "air": 3, "log": 2,
    }  # fmt: skip
    assert stamps_ms(streams["cam"]) == [100.0 * i for i in range(30)]
    assert stamps_ms(streams["mic"]) == [100.0 * i for i in range(30)]
    assert stamps_ms(streams["air"]) == [0, 500, 1000]
    assert [a.sample.data for a in streams["log"]] == ["door opened", "door closed"]
    assert [number_of(a.sample) for a in streams["cam"]] == list(range(30))
    heard = np.concatenate([a.sample.data for a in streams["mic"]])[:, 0]  # type: ignore[arg-type]
    assert heard.tolist() == [n % 30_000 for n in range(3 * RATE)]
    assert [a.sample.position for a in streams["mic"]] == [800 * i for i in range(30)]
    assert all(a.arrival_ns == a.sample.timestamp_ns + 100 * MS for a in streams["mic"])
    assert report.start_ns == DEFAULT_START_NS
    with Recording(plan.output) as recording:
        assert recording.scenes == {"room": ("cam", "mic", "air", "log")}
        arrivals = list(recording.arrivals())
        kinds = {type(a) for a in arrivals}
        assert kinds == {StreamOpened, SampleArrived, StreamEnded, LedgerReport}
        ledger = next(a for a in arrivals if isinstance(a, LedgerReport))
    assert all(account.missing == 0 for account in ledger.accounts.values())


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    video, audio = footage(tmp_path / "v.mkv", 10), sound(tmp_path / "a.wav", 4000)
    for name in ("1", "2"):
        plan = ImportPlan(
            scene="x", output=tmp_path / f"{name}.mcap", video={"v": video}, audio={"a": audio}
        )
        run_import(plan)
    assert (tmp_path / "1.mcap").read_bytes() == (tmp_path / "2.mcap").read_bytes()


@pytest.mark.parametrize("filler", [True, False])
def test_a_times_file_rules_over_the_footage_s_own_clock(tmp_path: Path, filler: bool) -> None:
    lost = {3, 4, 17}
    rows = [f"{i},{i * 0.1 + 0.003 * (i % 3):.4f},{int(i not in lost)}" for i in range(30)]
    times = table(tmp_path / "t.csv", "index,seconds,present\n" + "\n".join(rows) + "\n")
    plan = ImportPlan(
        scene="x",
        output=tmp_path / "o.mcap",
        video={"v": footage(tmp_path / "v.mkv", 30 if filler else 27)},
        video_times={"v": times},
    )
    _, streams = imported(plan)
    kept = [i for i in range(30) if i not in lost]
    expected = [i * 100 + 3 * (i % 3) for i in kept]
    assert stamps_ms(streams["v"]) == pytest.approx(expected)
    assert [number_of(a.sample) for a in streams["v"]] == (kept if filler else list(range(27)))


@pytest.mark.parametrize("filler", [True, False])
def test_a_times_file_rules_over_the_sound_s_own_count(tmp_path: Path, filler: bool) -> None:
    lost = {2, 9}
    rows = [f"{i},{i * 0.25 * 1.0001:.6f},{int(i not in lost)}" for i in range(12)]
    times = table(tmp_path / "t.csv", "index,seconds,present\n" + "\n".join(rows) + "\n")
    blocks = 12 if filler else 10
    plan = ImportPlan(
        scene="x",
        output=tmp_path / "o.mcap",
        audio={"m": sound(tmp_path / "a.wav", blocks * 2000)},
        audio_times={"m": times},
    )
    _, streams = imported(plan)
    kept = [i for i in range(12) if i not in lost]
    assert stamps_ms(streams["m"]) == pytest.approx([i * 250 * 1.0001 for i in kept])
    assert [a.sample.position for a in streams["m"]] == [i * 2000 for i in kept]
    first = [int(a.sample.data[0, 0]) for a in streams["m"]]  # type: ignore[call-overload,index]
    assert first == [2000 * i for i in (kept if filler else range(10))]


def test_a_short_last_block_does_not_change_the_length_of_the_others(tmp_path: Path) -> None:
    rows = "".join(f"{i},{i * 0.25},1\n" for i in range(4))
    plan = ImportPlan(
        scene="x",
        output=tmp_path / "o.mcap",
        audio={"m": sound(tmp_path / "a.wav", 3 * 2000 + 700)},
        audio_times={"m": table(tmp_path / "t.csv", rows)},
    )
    _, streams = imported(plan)
    assert [len(a.sample.data) for a in streams["m"]] == [2000, 2000, 2000, 700]  # type: ignore[arg-type]


def test_gaps_and_text_in_number_columns_become_nan_and_are_counted(tmp_path: Path) -> None:
    text = (
        "timestamp,a,note,b\n0,1,x,2\n1,,y,broken\n2,nan,z,3\n3,inf,w,4\noops,1,,1\n"
        "2.5,9,,9\n4,5\n5,1,2,3,4\n"
    )
    plan = ImportPlan(
        scene="x", output=tmp_path / "o.mcap", sensors={"s": table(tmp_path / "s.csv", text)}
    )
    report, streams = imported(plan)
    values = np.array([a.sample.data for a in streams["s"]])
    nan = np.nan
    wanted = [[1, nan, 2], [nan, nan, nan], [nan, nan, 3], [nan, nan, 4], [5, nan, nan], [1, 2, 3]]
    np.testing.assert_array_equal(values, np.array(wanted))
    item = one(report)
    assert item.dropped == {"corrupt": 1, "out_of_order": 1}
    assert item.faults["cells with text in a number column"] == 5
    assert item.faults["cells with an infinite number"] == 1
    assert item.faults["rows with more cells than columns"] == 1
    assert item.account.missing == 0


def test_semicolons_decimal_commas_and_calendar_times_are_understood(tmp_path: Path) -> None:
    text = "datetime;Pressure;Flow\n2020-03-09 10:14:33;0,5;32\n2020-03-09 10:14:34;0,25;31,5\n"
    plan = ImportPlan(
        scene="x",
        output=tmp_path / "o.mcap",
        sensors={"s": table(tmp_path / "s.csv", text)},
        video={"v": footage(tmp_path / "v.mkv", 5)},
    )
    report, streams = imported(plan)
    assert report.start_ns == 1583748873 * 10**9
    assert streams["v"][0].sample.timestamp_ns == report.start_ns
    assert [a.sample.data.tolist() for a in streams["s"]] == [[0.5, 32.0], [0.25, 31.5]]  # type: ignore[union-attr]


def test_a_given_start_moves_what_has_no_calendar_and_tells_what_lies_apart(
    tmp_path: Path,
) -> None:
    text = "datetime,a\n2020-03-09T10:14:33Z,1\n2020-03-09T10:14:34Z,2\n"
    plan = ImportPlan(
        scene="x",
        output=tmp_path / "o.mcap",
        sensors={"s": table(tmp_path / "s.csv", text)},
        audio={"m": sound(tmp_path / "a.wav", 1600)},
        start_ns=1_700_000_000 * 10**9,
    )
    report, streams = imported(plan)
    assert streams["m"][0].sample.timestamp_ns == 1_700_000_000 * 10**9
    assert streams["s"][0].sample.timestamp_ns == 1583748873 * 10**9
    assert all("no moment in common" in " ".join(i.notes) for i in report.inputs)


@pytest.mark.parametrize(
    ("text", "channels", "first"),
    [
        (
            "1, 1458748404944, 21.8\n2, 1458748405048, 21.4\n",
            ("column0", "column2"),
            1458748404.944,
        ),
        ('"date","T"\n"1","2015-02-04 17:51:00",23.1\n', ("row", "T"), 1423072260.0),
        ("x,seconds\n5,0.5\n6,1.5\n", ("x",), None),
        ("0.0,5\n0.1,6\n", ("column1",), None),
    ],
)
def test_tables_of_many_habits_are_read(
    tmp_path: Path, text: str, channels: tuple[str, ...], first: float | None
) -> None:
    plan = ImportPlan(
        scene="x", output=tmp_path / "o.mcap", sensors={"s": table(tmp_path / "s.csv", text)}
    )
    report, _ = imported(plan)
    with Recording(plan.output) as recording:
        assert recording.streams["s"].channels == channels
    if first is not None:
        assert report.start_ns == round(first * 1000) * MS


def test_a_first_column_that_only_may_be_the_time_is_said(tmp_path: Path) -> None:
    file = table(tmp_path / "s.csv", "when,a\n0,1\n1,2\n2,1\n")
    report, _ = imported(ImportPlan(scene="x", output=tmp_path / "o.mcap", sensors={"s": file}))
    assert one(report).notes == ["column 'when' is taken for the time; call it 'time' if it is"]


def test_columns_that_look_like_labels_are_pointed_out_and_can_be_left_out(
    tmp_path: Path,
) -> None:
    file = table(tmp_path / "s.csv", "t,a,anomaly\n0,1,0\n1,2,1\n")
    report, _ = imported(ImportPlan(scene="x", output=tmp_path / "1.mcap", sensors={"s": file}))
    assert "--exclude anomaly" in one(report).notes[0]
    report, streams = imported(
        ImportPlan(scene="x", output=tmp_path / "2.mcap", sensors={"s": file}, exclude=["anomaly"])
    )
    assert len(streams["s"][0].sample.data) == 1  # type: ignore[arg-type]
    assert one(report).notes == []


def test_a_regular_table_has_a_rate_and_an_irregular_one_has_none(tmp_path: Path) -> None:
    regular = "t,a\n" + "".join(f"{i * 0.1:.3f},{i}\n" for i in range(50))
    wild = "t,a\n0,1\n1,1\n7,1\n7.5,1\n20,1\n"
    plan = ImportPlan(
        scene="x",
        output=tmp_path / "o.mcap",
        sensors={"r": table(tmp_path / "r.csv", regular), "w": table(tmp_path / "w.csv", wild)},
    )
    run_import(plan)
    with Recording(plan.output) as recording:
        assert recording.streams["r"].rate_hz == 10.0
        assert recording.streams["w"].rate_hz is None


def test_lines_without_a_time_take_that_of_the_line_before(tmp_path: Path) -> None:
    text = "[2024-05-01T12:00:00Z] start\n  at line 3\n2024-05-01 12:00:01,500 stop\n"
    plan = ImportPlan(
        scene="x", output=tmp_path / "o.mcap", text={"l": table(tmp_path / "l.txt", text)}
    )
    report, streams = imported(plan)
    assert stamps_ms(streams["l"], report.start_ns) == [0, 0, 1500]
    assert one(report).faults == {"lines without a time of their own": 1}


def test_motion_jpeg_is_passed_through_unchanged(tmp_path: Path) -> None:
    path = footage(tmp_path / "v.avi", 8, codec="mjpeg")
    with av.open(str(path)) as container:
        packets = [bytes(p) for p in container.demux(video=0) if p.size]
    plan = ImportPlan(scene="x", output=tmp_path / "o.mcap", video={"v": path})
    _, streams = imported(plan)
    assert [a.sample.data for a in streams["v"]] == packets
    assert stamps_ms(streams["v"]) == pytest.approx([100.0 * i for i in range(8)])


def test_pictures_and_sound_are_made_smaller_when_asked(tmp_path: Path) -> None:
    plan = ImportPlan(
        scene="x",
        output=tmp_path / "o.mcap",
        video={"v": footage(tmp_path / "v.mkv")},
        audio={"m": sound(tmp_path / "a.wav")},
        video_size=(32, 24),
        video_hz=5.0,
        audio_hz=4000,
    )
    _, streams = imported(plan)
    assert stamps_ms(streams["v"]) == [200.0 * i for i in range(15)]
    assert simplejpeg.decode_jpeg_header(streams["v"][0].sample.data)[:2] == (24, 32)
    assert sum(len(a.sample.data) for a in streams["m"]) == pytest.approx(12_000, abs=40)  # type: ignore[arg-type]
    with Recording(plan.output) as recording:
        assert recording.streams["v"].shape == (24, 32, 3)
        assert recording.streams["v"].rate_hz == 5.0
        assert recording.streams["m"].rate_hz == 4000.0


def test_footage_with_damage_gives_what_can_be_decoded(tmp_path: Path) -> None:
    path = footage(tmp_path / "v.avi", 30, codec="mpeg4")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200)
    path.write_bytes(data)
    plan = ImportPlan(scene="x", output=tmp_path / "o.mcap", video={"v": path})
    report, streams = imported(plan)
    assert len(streams["v"]) > 10
    assert one(report).account.missing == 0


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"video": "none.mp4"}, SourceUnavailable, "no such file"),
        ({"video": "notes.txt"}, RecordingError, "not a video or audio file"),
        ({"audio": "v.mkv"}, RecordingError, "no sound"),
        ({"video": "a.wav"}, RecordingError, "no video"),
        ({"sensors": "notes.txt"}, RecordingError, "no column holds times"),
        ({"sensors": "untimed.csv"}, RecordingError, "no column holds times"),
        ({"sensors": "empty.csv"}, RecordingError, "empty"),
        ({"sensors": "words.csv"}, RecordingError, "no column holds numbers"),
        ({"text": "notes.txt"}, RecordingError, "no line begins with a time"),
        ({"text": "."}, SourceUnavailable, "a folder"),
        ({"video": "v.mkv", "video_times": "notes.txt"}, RecordingError, "times"),
        ({"video": "v.mkv", "video_times": "badtimes.csv"}, RecordingError, "badtimes.csv:3"),
        ({}, ConfigError, "nothing to import"),
    ],
)
def test_what_cannot_be_imported_is_refused_with_a_reason_and_leaves_nothing(
    tmp_path: Path, change: dict[str, str], error: type[FusewatchError], words: str
) -> None:
    footage(tmp_path / "v.mkv", 3)
    sound(tmp_path / "a.wav", 800)
    table(tmp_path / "notes.txt", "hello\nworld\n")
    table(tmp_path / "untimed.csv", "load,heat\n0.3,20\n0.1,21\n0.2,20\n0.1,22\n")
    table(tmp_path / "empty.csv", "\n\n")
    table(tmp_path / "words.csv", "time,what\n0,a\n1,b\n")
    table(tmp_path / "badtimes.csv", "index,seconds,present\n0,0,1\n1,x,1\n")
    files = {kind: {"s": tmp_path / name} for kind, name in change.items()}
    with pytest.raises(error, match=words):
        run_import(ImportPlan(scene="x", output=tmp_path / "o.mcap", **files))  # type: ignore[arg-type]
    assert not (tmp_path / "o.mcap").exists()


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


@pytest.mark.data
def test_real_footage_ambience_and_pump_readings_become_a_recording(tmp_path: Path) -> None:
    plan = ImportPlan(
        scene="site",
        output=tmp_path / "site.mcap",
        video={"cam": shared_data("video_vtest/vtest.avi")},
        audio={"mic": shared_data("ambience_blanket/rain.ogg")},
        sensors={"pump": shared_data("skab/valve1/0.csv")},
        video_size=(384, 288),
        audio_hz=16_000,
        exclude=["anomaly", "changepoint"],
    )
    report, streams = imported(plan)
    assert len(streams["cam"]) == 795
    assert np.diff(stamps_ms(streams["cam"])).tolist() == pytest.approx([100.0] * 794, abs=0.001)
    assert streams["cam"][0].sample.encoding is Encoding.JPEG
    with Recording(plan.output) as recording:
        assert recording.streams["pump"].channels[0] == "Accelerometer1RMS"
        assert recording.streams["pump"].modality is Modality.SENSOR
        assert recording.streams["mic"].rate_hz == 16_000
    assert len(streams["pump"]) == 1147
    assert all(not i.dropped for i in report.inputs)
