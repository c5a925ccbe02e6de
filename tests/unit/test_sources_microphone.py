"""Counting blocks, their times and when they are given, without a sound system."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tests.requirements import require_module

require_module("sounddevice")

from pipeline.core.errors import DependencyMissing, SourceUnavailable  # noqa: E402

try:
    from pipeline.core.clock import ManualClock
    from pipeline.core.ledger import DropReason
    from pipeline.sources.microphone import MicrophoneSettings, MicrophoneSource
    from pipeline.sources.sound_blocks import Block, BlockClock, BlockCounter, adc_time_ns
except DependencyMissing as error:
    from tests.requirements import missing

    missing(str(error))

from tests.unit.sources import context  # noqa: E402

MS = 1_000_000
START = 1_700_000_000_000_000_000
PCM = np.zeros((640, 1), np.int16)


def times(delay_s):
    return SimpleNamespace(currentTime=100.0, inputBufferAdcTime=100.0 - delay_s)


def test_the_converters_time_is_put_on_the_nodes_clock():
    assert adc_time_ns(times(0.25), 640, 16_000, START) == START - 250 * MS


@pytest.mark.parametrize("delay_s", [0.0, -5.0, 1.7e9])
def test_a_converter_time_that_cannot_be_is_replaced_by_the_length_of_the_block(delay_s):
    assert adc_time_ns(times(delay_s), 640, 16_000, START) == START - 40 * MS


def put(counter, at_ms, *, overflow=False, converted_ms=None):
    """A block handed over at `at_ms`, converted 40 ms before unless it says otherwise."""
    adc_ms = at_ms - 40 if converted_ms is None else converted_ms
    adc_ns, now_ns = START + int(adc_ms * MS), START + int(at_ms * MS)
    return counter.block(adc_ns, now_ns, PCM, overflow=overflow)


def test_positions_count_samples():
    counter = BlockCounter(16_000)
    blocks = [put(counter, n * 40) for n in range(5)]
    assert [b.position for b in blocks] == [0, 640, 1280, 1920, 2560]
    assert {b.lost for b in blocks} == {0}


def test_an_overflow_advances_the_position_by_what_was_lost():
    counter = BlockCounter(16_000)
    for n in range(10):
        put(counter, n * 40)
    late = put(counter, 10 * 40 + 100, overflow=True)
    assert (late.lost, late.position) == (1600, 6400 + 1600)
    after = put(counter, 11 * 40 + 100)
    assert (after.position, after.lost) == (8640, 0)


def test_an_overflow_of_unknown_length_is_said_to_be_unknown():
    counter = BlockCounter(16_000)
    put(counter, 0)
    block = put(counter, 40, overflow=True)
    assert (block.lost, block.position) == (None, 640)


def test_a_long_gap_counts_even_when_the_driver_does_not_report_it():
    counter = BlockCounter(16_000)
    put(counter, 0)
    assert put(counter, 1040).lost == 16_000


def test_a_sound_server_that_corrects_the_converters_time_loses_no_samples():
    counter = BlockCounter(16_000)
    put(counter, 0, converted_ms=-500)
    block = put(counter, 40, converted_ms=0)
    assert (block.lost, block.position) == (0, 640)


def test_blocks_handed_over_late_by_a_busy_machine_lose_no_samples():
    counter = BlockCounter(16_000)
    put(counter, 0)
    blocks = [put(counter, 900, converted_ms=40 * n) for n in range(20)]
    assert {b.lost for b in blocks} == {0}


def given(delays_ms, *, late_ms=None):
    """What comes of blocks that begin 40 ms apart, with the delays the driver says for each.

    Block `n` truly began at ``START + 40 * n`` ms and is handed over 41 ms later, and by
    `late_ms` of its number later still. Returns for each the number of the block at which it
    was given, and what was given.
    """
    clock, out = BlockClock(16_000), []
    for n, delay_ms in enumerate(delays_ms):
        handed_ns = START + int((n * 40 + 41 + (late_ms or {}).get(n, 0)) * MS)
        block = Block(handed_ns - int(delay_ms * MS), handed_ns, n * 640, 0, PCM)
        out += [(n, stamped) for stamped in clock.take(block)]
    return out


def errors_ms(out):
    return np.array([(s.timestamp_ns - START) / MS - s.block.position / 16 for _, s in out])


def test_blocks_of_an_honest_driver_are_given_after_seven():
    out = given([41] * 20)
    assert [n for n, _ in out] == [6] * 7 + list(range(7, 20))
    assert [s.block.position for _, s in out] == [640 * n for n in range(20)]
    assert not errors_ms(out).any()
    assert {s.uncertainty_ns for _, s in out} == {MS}


STALE = [766.0] * 13 + [766.0 - 40 * n for n in range(1, 18)]
"""What PulseAudio said of a sink that was idle: too much for half a second, then ever less."""


def test_a_delay_that_is_at_first_said_too_long_moves_no_stamp():
    out = given([*STALE, *[41.0] * 70])
    assert [s.block.position for _, s in out] == [640 * n for n in range(100)]
    assert np.abs(errors_ms(out)).max() <= 10
    assert np.abs(errors_ms(out)[40:]).max() == 0
    assert out[0][0] < 36  # 1.4 s after the first
    doubts_ms = np.array([s.uncertainty_ns / MS for _, s in out])
    assert (np.abs(errors_ms(out)) <= doubts_ms).all()


def test_a_time_that_still_rises_is_not_taken_though_it_leaves_no_room():
    ahead = [n - 38.0 for n in STALE] + [3.0] * 70  # a sink that renders a block ahead
    out = given(ahead)
    assert np.abs(errors_ms(out) - 38).max() <= 10


def test_blocks_are_held_for_a_second_and_a_half_at_most_and_doubt_says_how_far_off():
    out = given([500.0] * 50)
    assert out[0][0] == 38  # 1.52 s
    assert len(out) == 50
    assert (errors_ms(out) == -459).all()
    assert {s.uncertainty_ns for _, s in out} == {460 * MS}


def test_a_backlog_handed_over_in_a_burst_is_stamped_from_its_end():
    clock, out = BlockClock(16_000), []
    for n in range(100):  # the first 2 s at once, and the driver does not know
        handed_ns = START + max(n * 40, 2000) * MS
        out += clock.take(Block(handed_ns - 40 * MS, handed_ns, n * 640, 0, PCM))
    off_ms = [(s.timestamp_ns - START) / MS + 40 - s.block.position / 16 for s in out]
    assert [s.block.position for s in out] == [640 * n for n in range(100)]
    assert 0 <= min(off_ms) <= max(off_ms) <= 40


def test_a_long_delay_that_lasts_is_believed():
    out = given([241.0] * 260)
    assert out[0][1].uncertainty_ns == 201 * MS
    assert out[-1][1].uncertainty_ns == MS


def test_a_latency_that_changes_later_moves_no_stamp_but_raises_the_doubt():
    out = given(
        [*[41.0] * 100, *[341.0] * 15, *[341.0 - 40 * n for n in range(1, 8)], *[41.0] * 50]
    )
    assert not errors_ms(out).any()
    assert out[110][1].uncertainty_ns == 300 * MS
    assert out[-1][1].uncertainty_ns == MS


def test_blocks_handed_over_late_by_a_busy_machine_move_no_stamp():
    late_ms = {n: 60 for n in range(100) if n % 3 == 0}
    out = given([41.0] * 100, late_ms=late_ms)
    assert not errors_ms(out).any()


def test_a_time_that_moved_for_good_is_followed_both_ways():
    later, earlier = given([141.0] * 50 + [41.0] * 50), given([41.0] * 50 + [141.0] * 300)
    assert (errors_ms(later)[0], errors_ms(later)[60]) == (-100, 0)
    assert errors_ms(earlier)[60] == 0  # not yet believed
    assert errors_ms(earlier)[-1] == -100


def test_a_time_that_runs_away_is_followed_no_faster_than_a_converter_drifts():
    away = [41.0 - 0.8 * n for n in range(50)]  # 2 %, as a starved sound server was seen to say
    out = given([41.0] * 25 + away + [41.0 - 0.8 * 50] * 100)
    assert errors_ms(out).max() < 150 * 40 * 500e-6 + 1
    assert out[80][1].uncertainty_ns > 20 * MS


def test_a_time_that_moved_back_and_forth_for_good_is_believed_again():
    out = given([41.0] * 50 + [141.0] * 300 + [41.0] * 50)
    assert errors_ms(out)[-1] == 0


def test_jitter_of_the_times_shows_as_uncertainty():
    rng = np.random.default_rng(3)
    out = given(41 + rng.normal(0, 5, 200))
    doubts = [s.uncertainty_ns for _, s in out]
    assert 3 * MS < np.median(doubts) < 20 * MS
    assert np.abs(errors_ms(out)).max() < 15


def test_long_blocks_do_not_wait_for_seven():
    clock, pcm = BlockClock(16_000), np.zeros((16_000, 1), np.int16)
    out = []
    for n in range(5):
        handed_ns = START + (n + 1) * 1000 * MS
        block = Block(handed_ns - 1000 * MS, handed_ns, n * 16_000, 0, pcm)
        out.append(len(clock.take(block)))
    assert out == [0, 0, 3, 1, 1]


@pytest.fixture
def listening():
    clock = ManualClock(START)
    ctx, refusals = context(clock)
    return MicrophoneSource(MicrophoneSettings(stream="mic"), ctx), clock, refusals


def call_back(source, clock, *, after_ms=40, overflow=False, data=PCM):
    clock.advance(after_ms * MS)
    source._on_block(data, len(data), times(0.04), SimpleNamespace(input_overflow=overflow))


def test_callbacks_copy_the_drivers_buffer_and_count_its_overflows(listening):
    source, clock, refusals = listening
    buffer = np.full((640, 1), 7, np.int16)
    for _ in range(8):
        call_back(source, clock, data=buffer)
    buffer[:] = 0
    call_back(source, clock, after_ms=140, overflow=True)
    samples = source.read(0.1)
    assert all((s.data == 7).all() for s in samples[:8])
    assert [s.timestamp_ns - START for s in samples[:8]] == [n * 40 * MS for n in range(8)]
    assert samples[8].position == 8 * 640 + 1600
    assert refusals == {("mic", DropReason.READER_OVERRUN): 1}


def test_blocks_held_back_are_given_before_the_loss_of_the_device_is_told(listening):
    source, clock, refusals = listening
    for _ in range(3):
        call_back(source, clock)
    assert source.read(0.1) == []
    assert source.read(0.0) == []
    source._finished.set()
    assert [s.position for s in source.read(0.0)] == [0, 640, 1280]
    with pytest.raises(SourceUnavailable, match="unplugged"):
        source.read(0.0)
    assert not refusals


def test_blocks_nobody_takes_give_way_and_are_counted(listening):
    source, clock, refusals = listening
    for _ in range(300):
        call_back(source, clock)
    samples = source.read(0.1)
    assert len(samples) == 256
    assert refusals["mic", DropReason.READER_OVERRUN] == 44
    assert samples[-1].position == 299 * 640


@pytest.mark.parametrize(("written", "meant"), [("", None), ("3", 3), ("pulse", "pulse"), (2, 2)])
def test_a_device_from_a_variable_means_what_it_says(written, meant):
    assert MicrophoneSettings(stream="mic", device=written).device == meant
