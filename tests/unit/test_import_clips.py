"""A folder of clips becomes one stream: sounds, footage and tables without a time of day."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.core.errors import ConfigError, RecordingError
from pipeline.core.timestamps import iso_ns
from pipeline.recording import Recording
from pipeline.recording.import_clips import PAUSE_S
from pipeline.recording.importing import ImportPlan, run_import
from tests.command_line import fusewatch
from tests.import_samples import RATE, footage, imported, number_of, one, sound, stamps_ms, table
from tests.media_files import write_clip


def clips(folder: Path, *names: str, seconds: float = 1.5) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sound(path, round(seconds * RATE))
    return folder


def test_sounds_follow_each_other_with_a_pause_in_which_nothing_is_made_up(tmp_path: Path) -> None:
    folder = clips(tmp_path / "in", "b.wav", "a.wav")
    plan = ImportPlan(scene="x", output=tmp_path / "o.mcap", audio={"m": folder})
    report, streams = imported(plan)
    assert [(clip.name, clip.start_s, clip.end_s) for clip in report.clips] == [
        ("a", 0.0, 1.5),
        ("b", 2.0 + PAUSE_S, 3.5 + PAUSE_S),
    ]
    samples = [arrival.sample for arrival in streams["m"]]
    assert [sample.sequence for sample in samples] == list(range(30))
    for sample in samples:  # stamps are where the positions say
        at_ns = (sample.timestamp_ns - report.start_ns) * RATE
        assert at_ns == sample.position * 1_000_000_000
    second = samples[15]
    assert second.position == (2 + PAUSE_S) * RATE
    np.testing.assert_array_equal(np.asarray(second.data).ravel()[:3], [0, 1, 2])
    assert (one(report).samples, one(report).faults) == (30, {})


def test_clips_of_the_same_name_are_of_the_same_time(tmp_path: Path) -> None:
    heard = clips(tmp_path / "heard", "day/1.wav", "day/2.wav", seconds=2.5)
    seen = tmp_path / "seen" / "day"
    seen.mkdir(parents=True)
    for name in ("1.avi", "2.avi", "3.avi"):
        footage(seen / name, frames=30)
    plan = ImportPlan(
        scene="x", output=tmp_path / "o.mcap", audio={"m": heard}, video={"v": seen.parent}
    )
    report, streams = imported(plan)
    begins_ms = [1000.0 * n * (3 + PAUSE_S) for n in range(3)]
    assert [clip.start_s * 1000 for clip in report.clips] == begins_ms
    first = [n for n, arrival in enumerate(streams["v"]) if number_of(arrival.sample) == 0]
    assert [stamps_ms(streams["v"])[n] for n in first] == begins_ms
    heard_ms = stamps_ms(streams["m"])
    assert [begin for begin in begins_ms if begin in heard_ms] == begins_ms[:2]


def live(path: Path) -> Path:
    """A Matroska file as a browser writes it, which does not say how long it is."""
    packed = write_clip(path.with_suffix(".avi"), seconds=12, video="mjpeg", audio=None)
    with (
        av.open(str(packed)) as whole,
        av.open(str(path), "w", format="matroska", options={"live": "1"}) as container,
    ):
        track = container.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.size:
                packet.stream = track
                container.mux(packet)
    packed.unlink()
    return path


def raw(path: Path) -> Path:
    """Pictures without a container."""
    return write_clip(path, seconds=12, audio=None)


def quiet_then_loud(path: Path) -> Path:
    """Sound in a format that says no length, which FFmpeg guesses by its bitrate."""
    parts = [
        write_clip(path.with_name(f"{hz}.aac"), seconds=6, video=None, frequency_hz=hz).read_bytes()
        for hz in (0, 440)
    ]
    for part in path.parent.glob("*0.aac"):
        part.unlink()
    path.write_bytes(b"".join(parts))
    return path


@pytest.mark.parametrize(
    ("made", "kind", "ending"),
    [(live, "video", "mkv"), (raw, "video", "h264"), (quiet_then_loud, "audio", "aac")],
)
def test_clips_that_do_not_say_how_long_they_are_keep_apart(
    tmp_path: Path, made: Callable[[Path], Path], kind: str, ending: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "b", "c"):
        made(folder / f"{name}.{ending}")
    plan = ImportPlan(scene="x", output=tmp_path / "o.mcap", **{kind: {"s": folder}})  # type: ignore[arg-type]
    report, _ = imported(plan)
    assert one(report).dropped == {}
    lengths = [clip.end_s - clip.start_s for clip in report.clips]
    assert lengths == pytest.approx([12, 12, 12], abs=0.3)


def test_what_is_no_clip_is_left_out_and_named(tmp_path: Path) -> None:
    folder = clips(tmp_path / "in", "a.wav", "sub/c.wav")
    (folder / "README.txt").write_text("about these sounds")
    (folder / ".cache").write_text("x")
    clips(folder, ".checkpoints/a-checkpoint.wav", "sub/.old/d.wav")
    sound(folder / "a.flac.wav")
    report, streams = imported(
        ImportPlan(scene="x", output=tmp_path / "o.mcap", audio={"m": folder})
    )
    assert one(report).faults == {"files left out": 1}
    (note,) = one(report).notes
    assert note.startswith("README.txt is left out: not a video or audio file")
    assert [clip.name for clip in report.clips] == ["a", "a.flac", "sub/c"]
    assert len(streams["m"]) == 15 + 30 + 15


def test_tables_of_one_machine_keep_their_own_times_or_follow_each_other(tmp_path: Path) -> None:
    dated, plain = tmp_path / "dated", tmp_path / "plain"
    for folder in (dated, plain):
        folder.mkdir()
    table(dated / "b.csv", "time,heat\n2024-05-01T08:00:00Z,1\n2024-05-01T08:00:01Z,2\n")
    table(dated / "a.csv", "time,heat\n2024-05-02T08:00:00Z,3\n2024-05-02T08:00:01Z,4\n")
    table(plain / "1.csv", "time,heat\n0,1\n1,2\n")
    table(plain / "2.csv", "time,heat\n0,3\n1,4\n")
    table(plain / "3.csv", "time,other\n0,3\n1,4\n")
    for folder, apart_s in ((dated, 86_400), (plain, 1 + PAUSE_S)):
        plan = ImportPlan(scene="x", output=folder / "o.mcap", sensors={"s": folder})
        report, streams = imported(plan)
        times = [arrival.sample.timestamp_ns for arrival in streams["s"]]
        values = [float(np.asarray(arrival.sample.data)[0]) for arrival in streams["s"]]
        assert values == [1, 2, 3, 4]
        assert [(at - times[0]) / 1e9 for at in times] == [0, 1, apart_s, apart_s + 1]
    assert one(report).notes == ["3.csv is left out: it is of another form than the first"]


def test_tables_whose_times_begin_late_keep_apart(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("1.csv", "2.csv"):
        table(folder / name, "time,heat\n100,1\n101,2\n102.5,3\n")
    plan = ImportPlan(scene="x", output=tmp_path / "o.mcap", sensors={"s": folder})
    report, streams = imported(plan)
    at_s = [ms / 1000 for ms in stamps_ms(streams["s"])]
    assert at_s == [100, 101, 102.5, 108 + 100, 108 + 101, 108 + 102.5]
    assert one(report).dropped == {}


def test_logs_that_were_rotated_are_one_again(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    line = "2024-05-01 08:00:{:02} app: {}".format
    (folder / "app.log").write_text(f"{line(30, 'five')}\n{line(40, 'six')}\n")
    (folder / "app.log.1").write_text(f"{line(20, 'three')}\n{line(25, 'four')}\n")
    with gzip.open(folder / "app.log.2.gz", "wt") as packed:
        packed.write(f"{line(0, 'one')}\n{line(10, 'two')}\n")
    (folder / "app.log.3.gz").write_bytes(b"no archive")
    (folder / "about").write_text("nothing with a time")
    plan = ImportPlan(scene="x", output=tmp_path / "o.mcap", text={"log": folder})
    report, streams = imported(plan)
    said = [str(arrival.sample.data).split(": ")[-1] for arrival in streams["log"]]
    assert said == ["one", "two", "three", "four", "five", "six"]
    assert report.start_ns == iso_ns("2024-05-01T08:00:00Z")
    assert one(report).faults == {"files left out": 2}
    assert "about is left out: no line says when it was written" in one(report).notes
    assert any("app.log.3.gz is left out: cannot be unpacked" in note for note in one(report).notes)
    assert any("taken for UTC" in note for note in one(report).notes)


def test_lines_without_a_date_keep_apart(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("1.txt", "2.txt"):
        (folder / name).write_text("[  100.5] up\n[  102.0] down\n")
    plan = ImportPlan(scene="x", output=tmp_path / "o.mcap", text={"log": folder})
    _, streams = imported(plan)
    assert stamps_ms(streams["log"]) == [100_500, 102_000, 207_500, 209_000]


def test_the_folder_that_a_clip_lies_in_labels_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = clips(tmp_path / "in", "leak/1.wav", "OK/1.wav", "normal/2.wav")
    labels = tmp_path / "labels.json"
    made = ["--scene", "pump", "--audio", folder, "-o", tmp_path / "pump.mcap"]
    assert fusewatch("import", *made, "--labels", labels) == 0
    said = capsys.readouterr().out
    assert "3 clips one after the other" in said
    assert "labels: 2 normal, 1 leak" in said
    assert json.loads(labels.read_text()) == [
        {"start_s": 0.0, "end_s": 1.5, "kind": "normal", "description": "OK/1"},
        {"start_s": 7.0, "end_s": 8.5, "kind": "leak", "description": "leak/1"},
        {"start_s": 14.0, "end_s": 15.5, "kind": "normal", "description": "normal/2"},
    ]
    with Recording(tmp_path / "pump.mcap") as recording:
        assert recording.scenes == {"pump": ("pump-audio",)}
    flat = ["--scene", "pump", "--audio", folder / "normal", "-o", tmp_path / "flat.mcap"]
    assert fusewatch("import", *flat, "--labels", labels) == 64
    assert not (tmp_path / "flat.mcap").exists()


def test_a_folder_without_a_clip_and_one_with_a_times_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    plan = ImportPlan(scene="x", output=tmp_path / "o.mcap", audio={"m": tmp_path / "in"})
    with pytest.raises(RecordingError, match="no audio in this folder"):
        run_import(plan)
    times = table(tmp_path / "times.csv", "index,seconds,present\n0,0,1\n1,1,1\n")
    plan = ImportPlan(
        scene="x", output=tmp_path / "o.mcap", audio={"m": tmp_path}, audio_times={"m": times}
    )
    with pytest.raises(ConfigError, match="folder of clips"):
        run_import(plan)
