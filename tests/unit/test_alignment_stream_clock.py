"""Stamps are corrected on the capture node, before anything is sent."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.alignment.stream_clock import Correction, StreamClock, StreamClockSettings
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from tests.unit.alignment_scenarios import examples
from tests.unit.alignment_streams import MS, T0, S


def clock(
    rate: float | None = 30.0,
    modality: Modality = Modality.VIDEO,
    stamp: str = "grab",
    **changes: object,
) -> StreamClock:
    info = StreamInfo("s", modality, rate, (1,), stamp=stamp)
    return StreamClockSettings.model_validate(changes).build(info)


def stamped(times: Iterable[float], *, chunk: int = 0, epoch: int = 0) -> list[Sample]:
    return [
        Sample("s", 0, round(t), b"x", Encoding.JPEG, epoch=epoch, position=i * chunk)
        for i, t in enumerate(times)
    ]


def corrected(a_clock: StreamClock, samples: Iterable[Sample]) -> list[int]:
    return [a_clock.correct(sample).timestamp_ns for sample in samples]


def even(count: int, period_ns: float = 1e9 / 30, ppm: float = 0.0) -> list[float]:
    return [T0 + i * period_ns * (1 + ppm * 1e-6) for i in range(count)]


def worst(found: list[int], true: list[float], skip: int) -> float:
    """99th percentile of the error after the first `skip`, ns."""
    return float(np.quantile(np.abs(np.array(found[skip:]) - np.array(true[skip:])), 0.99))


@pytest.mark.parametrize("ppm", [-300.0, 0.0, 50.0])
@pytest.mark.parametrize(
    ("modality", "rate", "chunk"),
    [(Modality.VIDEO, 30.0, 0), (Modality.SENSOR, 100.0, 0), (Modality.AUDIO, 16000.0, 320)],
)
def test_a_millisecond_of_jitter_becomes_a_small_part_of_it(
    modality: Modality, rate: float, chunk: int, ppm: float
) -> None:
    rng = random.Random(3)
    true = even(2000, 1e9 / rate * (chunk or 1), ppm)
    a_clock = clock(rate, modality)
    found = corrected(a_clock, stamped([t + rng.gauss(0, MS) for t in true], chunk=chunk))
    assert worst(found, true, 500) < 0.3 * MS
    assert abs(a_clock.rate_error_ppm - ppm) < 30
    assert all(b > a for a, b in itertools.pairwise(found))


def test_clean_stamps_stay_as_they_are() -> None:
    true = even(1000)
    assert worst(corrected(clock(), stamped(true)), true, 0) <= 2


def test_dropped_frames_do_not_shift_those_that_follow() -> None:
    rng = random.Random(4)
    true = [t for t in even(2000) if rng.random() > 0.05]
    found = corrected(clock(), stamped([t + rng.gauss(0, MS) for t in true]))
    assert worst(found, true, 500) < 0.3 * MS


def test_frames_held_up_get_their_places_back_and_say_how_unsure_they_are() -> None:
    true = even(300)
    seen = list(true)
    for i in range(200, 206):
        seen[i] = true[206] - (206 - i) * 2e6
    a_clock = clock()
    out = [a_clock.correct(sample) for sample in stamped(seen)]
    errors = [abs(s.timestamp_ns - t) for s, t in zip(out, true, strict=True)]
    assert max(errors[207:]) < MS
    assert all(s.uncertainty_ns >= e - MS for s, e in zip(out[201:], errors[201:], strict=True))


def test_a_camera_slower_than_announced_is_believed_after_a_while() -> None:
    rng = random.Random(5)
    true = even(1500, 1e9 / 25)
    found = corrected(clock(30.0), stamped([t + rng.gauss(0, MS) for t in true]))
    assert worst(found, true, 700) < 0.4 * MS


@pytest.mark.parametrize("rate", [1.0, 0.5])
def test_slow_streams_lose_their_jitter_too_and_say_how_unsure_they_are(rate: float) -> None:
    """Each of their steps was once longer than the gap limit, so they were left as they came."""
    rng = random.Random(9)
    true = even(600, S / rate, 40.0)
    samples = stamped(t + rng.gauss(0, 20 * MS) for t in true)
    a_clock = clock(rate, Modality.SENSOR)
    out = [a_clock.correct(sample) for sample in samples]
    errors = np.abs([o.timestamp_ns - t for o, t in zip(out, true, strict=True)])[50:]
    assert np.median(errors) < 6 * MS
    assert np.mean(errors <= [o.uncertainty_ns for o in out[50:]]) > 0.99
    assert a_clock.counts[Correction.GAP] == 0


def test_uneven_streams_keep_their_own_stamps() -> None:
    rng = random.Random(6)
    times = list(np.cumsum([rng.uniform(0.2, 1.8) * S / 10 for _ in range(400)]) + T0)
    found = corrected(clock(10.0, Modality.SENSOR), stamped(times))
    assert worst(found, [float(round(t)) for t in times], 200) <= 1


def test_after_a_gap_or_a_new_epoch_the_phase_is_found_anew() -> None:
    first = even(600)
    second = [t + 37_123_456_789 for t in first]
    found = corrected(clock(), stamped(first + second))
    assert worst(found, first + second, 0) < MS
    a_clock = clock()
    corrected(a_clock, stamped(first))
    moved = [t + first[-1] - T0 + 50 * MS for t in first]
    assert worst(corrected(a_clock, stamped(moved, epoch=1)), moved, 0) < MS


def test_a_phase_that_moved_is_followed() -> None:
    first = even(900)
    second = [first[-1] + 45 * MS + i * 1e9 / 30 for i in range(300)]
    found = corrected(clock(), stamped(first + second))
    assert worst(found[912:], second[12:], 0) < MS


def test_stamps_that_go_far_back_are_passed_on_for_the_aligner_to_refuse() -> None:
    first = even(100)
    again = [t - 3600 * S for t in first]
    found = corrected(clock(), stamped(first + again))
    assert worst(found, first + again, 0) < MS


def test_latency_is_subtracted_also_without_a_rate() -> None:
    found = corrected(clock(None, Modality.TEXT, latency_ns=40 * MS), stamped([T0, T0 + S]))
    assert found == [T0 - 40 * MS, T0 + S - 40 * MS]


def test_exact_stamps_pass_untouched() -> None:
    sample = stamped([T0])[0]
    assert clock(stamp="exact", latency_ns=5 * MS).correct(sample) is sample


def test_the_payload_and_the_sample_given_are_left_alone() -> None:
    sample = stamped([T0 + 5])[0]
    out = clock(latency_ns=5).correct(sample)
    assert out.data is sample.data
    assert (sample.timestamp_ns, out.timestamp_ns) == (T0 + 5, T0)


def test_nothing_of_a_sample_changes_but_its_time_and_how_sure_it_is() -> None:
    sample = Sample("s", 9, T0, b"x", Encoding.JPEG, 3, epoch=4, position=5)
    out = clock().correct(sample)
    assert out.uncertainty_ns > 3
    same = dataclasses.replace(out, timestamp_ns=T0, uncertainty_ns=3)
    assert same == sample


def test_uncertainty_tells_the_spread_of_the_stamps() -> None:
    rng = random.Random(7)
    a_clock = clock()
    out = [a_clock.correct(s) for s in stamped([t + rng.gauss(0, MS) for t in even(900)])]
    assert 1.2 * MS < out[-1].uncertainty_ns < 3.2 * MS


def test_the_first_stamps_are_as_doubtful_as_the_little_that_is_known_of_their_jitter() -> None:
    outside = 0
    for seed in range(200):
        rng, a_clock, true = random.Random(seed), clock(), even(10)
        for sample, t in zip(
            stamped([t + rng.uniform(-2, 2) * MS for t in true]), true, strict=True
        ):
            out = a_clock.correct(sample)
            outside += abs(out.timestamp_ns - t) > out.uncertainty_ns
    assert outside <= 0.005 * 200 * 10


SPOILED = {
    "a frame given twice": lambda t, period: [t, t],
    "one stamp too early": lambda t, period: [t - 3.3 * period],
    "an old frame given again": lambda t, period: [t, t - 2 * period],
}


@pytest.mark.parametrize("trouble", SPOILED)
def test_stamps_that_do_not_rise_shift_nothing_that_follows(trouble: str) -> None:
    """Each of them once cost a camera up to two periods until the fit had found back."""
    rng = random.Random(8)
    period = S / 30
    a_clock = clock()
    spoiled = 0
    for index in range(2000):
        true = T0 + index * period
        seen = true + rng.gauss(0, MS)
        bad = index > 50 and index % 47 == 0
        stamps = SPOILED[trouble](seen, period) if bad else [seen]
        out = [a_clock.correct(sample) for sample in stamped(stamps)]
        spoiled += bad
        if index > 300:
            assert abs(out[0].timestamp_ns - true) < 0.5 * MS
        if bad:
            assert out[-1].timestamp_ns - out[-1].uncertainty_ns <= stamps[-1] + 1
            assert out[-1].uncertainty_ns < out[-1].timestamp_ns - stamps[-1] + 10 * MS
    counts = a_clock.counts
    assert counts[Correction.REPEATED] + counts[Correction.BACK] == spoiled > 20
    assert sum(counts.values()) == spoiled


def test_sound_given_twice_keeps_its_place() -> None:
    a_clock = clock(16000.0, Modality.AUDIO)
    samples = stamped(even(500, 20 * MS), chunk=320)
    twice = [sample for sample in samples for _ in range(1 + (sample.position % 3200 == 0))]
    found = corrected(a_clock, twice)
    assert max(abs(f - s.timestamp_ns) for f, s in zip(found, twice, strict=True)) <= 2
    assert a_clock.counts[Correction.REPEATED] == 50
    assert a_clock.counts[Correction.COUNTER] == 0


def test_every_correction_is_counted_by_its_reason() -> None:
    steady, later = even(100), 20 * S
    cases: dict[Correction, list[Sample]] = {
        Correction.GAP: stamped(steady + [t + later for t in steady]),
        Correction.BACK: stamped(steady + [t - later for t in steady]),
        Correction.REPEATED: stamped([*steady, steady[-1]]),
        Correction.EPOCH: stamped(steady) + stamped([t + later for t in steady], epoch=1),
        Correction.PHASE: stamped(steady + [steady[-1] + 49 * MS + i * S / 30 for i in range(60)]),
        Correction.RATE: stamped(even(100, S / 20)),
        Correction.UNEVEN: stamped(T0 + i * S / 30 + 15 * MS * (-1) ** i for i in range(200)),
        Correction.HELD_UP: stamped(
            [*steady[:90], *(steady[-1] + i * MS for i in range(1, 10)), steady[-1] + 300 * MS]
        ),
    }
    for reason, samples in cases.items():
        a_clock = clock()
        corrected(a_clock, samples)
        assert a_clock.counts[reason] > 0, reason
    a_clock = clock(16000.0, Modality.AUDIO)
    corrected(a_clock, [*stamped(even(9, 20 * MS), chunk=320), *stamped([T0 + 180 * MS])])
    assert a_clock.counts[Correction.COUNTER] == 1
    assert set(cases) | {Correction.COUNTER} == set(Correction)


@pytest.mark.parametrize("held", [3, 4, 5, 8])
def test_of_frames_that_come_in_a_bunch_those_between_the_first_and_the_last_were_held_up(
    held: int,
) -> None:
    times = even(300)
    come = times[100 + held - 1]
    bunch = [come + n * MS for n in range(held)]
    a_clock = clock()
    found = corrected(a_clock, stamped([*times[:100], *bunch, *times[100 + held :]]))
    assert a_clock.counts[Correction.HELD_UP] == held - 2
    assert worst(found[100 + held :], times[100 + held :], 0) < MS


def test_frames_that_jitter_towards_each_other_were_not_held_up() -> None:
    times = even(400)
    for first in range(100, 400, 40):
        times[first] += 10 * MS
        times[first + 1] -= 10 * MS
    a_clock = clock()
    corrected(a_clock, stamped(times))
    assert sum(a_clock.counts.values()) == 0


def test_each_time_the_phase_moves_is_counted() -> None:
    times, a_clock = even(900), clock()
    moved = [t + (i // 300) * 15 * MS for i, t in enumerate(times)]
    corrected(a_clock, stamped(moved))
    assert a_clock.counts[Correction.PHASE] == 2


steps_ns = st.integers(0, 300 * MS) | st.integers(-3 * S, 40 * S) | st.just(0)


@examples(60)
@given(
    st.lists(steps_ns, min_size=2, max_size=200),
    st.sampled_from(list(Modality)),
    st.sampled_from([0.5, 30.0]),
)
def test_times_grow_unless_stamps_go_far_back_and_every_such_stamp_is_counted(
    steps: list[int], modality: Modality, rate: float
) -> None:
    rate = 16000.0 if modality is Modality.AUDIO else rate
    times = [T0 + t for t in itertools.accumulate(steps)]
    a_clock = clock(rate, modality)
    found = corrected(a_clock, stamped(times, chunk=320))
    far_ns = max(S, 3 * S / rate)
    for step, (before, after) in zip(steps[1:], itertools.pairwise(found), strict=True):
        assert after > before or step < -far_ns
    assert a_clock.counts[Correction.BACK] == sum(step < 0 for step in steps[1:])
    assert a_clock.counts[Correction.REPEATED] == sum(step == 0 for step in steps[1:])


@pytest.mark.parametrize("seed", range(5))
def test_readings_that_come_in_bunches_never_drag_the_rate_away(seed: int) -> None:
    """A sensor over a broker whose messages wait for seconds: the rate fell to a ten-thousandth,
    and the capture node ended by an overflow."""
    rng, a_clock = random.Random(seed), clock(2.0, Modality.SENSOR, "arrival")
    taken = busy_until = arrived = T0
    for _ in range(400):
        taken += S // 2
        if rng.random() < 0.1:
            busy_until = max(busy_until, taken) + round(rng.uniform(0, 8) * S)
        arrived = max(arrived + 1 + round(rng.uniform(0, MS)), taken, busy_until)
        (found,) = corrected(a_clock, stamped([arrived]))
        assert abs(a_clock.rate_error_ppm) <= 250_000
        assert abs(found - arrived) < 60 * S


@pytest.mark.parametrize("rate", [1 / 3600, 1 / 86_400])
def test_a_reading_an_hour_or_a_day_is_no_matter(rate: float) -> None:
    times = even(20, 1e9 / rate)
    times[7:] = [t + 1.5e9 / rate for t in times[7:]]
    found = corrected(clock(rate, Modality.SENSOR), stamped(times))
    assert max(abs(f - t) for f, t in zip(found, times, strict=True)) < 1.5e9 / rate
