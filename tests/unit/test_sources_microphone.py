"""Counting blocks and their times, without a sound system."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tests.requirements import require_module

require_module("sounddevice")

from pipeline.core.errors import DependencyMissing  # noqa: E402

try:
    from pipeline.core.clock import ManualClock
    from pipeline.core.ledger import DropReason
    from pipeline.sources.microphone import MicrophoneSettings, MicrophoneSource
    from pipeline.sources.sound_blocks import BlockCounter, adc_time_ns
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
    early = put(counter, 0, converted_ms=-500)
    block = put(counter, 40, converted_ms=0)
    assert (block.lost, block.position) == (0, 640)
    assert early.uncertainty_ns == 460 * MS


def test_blocks_handed_over_late_by_a_busy_machine_lose_no_samples():
    counter = BlockCounter(16_000)
    put(counter, 0)
    blocks = [put(counter, 900, converted_ms=40 * n) for n in range(20)]
    assert {b.lost for b in blocks} == {0}


def test_jitter_of_the_times_shows_as_uncertainty():
    rng = np.random.default_rng(3)
    counter = BlockCounter(16_000)
    for n in range(200):
        block = put(counter, n * 40, converted_ms=n * 40 - 50 + rng.normal(0, 5))
    assert block.position == 199 * 640
    assert 3 * MS < block.uncertainty_ns < 20 * MS


def test_callbacks_copy_the_drivers_buffer_and_count_its_overflows():
    clock = ManualClock(START)
    ctx, refusals = context(clock)
    source = MicrophoneSource(MicrophoneSettings(stream="mic"), ctx)
    buffer = np.full((640, 1), 7, np.int16)
    source._on_block(buffer, 640, times(0.04), SimpleNamespace(input_overflow=False))
    buffer[:] = 0
    clock.advance(140 * MS)
    source._on_block(buffer, 640, times(0.04), SimpleNamespace(input_overflow=True))
    first, second = source.read(0.1)
    assert (first.data == 7).all()
    assert second.position == 640 + 1600
    assert refusals == {("mic", DropReason.READER_OVERRUN): 1}


def test_blocks_nobody_takes_give_way_and_are_counted():
    ctx, refusals = context(ManualClock(START))
    source = MicrophoneSource(MicrophoneSettings(stream="mic"), ctx)
    for _ in range(300):
        source._on_block(PCM, 640, times(0.04), SimpleNamespace(input_overflow=False))
    samples = source.read(0.1)
    assert len(samples) == 256
    assert refusals["mic", DropReason.READER_OVERRUN] == 44
    assert samples[-1].position == 299 * 640


@pytest.mark.parametrize(("written", "meant"), [("", None), ("3", 3), ("pulse", "pulse"), (2, 2)])
def test_a_device_from_a_variable_means_what_it_says(written, meant):
    assert MicrophoneSettings(stream="mic", device=written).device == meant
