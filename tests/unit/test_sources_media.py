"""The media source on files made on the spot."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import av
import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.core.clock import NodeClock
from pipeline.core.errors import SourceEnded, SourceUnavailable
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Encoding, Modality
from pipeline.sources.media import MediaSettings
from pipeline.sources.media_clock import FileTimeline
from pipeline.sources.media_picture import PictureFormat
from pipeline.sources.media_tracks import AudioTrack, VideoTrack
from tests.media_files import HEIGHT, WIDTH, dominant_hz, picture, write_clip
from tests.unit.sources import context, read_count

START = datetime(2024, 3, 1, 12, tzinfo=UTC)
START_NS = int(START.timestamp()) * 1_000_000_000
SECOND_NS = 1_000_000_000


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("media") / "clip.mp4")


def settings(path, **more):
    defaults = {"video": "cam", "audio": "mic", "pace": "max", "start": START}
    return MediaSettings(file=path, **{**defaults, **more})


def read_all(own):
    ctx, refusals = context(NodeClock())
    source = own.build(ctx)
    infos, samples = source.open(), []
    try:
        while True:
            samples.extend(source.read(5.0))
    except SourceEnded:
        return infos, samples, refusals
    finally:
        source.close()


def of(samples, name):
    return [s for s in samples if s.stream == name]


def test_a_file_gives_every_picture_and_every_sample_at_its_exact_time(clip):
    infos, samples, refusals = read_all(settings(clip))
    video, audio = infos
    assert (video.modality, video.rate_hz, video.shape) == (Modality.VIDEO, 10, (HEIGHT, WIDTH, 3))
    assert (audio.modality, audio.rate_hz, audio.shape) == (Modality.AUDIO, 16_000, (1,))
    assert video.stamp == audio.stamp == "exact"
    stamps = np.array([s.timestamp_ns for s in of(samples, "cam")])
    assert len(stamps) == 20
    assert np.all(np.abs(np.diff(stamps) - SECOND_NS // 10) <= 1)
    assert stamps[0] == of(samples, "mic")[0].timestamp_ns == START_NS
    assert not refusals
    assert {s.uncertainty_ns for s in samples} == {0}


@pytest.mark.parametrize(("kind", "codec"), [("h264", "h264"), ("mjpeg", "mjpeg")])
def test_a_raw_file_goes_by_the_rate_it_announces(tmp_path, kind, codec):
    fps = 20 if kind == "h264" else 25  # Motion JPEG announces none: FFmpeg's usual one is taken
    path = write_clip(tmp_path / f"clip.{kind}", video=codec, audio=None, fps=fps)
    infos, samples, refusals = read_all(settings(path, audio=None))
    assert (infos[0].stamp, infos[0].rate_hz) == ("exact", fps)
    stamps = np.array([s.timestamp_ns for s in samples]) - START_NS
    assert np.all(np.abs(stamps - np.arange(2 * fps) * SECOND_NS // fps) <= 1)
    assert not refusals


def test_positions_count_every_sample_of_the_sound(clip):
    _, samples, _ = read_all(settings(clip))
    sound = of(samples, "mic")
    assert all(s.encoding is Encoding.PCM and s.data.dtype == np.int16 for s in sound)
    lengths = np.cumsum([0] + [len(s.data) for s in sound])
    assert [s.position for s in sound] == lengths[:-1].tolist()
    first = sound[0].timestamp_ns
    for s in sound:
        assert abs(s.timestamp_ns - first - s.position * SECOND_NS // 16_000) <= 1000
    pcm = np.concatenate([s.data[:, 0] for s in sound])
    assert dominant_hz(pcm, 16_000) == pytest.approx(440, abs=2)


def test_sound_is_resampled_and_mixed_to_what_is_asked_for(clip):
    infos, samples, _ = read_all(settings(clip, video=None, audio_hz=8000, audio_channels=2))
    assert (infos[0].rate_hz, infos[0].shape) == (8000, (2,))
    pcm = np.concatenate([s.data for s in samples])
    assert pcm.shape[1] == 2
    assert len(pcm) == pytest.approx(16_000, abs=1100)
    assert dominant_hz(pcm[:, 1], 8000) == pytest.approx(440, abs=2)


def test_pictures_come_as_jpeg_that_looks_like_the_raw_picture(clip):
    _, jpegs, _ = read_all(settings(clip, audio=None))
    _, raws, _ = read_all(settings(clip, audio=None, jpeg_quality=None))
    assert {s.encoding for s in jpegs} == {Encoding.JPEG}
    assert {s.encoding for s in raws} == {Encoding.RAW}
    for number in (0, 7, 19):
        raw = raws[number].data
        decoded = cv2.imdecode(np.frombuffer(jpegs[number].data, np.uint8), cv2.IMREAD_COLOR)
        assert raw.shape == decoded.shape == (HEIGHT, WIDTH, 3)
        assert np.abs(raw.astype(int) - decoded).mean() < 4
        assert np.abs(raw.astype(int) - picture(number)).mean() < 8


def test_pictures_are_scaled_down_never_up_and_keep_their_aspect(clip):
    infos, samples, _ = read_all(settings(clip, audio=None, width=160, jpeg_quality=None))
    assert infos[0].shape == (120, 160, 3)
    assert samples[0].data.shape == (120, 160, 3)
    infos, _, _ = read_all(settings(clip, audio=None, width=1920))
    assert infos[0].shape == (HEIGHT, WIDTH, 3)


def test_a_rate_limit_leaves_evenly_spaced_pictures(clip):
    infos, samples, _ = read_all(settings(clip, audio=None, video_hz=5))
    assert infos[0].rate_hz == 5
    stamps = np.array([s.timestamp_ns for s in samples])
    assert len(stamps) == 10
    assert np.all(np.abs(np.diff(stamps) - SECOND_NS // 5) <= 1)


def test_motion_jpeg_passes_through_untouched(tmp_path):
    path = write_clip(tmp_path / "m.avi", video="mjpeg", audio=None)
    _, samples, refusals = read_all(settings(path, audio=None))
    assert len(samples) == 20
    assert not refusals
    content = path.read_bytes()
    assert all(s.encoding is Encoding.JPEG and s.data in content for s in samples)


def test_a_loop_goes_on_with_stamps_and_positions_without_a_gap(clip):
    ctx, _ = context(NodeClock())
    source = settings(clip, loop=True).build(ctx)
    source.open()
    samples = read_count(source, 250)
    source.close()
    video = np.array([s.timestamp_ns for s in of(samples, "cam")])
    assert len(video) > 45
    assert np.all(np.abs(np.diff(video) - SECOND_NS // 10) < 70_000_000)
    assert np.all(np.diff(video) > 0)
    sound = of(samples, "mic")
    assert len({s.epoch for s in samples}) == 1
    for s in sound:
        expected = (s.timestamp_ns - sound[0].timestamp_ns) * 16_000 / SECOND_NS
        assert abs(s.position - expected) <= 130  # at most the 8 ms of its tolerance


def test_real_time_pace_gives_samples_when_the_clock_reaches_their_stamps(clip):
    clock = NodeClock()
    ctx, _ = context(clock)
    source = settings(clip, pace="real_time", start=None).build(ctx)
    infos = source.open()
    begun = time.monotonic()
    early = []
    samples = []
    while len(of(samples, "cam")) < 8:
        batch = source.read(1.0)
        early += [s for s in batch if s.timestamp_ns > clock.now_ns()]
        samples += batch
    source.close()
    assert infos[0].stamp == "pts"
    assert not early
    assert time.monotonic() - begun >= 0.6


def test_read_returns_in_time_when_nothing_is_due(clip):
    ctx, _ = context(NodeClock())
    source = settings(clip, pace="real_time", audio=None, video_hz=1).build(ctx)
    source.open()
    read_count(source, 1)
    begun = time.monotonic()
    assert list(source.read(0.1)) == []
    assert time.monotonic() - begun < 0.8
    source.close()


def test_damaged_packets_are_counted_and_the_rest_is_read(tmp_path):
    path = write_clip(tmp_path / "m.avi", video="mjpeg", audio=None)
    content = bytearray(path.read_bytes())
    places = [i for i in range(len(content) - 1) if content[i : i + 2] == b"\xff\xd8"]
    for place in places[5:8]:
        content[place : place + 2] = b"\0\0"
    path.write_bytes(content)
    _, samples, refusals = read_all(settings(path, audio=None))
    assert len(samples) == 17
    assert refusals == {("cam", DropReason.CORRUPT): 3}


def test_damaged_video_that_must_be_decoded_is_counted(tmp_path):
    path = write_clip(tmp_path / "c.ts", video="mpeg2video", audio=None, seconds=4)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = b"\xff" * 3000
    path.write_bytes(content)
    _, samples, _ = read_all(settings(path, audio=None))
    assert 20 <= len(samples) <= 40


def feed_without_times(path, kind, missing, jpeg_quality=None):
    """Stamps of what a track gives, and refusals, when some of its packets have no time."""
    _, refusals = context()
    with av.open(str(path)) as container:
        stream = container.streams.get(**{kind: 0})[0]
        if kind == "video":
            form = PictureFormat(None, None, jpeg_quality)
            track = VideoTrack("t", stream, form, None, "pts", refusals)
        else:
            track = AudioTrack("t", stream, None, None, "pts", refusals)
        given = []
        for number, packet in enumerate(p for p in container.demux(stream) if p.size):
            if number in missing:
                packet.pts = packet.dts = None
            given += track.feed(packet, FileTimeline(0, 0))
    return [s.timestamp_ns for s in given], refusals


@pytest.mark.parametrize(
    ("video", "audio", "kind", "jpeg_quality"),
    [
        ("mjpeg", None, "video", None),
        ("mjpeg", None, "video", 85),
        (None, "pcm_s16le", "audio", None),
    ],
)
def test_what_has_no_time_is_skipped_before_the_first_and_counted_after_it(
    tmp_path, video, audio, kind, jpeg_quality
):
    path = write_clip(tmp_path / "clip.mkv", video=video, audio=audio)
    whole, _ = feed_without_times(path, kind, (), jpeg_quality)
    late_start, refusals = feed_without_times(path, kind, (0, 1), jpeg_quality)
    assert late_start == whole[2:]
    assert not refusals
    gap, refusals = feed_without_times(path, kind, (0, 5), jpeg_quality)
    assert gap == whole[1:5] + whole[6:]
    assert refusals == {("t", DropReason.CORRUPT): 1}


def test_a_missing_file_says_what_and_what_to_do(tmp_path):
    ctx, _ = context(NodeClock())
    source = settings(tmp_path / "none.mp4").build(ctx)
    with pytest.raises(SourceUnavailable, match=r"none\.mp4: No such file.*check the path"):
        source.open()


def test_a_file_that_is_no_medium_is_refused(tmp_path):
    path = tmp_path / "x.mp4"
    path.write_bytes(b"hello" * 100)
    ctx, _ = context(NodeClock())
    with pytest.raises(SourceUnavailable, match="cannot open"):
        settings(path).build(ctx).open()


def test_a_track_that_is_not_there_is_named(tmp_path):
    path = write_clip(tmp_path / "silent.mp4", audio=None)
    ctx, _ = context(NodeClock())
    source = settings(path).build(ctx)
    with pytest.raises(SourceUnavailable, match="has no audio, only video"):
        source.open()
    source.close()
    source.close()


def test_a_password_in_the_url_is_never_shown():
    own = MediaSettings(url="rtsp://me:geheim@127.0.0.1:1/x", video="cam")
    ctx, _ = context(NodeClock())
    with pytest.raises(SourceUnavailable) as caught:
        own.build(ctx).open()
    assert "geheim" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


def test_close_from_another_thread_ends_a_read(clip):
    ctx, _ = context(NodeClock())
    source = settings(clip, pace="real_time", audio=None, video_hz=1).build(ctx)
    source.open()
    read_count(source, 1)
    ended = threading.Event()

    def read():
        source.read(20.0)
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    source.close()
    assert ended.wait(10.0)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"video": None, "audio": None}, "name a stream"),
        ({"video": "a", "audio": "a"}, "different"),
        ({"pace": "max", "start": None}, "needs 'start'"),
        ({"url": "rtsp://x/y"}, "either 'url' or 'file'"),
        ({"start": "2024-01-01T00:00:00"}, "timezone"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, says):
    with pytest.raises(ValidationError, match=says):
        settings("x.mp4", **wrong)
