"""Footage, sound, tables and text become one recording, with their own times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import av.error
import numpy as np
import pytest
import simplejpeg

from pipeline.core.arrival import LedgerReport, SampleArrived, StreamEnded, StreamOpened
from pipeline.core.errors import ConfigError, FusewatchError, RecordingError, SourceUnavailable
from pipeline.core.sample import Encoding, Modality
from pipeline.recording import Recording
from pipeline.recording.import_media import packets
from pipeline.recording.import_report import InputReport
from pipeline.recording.importing import (
    ImportPlan,
    run_import,
)
from tests.import_samples import (
    DAY_NS,
    MS,
    RATE,
    footage,
    imported,
    number_of,
    one,
    sound,
    stamps_ms,
    table,
)
from tests.media_files import dominant_hz, write_clip
from tests.requirements import shared_data


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
    assert report.start_ns % DAY_NS == 0
    assert not report.dated
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


@pytest.mark.parametrize("codec", ["mjpeg", "mpeg4"])
def test_a_frame_that_cannot_be_decoded_keeps_its_row_of_the_times_file(
    tmp_path: Path, codec: str
) -> None:
    path = footage(tmp_path / "v.mkv", 30, codec=codec)
    with av.open(str(path)) as container:
        lost = next(bytes(p) for n, p in enumerate(container.demux(video=0)) if n == 10)
    path.write_bytes(path.read_bytes().replace(lost, bytes(len(lost))))
    rows = "".join(f"{i},{i * 0.1:.1f},1\n" for i in range(30))
    plan = ImportPlan(
        scene="x",
        output=tmp_path / "o.mcap",
        video={"v": path},
        video_times={"v": table(tmp_path / "t.csv", rows)},
    )
    report, streams = imported(plan)
    assert stamps_ms(streams["v"]) == [100.0 * i for i in range(30) if i != 10]
    assert one(report).dropped == {"corrupt": 1}
    if codec == "mjpeg":
        assert [number_of(a.sample) for a in streams["v"]] == [i for i in range(30) if i != 10]


@pytest.mark.parametrize(("row_s", "kept"), [(0.05, 15), (0.1, 30), (0.0985, 30)])
def test_footage_is_thinned_by_its_times_file_where_that_says_it_is_faster(
    tmp_path: Path, row_s: float, kept: int
) -> None:
    rows = "".join(f"{i},{i * row_s:.4f},1\n" for i in range(30))
    plan = ImportPlan(
        scene="x",
        output=tmp_path / "o.mcap",
        video={"v": footage(tmp_path / "v.mkv")},
        video_times={"v": table(tmp_path / "t.csv", rows)},
        video_hz=10.0,
    )
    _, streams = imported(plan)
    assert len(streams["v"]) == kept


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


def test_damaged_sound_costs_itself_only(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.m4a", seconds=4.0, video=None)
    data = bytearray(path.read_bytes())
    middle = data.index(b"mdat") + 8_000
    data[middle : middle + 512] = b"\xff" * 512
    path.write_bytes(data)
    plan = ImportPlan(scene="x", output=tmp_path / "o.mcap", audio={"m": path})
    report, streams = imported(plan)
    assert len(streams["m"]) > 30
    assert one(report).dropped["corrupt"] >= 1


def test_a_file_ends_where_its_container_cannot_be_read_any_further() -> None:
    class Torn:
        def demux(self, stream: str) -> Iterator[str]:
            yield from (f"{stream} {n}" for n in range(3))
            raise av.error.InvalidDataError(1, "torn")

    report = InputReport("v", "video", "v.mp4")
    assert list(packets(Torn(), "packet", report)) == ["packet 0", "packet 1", "packet 2"]
    assert report.notes == ["it is damaged: the rest of it cannot be read"]


def test_sound_whose_rate_changes_on_the_way_goes_on(tmp_path: Path) -> None:
    parts = [
        write_clip(tmp_path / f"{rate_hz}.aac", seconds=2.0, video=None, rate_hz=rate_hz)
        for rate_hz in (16_000, 8_000)
    ]
    (tmp_path / "a.aac").write_bytes(b"".join(part.read_bytes() for part in parts))
    plan = ImportPlan(scene="x", output=tmp_path / "o.mcap", audio={"m": tmp_path / "a.aac"})
    _, streams = imported(plan)
    heard = np.concatenate([a.sample.data for a in streams["m"]])[:, 0]  # type: ignore[arg-type]
    assert len(heard) / 16_000 == pytest.approx(4.0, abs=0.3)
    assert dominant_hz(heard[-16_000:], 16_000) == pytest.approx(440, abs=2)


def test_a_codec_that_is_not_known_is_refused_with_a_reason(tmp_path: Path) -> None:
    path = footage(tmp_path / "v.mkv", 3)
    path.write_bytes(path.read_bytes().replace(b"V_FFV1", b"V_NONE"))
    plan = ImportPlan(scene="x", output=tmp_path / "o.mcap", video={"v": path})
    with pytest.raises(RecordingError, match="video that cannot be decoded"):
        run_import(plan)


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
        ({"text": "notes.txt"}, RecordingError, "no line says when it was written"),
        ({"video": "v.mkv", "video_times": "."}, SourceUnavailable, "a folder"),
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


def test_an_import_that_fails_leaves_the_old_recording(tmp_path: Path) -> None:
    def fail(done_ns: int, total_ns: int) -> None:
        raise RecordingError(f"the disk is full after {done_ns} of {total_ns}")

    wav, made = sound(tmp_path / "a.wav", 800), tmp_path / "o.mcap"
    plan = ImportPlan(scene="x", output=made, audio={"m": wav}, overwrite=True)
    for before in (False, True):
        with pytest.raises(RecordingError, match="disk is full"):
            run_import(plan, fail)
        assert made.exists() == before
        assert sorted(tmp_path.iterdir()) == sorted([wav, made] if before else [wav])
        run_import(plan)
    with Recording(made) as recording:
        assert recording.truncated is None
    assert sorted(tmp_path.iterdir()) == sorted([wav, made])


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
