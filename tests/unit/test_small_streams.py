"""Streams that a capture node sends small: what goes out, and what is kept of the full pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from nodes.record import DirectRecorder
from nodes.small_streams import SmallStreams, full_ring, kept_streams
from pipeline.config import check_file, load_deployment
from pipeline.config.deployment import Deployment
from pipeline.core.arrival import SampleArrived, StreamOpened
from pipeline.core.clock import ManualClock
from pipeline.core.errors import BadReading
from pipeline.core.jpeg import jpeg_size
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.recording.reader import Recording
from pipeline.recording.writer import RecordingWriter
from pipeline.sources.privacy import PrivateOutlet
from pipeline.transport.full_ring import FullRing
from tests.outlets import KeptOutlet

S = 1_000_000_000
INFO = StreamInfo("cam", Modality.VIDEO, 15.0, (360, 640, 3), "uint8")
DEPLOYMENT = """
name: d
nodes:
  pi: {{sources: [{{type: media, url: "rtsp://c", video: cam, audio: mic}}]}}
  other: {{sources: [{{type: camera, stream: yard}}]}}
streams:
  cam: {{small: {{width: 160, {more}}}}}
  yard: {{small: {{width: 160, keep_full_s: 0}}}}
scenes: {{s: {{streams: [cam, mic, yard]}}}}
"""


def deployment(folder: Path, more: str = "") -> Deployment:
    (folder / "d.yaml").write_text(DEPLOYMENT.format(more=more))
    return load_deployment(folder / "d.yaml")


def scene() -> np.ndarray:
    rows, columns = np.mgrid[0:360, 0:640]
    return np.stack([rows % 256, columns % 256, (rows + columns) % 256], -1).astype(np.uint8)


def jpeg(quality: int = 80) -> bytes:
    return bytes(simplejpeg.encode_jpeg(scene(), quality=quality, colorspace="BGR"))


def frame(number: int, data: object, encoding: Encoding = Encoding.JPEG) -> Sample:
    return Sample("cam", number, number * S // 15, data, encoding)  # type: ignore[arg-type]


def held(ring: FullRing) -> list[tuple[int, bytes]]:
    found, after = [], 0
    while (picture := ring.next("cam", after, -S, 10**6 * S)) is not None:
        found.append((picture.timestamp_ns, picture.jpeg))
        after = picture.order
    return found


def taken(streams: SmallStreams, *frames: Sample, placed: bool = True) -> list[Sample]:
    made = [streams.take(one, one.timestamp_ns, placed=placed) for one in frames]
    return [one for one in made if one is not None]


def test_a_jpeg_is_sent_small_and_kept_to_the_byte_under_the_same_stamp(tmp_path: Path) -> None:
    ring = full_ring(deployment(tmp_path), "pi")
    streams = SmallStreams(deployment(tmp_path), ring)
    assert streams.sent(INFO).shape == (90, 160, 3)
    (sent,) = taken(streams, frame(7, memoryview(jpeg())))
    assert jpeg_size(sent.data) == (90, 160)  # type: ignore[arg-type]
    assert held(ring) == [(sent.timestamp_ns, jpeg())]
    small = simplejpeg.decode_jpeg(sent.data, colorspace="BGR").astype(int)
    means = scene().reshape(90, 4, 160, 4, 3).mean((1, 3))
    assert np.abs(small - means)[10:50, 10:50].mean() < 6


def test_a_raw_picture_is_sent_raw_and_kept_as_a_jpeg_of_the_quality_asked_for(
    tmp_path: Path,
) -> None:
    sizes = []
    for quality in (40, 95):
        ours = deployment(tmp_path, f"keep_quality: {quality}")
        ring = full_ring(ours, "pi")
        (sent,) = taken(SmallStreams(ours, ring), frame(0, scene(), Encoding.RAW))
        assert sent.data.shape == (90, 160, 3)  # type: ignore[union-attr]
        assert not sent.data.flags.writeable  # type: ignore[union-attr]
        ((_, kept),) = held(ring)
        assert jpeg_size(kept) == (360, 640)
        sizes.append(len(kept))
    assert sizes[0] < sizes[1]


def test_fewer_are_sent_than_kept_and_those_that_are_not_sent_are_counted(tmp_path: Path) -> None:
    ours = deployment(tmp_path, "hz: 5")
    ring = full_ring(ours, "pi")
    streams = SmallStreams(ours, ring)
    assert streams.sent(INFO).rate_hz == 5.0
    sent = taken(streams, *(frame(n, jpeg()) for n in range(15)))
    assert len(sent) == 5
    assert streams.counters == {"not_sent": 10}
    assert len(held(ring)) == 15


def test_no_more_is_kept_than_was_allowed(tmp_path: Path) -> None:
    ours = deployment(tmp_path, "keep_full_s: 1, keep_full_mb: 0.1")
    ring = full_ring(ours, "pi")
    streams = SmallStreams(ours, ring)
    taken(streams, *(frame(n, jpeg()) for n in range(30)))
    assert sum(len(data) for _, data in held(ring)) <= 0.1 * 2**20
    ring.forget(30 * S)
    assert held(ring) == []
    counters = ring.counters
    assert counters["kept"] == 30 == counters["age"] + counters["room"]


def test_what_is_private_is_gone_before_anything_is_kept(tmp_path: Path) -> None:
    (tmp_path / "d.yaml").write_text(
        DEPLOYMENT.format(more="")
        .replace("cam: {small", "cam: {mask: {all: [[0, 0], [1, 0], [1, 1], [0, 1]]}, small")
        .replace("{{", "{")
    )
    ours = load_deployment(tmp_path / "d.yaml")
    ring = full_ring(ours, "pi")
    streams = SmallStreams(ours, ring)
    outlet = KeptOutlet()
    private = PrivateOutlet(outlet, ours.privacy)
    private.opened((INFO,))
    private.samples([frame(0, jpeg())])
    taken(streams, *outlet.kept)
    ((_, kept),) = held(ring)
    assert simplejpeg.decode_jpeg(kept).max() < 8


def test_a_picture_whose_time_is_not_known_is_sent_and_not_kept(tmp_path: Path) -> None:
    ours = deployment(tmp_path)
    ring = full_ring(ours, "pi")
    streams = SmallStreams(ours, ring)
    assert len(taken(streams, frame(0, jpeg()), placed=False)) == 1
    assert held(ring) == []
    assert streams.counters == {"untimed": 1}


def test_a_damaged_picture_is_neither_sent_nor_kept(tmp_path: Path) -> None:
    ours = deployment(tmp_path)
    ring = full_ring(ours, "pi")
    with pytest.raises(BadReading):
        taken(SmallStreams(ours, ring), frame(0, b"\xff\xd8 no picture"))
    assert held(ring) == []


def test_what_is_small_already_and_what_is_no_picture_goes_as_it_is(tmp_path: Path) -> None:
    ours = deployment(tmp_path)
    streams = SmallStreams(ours, full_ring(ours, "pi"))
    tiny = bytes(simplejpeg.encode_jpeg(scene()[:90, :160].copy(), colorspace="BGR"))
    sound = Sample("mic", 0, 0, np.zeros((10, 1), np.int16), Encoding.PCM)
    assert taken(streams, frame(0, tiny), sound) == [frame(0, tiny), sound]


def test_only_the_streams_of_a_node_that_are_to_be_kept_are(tmp_path: Path) -> None:
    ours = deployment(tmp_path)
    assert kept_streams(ours) == {"cam": "pi"}
    assert full_ring(ours, "other").streams == frozenset()
    assert ours.stream("yard").small is not None


def test_a_ring_too_short_for_an_event_is_warned_of_and_sound_cannot_be_small(
    tmp_path: Path,
) -> None:
    file = tmp_path / "d.yaml"
    deployment(tmp_path, "keep_full_s: 6")
    (warning,) = [str(p) for p in check_file(file).warnings if "full pictures" in str(p)]
    assert "write at least 9" in warning
    file.write_text(file.read_text().replace("yard: {small", "mic: {small"))
    assert any("'mic' is not a picture" in str(p) for p in check_file(file).problems)


def test_a_direct_recording_holds_what_would_have_been_sent(tmp_path: Path) -> None:
    made = tmp_path / "d.yaml"
    made.write_text(
        """
name: d
nodes:
  pi: {sources: [{type: scene, audio: null, sensor: null, speed: max, duration_s: 2}]}
streams:
  site-camera: {small: {width: 160, hz: 5}}
scenes: {s: {streams: [site-camera]}}
"""
    )
    file, clock = tmp_path / "r.mcap", ManualClock(10**18)
    recorder = DirectRecorder(load_deployment(made), RecordingWriter(file, deployment="d"), clock)
    recorder.start()
    while recorder.step(1.0):
        pass
    recorder.close()
    with Recording(file) as recording:
        arrivals = list(recording.arrivals())
    (info,) = [one.info for one in arrivals if isinstance(one, StreamOpened)]
    samples = [one.sample for one in arrivals if isinstance(one, SampleArrived)]
    assert (info.shape, info.rate_hz) == ((90, 160, 3), 5.0)
    assert [one.sequence for one in samples] == list(range(10))
    assert {jpeg_size(bytes(one.data)) for one in samples} == {(90, 160)}  # type: ignore[arg-type]
    (account,) = recorder.ledger.snapshot().values()
    assert (account.captured, account.delivered) == (10, 10)
