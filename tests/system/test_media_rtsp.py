"""The media source on a real RTSP server. One that is killed: see `tests.system.faults`."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.core.clock import NodeClock
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Encoding
from pipeline.sources.media import MediaSettings
from pipeline.sources.runner import SourceRunner
from tests.media_files import dominant_hz
from tests.outlets import KeptOutlet
from tests.requirements import shared_data
from tests.system.rtsp import (
    BEEP_HZ,
    RATE_HZ,
    RtspServer,
    transcode,
    write_flash_and_beep,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.system

SECOND_NS = 1_000_000_000


@pytest.fixture
def server(tmp_path):
    with RtspServer(write_flash_and_beep(tmp_path / "clip.mkv", 30)) as server:
        yield server


@pytest.fixture
def read():
    runners = []

    def start(url, clock=None, **more):
        outlet, clock = KeptOutlet(), clock or NodeClock()
        own = MediaSettings(url=url, video="cam", audio="mic", **more)
        runner = SourceRunner("yard", own, clock, outlet)
        runner.start()
        runners.append(runner)
        return runner, outlet, clock

    yield start
    for runner in runners:
        assert runner.stop(5.0)


def clock_ahead(seconds):
    """Node time as a node has it whose clock is ahead of the sender's."""
    return NodeClock(NodeClock().offset_ns + round(seconds * SECOND_NS))


def meanings(outlet):
    """What the stamps of picture and sound meant, each time it was said."""
    return [[info.stamp for info in infos] for infos in outlet.openings]


def stamps(samples):
    return np.array([s.timestamp_ns for s in samples])


def brightness(sample):
    return cv2.imdecode(np.frombuffer(sample.data, np.uint8), cv2.IMREAD_GRAYSCALE).mean()


def flash_onsets_ns(frames):
    bright = np.array([brightness(s) > 128 for s in frames])
    return stamps(frames)[1:][bright[1:] & ~bright[:-1]]


def beep_onsets_ns(chunks):
    """Onsets to the sample: the first loud sample after half a second of silence."""
    times = np.concatenate(
        [s.timestamp_ns + np.arange(len(s.data)) * SECOND_NS // RATE_HZ for s in chunks]
    )
    loud = np.flatnonzero(np.abs(np.concatenate([s.data[:, 0] for s in chunks])) > 4000)
    return times[loud[1:][np.diff(loud) > RATE_HZ // 2]]


def test_picture_and_sound_arrive_on_one_clock(server, read):
    runner, outlet, clock = read(server.url)
    wait_until(lambda: len(outlet.of("cam")) >= 45)
    now_ns = clock.now_ns()
    frames, chunks = outlet.of("cam"), outlet.of("mic")
    video, audio = outlet.openings[0]
    assert (video.shape, video.stamp) == ((240, 320, 3), "pts")
    assert (audio.rate_hz, audio.shape) == (RATE_HZ, (1,))
    assert {s.encoding for s in frames} == {Encoding.JPEG}
    periods = np.diff(stamps(frames)) / 1e9
    assert np.median(periods) == pytest.approx(0.1, abs=0.02)
    assert np.all(periods > 0)
    assert np.all(stamps(frames) <= now_ns)
    assert now_ns - stamps(frames)[-1] < 5 * SECOND_NS
    assert all(s.uncertainty_ns > 0 for s in frames)
    assert sum(len(s.data) for s in chunks) > 3 * RATE_HZ
    flashes, beeps = flash_onsets_ns(frames), beep_onsets_ns(chunks)
    nearest = [np.abs(beeps - flash).min() / 1e9 for flash in flashes]
    assert len(nearest) >= 3
    assert np.median(nearest) <= 0.1  # one frame: a flash shows with the frame it is in
    assert runner.status.restarts == 0


def test_no_picture_counts_as_corrupt_because_the_server_begins_without_a_time(server, read):
    for _ in range(2):
        runner, outlet, _ = read(server.url)
        wait_until(lambda outlet=outlet: len(outlet.of("cam")) >= 12 and outlet.of("mic"))
        assert runner.stop(5.0)
        assert outlet.refusals["cam", DropReason.CORRUPT] == 0, outlet.details
        assert outlet.refusals["mic", DropReason.CORRUPT] == 0, outlet.details
        assert np.diff(stamps(outlet.of("cam"))).max() < 0.15 * SECOND_NS  # none is missing


def test_stamps_become_the_senders_own_once_it_reports_its_time(server, read):
    # A clip is sent without delay and its sound, 0.1 s in each packet, even before it is over.
    runner, outlet, _ = read(server.url, clock_ahead(0.3))
    wait_until(lambda: len(outlet.of("cam", 1)) >= 35 and len(outlet.of("mic", 1)) >= 40)
    assert meanings(outlet) == [["pts", "pts"], ["sender", "sender"]]
    for name in ("cam", "mic"):
        before, after = stamps(outlet.of(name, 0)), stamps(outlet.of(name, 1))
        assert np.all(np.diff(before) > 0)
        assert np.all(np.diff(after) > 0)
        assert 0.08e9 < np.diff(after).mean() < 0.12e9  # nothing is lost at the change
        step = (after[0] - before[-1]) / 1e9
        assert step == pytest.approx(0.1 - 0.2, abs=0.06)  # a period on, and the delay back
    assert outlet.of("mic", 1)[0].position == 0
    assert all(0.15e9 < s.uncertainty_ns < 0.4e9 for s in outlet.of("cam", 1))
    frames, chunks = outlet.of("cam", 1), outlet.of("mic", 1)
    flashes, beeps = flash_onsets_ns(frames), beep_onsets_ns(chunks)
    assert np.median([np.abs(beeps - flash).min() / 1e9 for flash in flashes]) <= 0.1
    assert not outlet.refusals
    assert runner.status.restarts == 0


def test_a_sender_whose_clock_is_an_hour_off_is_not_believed(server, read):
    _, outlet, clock = read(server.url, clock_ahead(3600))
    wait_until(lambda: len(outlet.of("cam")) >= 70)
    assert {s.epoch for s in outlet.kept} == {0}
    assert meanings(outlet) == [["pts", "pts"]]
    assert abs(clock.now_ns() - stamps(outlet.of("cam"))[-1]) < 2 * SECOND_NS


def test_positions_of_the_sound_are_those_of_its_time(server, read):
    _, outlet, _ = read(server.url)
    wait_until(lambda: len(outlet.of("mic")) >= 30)
    chunks = outlet.of("mic")
    lengths = np.cumsum([len(s.data) for s in chunks])
    assert [s.position for s in chunks[1:]] == lengths[:-1].tolist()
    loud = np.concatenate([s.data[:, 0] for s in chunks]).astype(float)
    assert dominant_hz(loud, RATE_HZ) == pytest.approx(BEEP_HZ, abs=5)


def test_a_server_that_falls_silent_with_its_connection_open_is_noticed(server, read):
    runner, outlet, _ = read(server.url)
    wait_until(lambda: len(outlet.of("cam")) >= 5)
    server.freeze()
    wait_until(lambda: runner.status.restarts >= 1, 10)
    server.thaw()
    wait_until(lambda: len(outlet.of("cam", 1)) >= 5)
    assert np.all(np.diff(stamps(outlet.of("cam"))) > 0)


def test_pictures_are_thinned_scaled_and_raw_when_asked_for(server, read):
    _, outlet, _ = read(server.url, video_hz=5, width=160, jpeg_quality=None, audio_hz=16_000)
    wait_until(lambda: len(outlet.of("cam")) >= 8 and len(outlet.of("mic")) >= 5)
    frames = outlet.of("cam")
    assert frames[0].data.shape == (120, 160, 3)
    assert np.median(np.diff(stamps(frames))) == pytest.approx(0.2e9, rel=0.05)
    assert outlet.openings[0][1].rate_hz == 16_000


def test_real_footage_with_real_ambience_comes_through(tmp_path, read):
    clip = transcode(
        shared_data("video_vtest/vtest.avi"),
        shared_data("ambience_blanket/city.ogg"),
        tmp_path / "yard.mkv",
        seconds=10,
    )
    with RtspServer(clip) as server:
        runner, outlet, _ = read(server.url)
        wait_until(lambda: len(outlet.of("cam")) >= 30 and len(outlet.of("mic")) >= 20)
        assert outlet.openings[0][0].shape == (576, 768, 3)
        picture = cv2.imdecode(np.frombuffer(outlet.of("cam")[-1].data, np.uint8), 1)
        assert picture.std() > 20
        assert np.concatenate([s.data for s in outlet.of("mic")]).std() > 10
        assert runner.stop(5.0)


def test_the_end_of_what_the_server_has_is_a_loss_and_it_is_opened_again(tmp_path, read):
    with RtspServer(write_flash_and_beep(tmp_path / "short.mkv", 3)) as server:
        runner, outlet, _ = read(server.url)
        wait_until(lambda: len(outlet.of("cam", 1)) >= 5)
        assert runner.status.restarts >= 1
        assert np.all(np.diff(stamps(outlet.of("cam"))) > 0)
