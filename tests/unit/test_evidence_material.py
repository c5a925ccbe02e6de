"""What is kept of an event is kept once, within a limit, and becomes a recording of all of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader

from pipeline.core.arrival import SampleArrived, StreamOpened
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.detection.evidence_material import Kept, LeftOut, Material, read_material
from pipeline.detection.evidence_recording import FULL, UNFIT, write_recording
from pipeline.detection.evidence_writer import Wanted
from pipeline.recording import Recording
from pipeline.recording.scores import RecordedScore
from tests.event_samples import event

S = 1_000_000_000
CAMERA = StreamInfo("cam", Modality.VIDEO, 10.0, (480, 640, 3), "uint8")
LOG = StreamInfo("log", Modality.TEXT)
PLC = StreamInfo("plc", Modality.SENSOR, 20.0, (1,), "float64")
SCORE = RecordedScore(scene="hall", index=7, start_ns=0, end_ns=S, score=4.0, threshold=3.0, p=1e-4)
WANTED = Wanted(event(), 0, ("cam", "log", "plc"), "cam", "", 0.0)


def arrived(stream: str, number: int, data: object, encoding: Encoding) -> SampleArrived:
    time_ns = number * S // 10
    return SampleArrived(time_ns + 5, "pi", Sample(stream, number, time_ns, data, encoding))


def frame(number: int, size: int = 100_000) -> SampleArrived:
    return arrived("cam", number, bytes([number]) * size, Encoding.JPEG)


def line(number: int, words: str) -> SampleArrived:
    return arrived("log", number, words, Encoding.UTF8)


def reading(number: int) -> SampleArrived:
    return arrived("plc", number, np.array([1.0 * number]), Encoding.FLOAT)


def kept_in(path: Path, things: list[Kept], limit: int = 2**20) -> list[Kept]:
    material = Material(path, limit)
    for thing in things:
        material.add(thing)
    material.close()
    return list(read_material(path))


def test_everything_comes_back_in_order_and_what_comes_twice_is_kept_once(tmp_path):
    opened = StreamOpened(3, "pi", LOG)
    things: list[Kept] = [opened, line(1, "a"), replace(line(1, "b")), SCORE, event()]
    assert kept_in(tmp_path / "m", [*things, *things]) == things
    assert kept_in(tmp_path / "m", [*things, line(2, "c")])[-1] == line(2, "c")


def test_who_was_cut_off_and_writes_on_does_not_disturb_who_took_over(tmp_path):
    cut_off = Material(tmp_path / "m", 2**20)
    cut_off.add(line(1, "a"))
    successor = Material(tmp_path / "m", 2**20)
    for material, words in ((cut_off, "lost"), (successor, "b"), (cut_off, "x" * 100)):
        material.add(line(2, words))
    for material in (cut_off, successor):
        material.close()
    assert list(read_material(tmp_path / "m")) == [line(1, "a"), line(2, "b")]


def test_small_raw_frames_stay_as_they_are_and_large_ones_become_jpeg(tmp_path):
    small, large = (np.full((high, 160, 3), 9, np.uint8) for high in (120, 480))
    things = [arrived("cam", n, d, Encoding.RAW) for n, d in enumerate((small, large))]
    first, second = (k.sample for k in kept_in(tmp_path / "m", things))
    assert first.encoding is Encoding.RAW and np.array_equal(first.data, small)
    assert second.encoding is Encoding.JPEG and second.nbytes < large.nbytes / 10


def test_beyond_the_limit_pictures_are_left_out_first_and_each_is_counted_once(tmp_path):
    things: list[Kept] = [frame(n) for n in range(12)]
    readings: list[Kept] = [reading(n) for n in range(50)]
    found = kept_in(tmp_path / "m", [*things, *readings, *things])
    pictures = [k for k in found if isinstance(k, SampleArrived) and k.sample.stream == "cam"]
    assert len(pictures) == 7, "three quarters of a MiB"
    assert [k for k in found if isinstance(k, LeftOut)] == [
        LeftOut("cam", n * S // 10) for n in range(7, 12)
    ]
    assert len(found) == 12 + 50
    assert (tmp_path / "m").stat().st_size < 2**20


def test_a_process_that_was_killed_goes_on_with_the_same_limit_and_counts(tmp_path):
    things: list[Kept] = [frame(n) for n in range(12)]
    at_once = kept_in(tmp_path / "one", things)
    kept_in(tmp_path / "two", things[:9])
    with (tmp_path / "two").open("ab") as torn:
        torn.write(b"\x30\x00\x00\x00half a record")
    assert kept_in(tmp_path / "two", things[5:]) == at_once


def test_the_recording_holds_streams_scores_and_the_event_and_says_what_is_missing(tmp_path):
    infos = [StreamOpened(0, "pi", info) for info in (CAMERA, LOG)]
    things: list[Kept] = [*infos, frame(1), line(1, "pump on"), SCORE, event(), LeftOut("cam", 7)]
    left_out = write_recording(tmp_path / "event.mcap", WANTED, [*things, reading(1)])
    assert left_out == {"cam": {FULL: 1}, "plc": {UNFIT: 1}}
    with Recording(tmp_path / "event.mcap") as recording:
        assert list(recording.arrivals()) == [*infos, frame(1), line(1, "pump on")]
        assert list(recording.scores()) == [SCORE]
        assert [told for _, told in recording.events()] == [event()]
        assert recording.scenes == {"hall": ("cam", "log", "plc")}
        assert recording.notes["event"] == event().id
        assert not recording.faults and not recording.truncated


def test_other_programs_read_the_scores_and_the_event_of_the_recording(tmp_path):
    write_recording(tmp_path / "event.mcap", WANTED, [SCORE, event()])
    with (tmp_path / "event.mcap").open("rb") as file:
        told = {
            channel.topic: (schema.name, message.log_time)
            for schema, channel, message in make_reader(file).iter_messages()
        }
    assert told == {
        "/fusewatch/scores": ("fusewatch.Score", S),
        "/fusewatch/events": ("fusewatch.Event", event().end_ns),
    }


def test_a_disk_that_is_full_is_told_and_what_was_kept_stays(tmp_path, monkeypatch):
    material = Material(tmp_path / "m", 2**20)
    material.add(line(1, "a"))
    monkeypatch.setattr("os.write", lambda file, data: 3)
    with pytest.raises(OSError, match="No space"):
        material.add(line(2, "b"))
    monkeypatch.undo()
    material.add(line(3, "c"))
    material.close()
    assert list(read_material(tmp_path / "m")) == [line(1, "a"), line(3, "c")]
