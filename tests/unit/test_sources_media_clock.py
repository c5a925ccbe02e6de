"""From a medium's own time to node time."""

from __future__ import annotations

import numpy as np

from pipeline.sources.media_clock import FilePtsClock, LivePtsClock
from pipeline.sources.media_sound import SampleCounter

MS = 1_000_000
SECOND = 1000 * MS
TRUE_OFFSET = 1_700_000_000 * SECOND


def live_packets(count, period_ns, *, first_pts=0, drift=0.0, seed=1, delay_ms=40.0):
    """PTS and arrival of packets with a smallest delay of 5 ms and jitter above."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        pts = first_pts + number * period_ns
        true = TRUE_OFFSET + int(number * period_ns * (1 + drift))
        yield pts, true, true + int((5 + rng.exponential(delay_ms)) * MS)


def test_stamps_follow_the_smallest_delay_not_the_jitter():
    clock = LivePtsClock()
    errors = []
    for pts, true, arrival in live_packets(600, 100 * MS):
        timeline = clock.place("video", pts, arrival)
        errors.append(timeline.stamp(pts) - true)
    assert np.abs(np.array(errors[100:]) - 5 * MS).max() < 6 * MS
    assert timeline.uncertainty_ns > 5 * MS


def test_a_drift_of_the_sender_is_followed():
    clock = LivePtsClock()
    for pts, true, arrival in live_packets(18_000, 100 * MS, drift=100e-6, delay_ms=5.0):
        timeline = clock.place("video", pts, arrival)
        error = timeline.stamp(pts) - true
    assert abs(error - 5 * MS) < 10 * MS  # without following it would be 180 ms
    assert clock.resets == 0


def test_a_burst_at_the_start_is_stamped_right_once_settled():
    clock = LivePtsClock()
    for number in range(20):  # two seconds that the server had buffered
        timeline = clock.place("video", number * 100 * MS, TRUE_OFFSET + 2 * SECOND)
    assert not timeline.settled(TRUE_OFFSET + 2 * SECOND)
    for number in range(20, 26):
        timeline = clock.place("video", number * 100 * MS, TRUE_OFFSET + number * 100 * MS)
    assert timeline.settled(TRUE_OFFSET + 2600 * MS)
    assert abs(timeline.stamp(0) - TRUE_OFFSET) <= 100 * MS


def test_picture_and_sound_share_one_timeline():
    clock = LivePtsClock()
    video = clock.place("video", 1000 * MS, TRUE_OFFSET + 1200 * MS)
    audio = clock.place("audio", 1000 * MS, TRUE_OFFSET + 1010 * MS)
    assert video is audio
    assert video.stamp(1000 * MS) == TRUE_OFFSET + 1010 * MS


def test_sound_counts_from_its_end_because_it_cannot_arrive_before():
    clock = LivePtsClock()
    timeline = clock.place("audio", 0, TRUE_OFFSET + 130 * MS, lasts_ns=128 * MS)
    timeline = clock.place("audio", 128 * MS, TRUE_OFFSET + 258 * MS, lasts_ns=128 * MS)
    assert timeline.stamp(0) == TRUE_OFFSET + 2 * MS


def test_time_that_starts_from_zero_again_begins_a_new_epoch_for_every_track():
    clock = LivePtsClock()
    now = TRUE_OFFSET
    for number in range(100):
        clock.place("video", 50 * SECOND + number * 100 * MS, now + number * 100 * MS)
        clock.place("audio", 50 * SECOND + number * 100 * MS, now + number * 100 * MS)
    last = clock.place("video", 60 * SECOND, now + 10 * SECOND)
    video = clock.place("video", 0, now + 11 * SECOND)
    straggler = clock.place("audio", 60 * SECOND, now + 11 * SECOND)
    audio = clock.place("audio", 20 * MS, now + 11 * SECOND)
    assert (last.epoch, video.epoch) == (0, 1)
    assert straggler is last
    assert audio is video
    assert clock.resets == 1
    assert video.stamp(0) > last.stamp(60 * SECOND)


def test_a_jump_ahead_begins_a_new_epoch_but_a_late_burst_does_not():
    clock = LivePtsClock()
    clock.place("video", 0, TRUE_OFFSET)
    late = clock.place("video", 100 * MS, TRUE_OFFSET + 10 * SECOND)
    assert late.epoch == 0
    ahead = clock.place("video", 3600 * SECOND, TRUE_OFFSET + 10 * SECOND)
    assert ahead.epoch == 1
    assert ahead.stamp(3600 * SECOND) == TRUE_OFFSET + 10 * SECOND


def test_a_file_whose_time_resets_goes_on_without_a_gap_in_a_new_epoch():
    clock = FilePtsClock(TRUE_OFFSET)
    for number in range(20):
        timeline = clock.place("video", 7 * SECOND + number * 100 * MS, 100 * MS)
    assert timeline.stamp(7 * SECOND) == TRUE_OFFSET
    again = clock.place("video", 0, 100 * MS)
    assert again.epoch == 1
    assert again.stamp(0) == TRUE_OFFSET + 2 * SECOND


def test_lost_sound_advances_the_position_and_rounding_does_not():
    counter = SampleCounter(8000)
    assert counter.place(0, 160) == 0
    assert counter.place(20 * MS + 400_000, 160) == 160
    assert counter.place(60 * MS, 160) == 480  # one packet of 20 ms is missing
    assert counter.place(80 * MS, 160) == 640


def test_the_position_never_goes_back_when_time_does():
    counter = SampleCounter(8000)
    counter.place(0, 160)
    assert counter.place(20 * MS, 160) == 160
    assert counter.place(10 * MS, 160) == 320
    assert counter.place(30 * MS, 160) == 480
    assert counter.place(70 * MS, 160) == 800


def reported(clock, count=30, *, behind_ms=80, wrong_first=True, first=0, sender_ahead_ns=0):
    """Picture and sound of a sender that tells its time, arriving `behind_ms` after it at least.

    Returns:
        Timelines by packet of the picture.
    """
    found = []
    for number in range(first, first + count):
        pts = number * 100 * MS
        wall = TRUE_OFFSET + pts + sender_ahead_ns
        arrival = TRUE_OFFSET + pts + behind_ms * MS + number % 3 * MS
        early = wrong_first and number == first
        found.append(clock.place("video", pts, arrival, 0, wall + early * 100 * MS))
        clock.place("audio", pts, arrival, 10 * MS, wall)
    return found


def test_a_sender_that_is_believed_gives_the_stamps_and_begins_a_new_epoch_once():
    clock = LivePtsClock()
    timelines = reported(clock)
    assert clock.by_sender
    assert len({id(one) for one in timelines}) == 1  # so nothing is decoded anew
    assert (timelines[-1].epoch, clock.resets) == (1, 0)
    assert timelines[-1].stamp(2900 * MS) == TRUE_OFFSET + 2900 * MS
    assert 60 * MS < timelines[-1].uncertainty_ns <= 80 * MS  # what it claims the way took


def test_a_sender_is_believed_only_as_far_as_packets_cannot_arrive_before_they_happened():
    clock = LivePtsClock()
    timeline = reported(clock, behind_ms=0)[-1]  # sound of 10 ms is there before its end
    assert clock.by_sender
    assert timeline.stamp(0) == TRUE_OFFSET - 10 * MS


def test_a_clock_that_is_off_is_not_believed_unless_told_to():
    for hours in (-1, 1):
        by_default, told = LivePtsClock(), LivePtsClock(sender_time="always")
        for clock in (by_default, told):
            timeline = reported(clock, sender_ahead_ns=hours * 3600 * SECOND)[-1]
        assert not by_default.by_sender
        assert told.by_sender
        assert timeline.stamp(0) == TRUE_OFFSET + hours * 3600 * SECOND


def test_a_sender_is_not_asked_where_that_is_unwanted():
    clock = LivePtsClock(sender_time="never")
    timeline = reported(clock)[-1]
    assert not clock.by_sender
    assert timeline.epoch == 0
    assert timeline.stamp(0) == TRUE_OFFSET + 70 * MS


def test_reports_count_when_every_track_that_is_read_has_them_and_they_agree():
    alone, both = LivePtsClock(tracks=["video"]), LivePtsClock()
    apart = LivePtsClock()
    for number in range(30):
        pts, now = number * 100 * MS, TRUE_OFFSET + number * 100 * MS + 80 * MS
        for clock in (alone, both, apart):
            clock.place("video", pts, now, 0, TRUE_OFFSET + pts)
        both.place("audio", pts, now)
        apart.place("audio", pts, now, 0, TRUE_OFFSET + pts + 50 * MS)
    assert (alone.by_sender, both.by_sender, apart.by_sender) == (True, False, False)


def test_tracks_that_agree_no_longer_end_the_belief():
    clock = LivePtsClock()
    reported(clock)
    for number in range(30, 60):
        pts = number * 100 * MS
        now = TRUE_OFFSET + pts + 80 * MS
        timeline = clock.place("video", pts, now, 0, TRUE_OFFSET + pts)
        clock.place("audio", pts, now, 0, TRUE_OFFSET + pts + 50 * MS)
    assert not clock.by_sender
    assert timeline.epoch == 2


def test_a_sender_whose_clock_goes_wrong_is_left_and_tried_again_after_a_minute():
    clock = LivePtsClock()
    reported(clock)
    wrong = reported(clock, first=30, sender_ahead_ns=-2 * SECOND)
    assert not clock.by_sender
    assert wrong[-1].epoch == 2
    right = reported(clock, first=60, count=400)
    assert not clock.by_sender
    assert right[-1].epoch == 2
    again = reported(clock, first=460, count=300)
    assert clock.by_sender
    assert again[-1].epoch == 3
