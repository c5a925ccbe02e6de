"""What must hold for every run of the aligner, whatever the streams do."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.alignment.aligner import Aligner
from pipeline.core.sample import Sample
from tests.unit.alignment_streams import (
    MS,
    T0,
    Run,
    S,
    clean,
    feed,
    fingerprint,
    in_order,
    opened,
    patient,
    settings,
    unaccounted,
    wait,
)

few = hypothesis_settings(
    max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
seeds = st.integers(0, 2**32 - 1)


def dirty(rng: random.Random, seconds: float = 7.0) -> list[Sample]:
    """Streams with jitter, drops, a stall of one stream, and repeats; stamps rise per stream."""
    start = T0 + rng.randrange(0, 1000) * MS
    hole = start + rng.randrange(0, 5000) * MS
    victim = rng.choice(["camera", "microphone", "probe"])
    kept = []
    for sample in clean(seconds, start):
        if rng.random() < 0.02:
            continue
        if sample.stream == victim and hole <= sample.timestamp_ns < hole + 1500 * MS:
            continue
        sample.timestamp_ns += rng.randrange(0, 2 * MS)
        sample.uncertainty_ns = rng.randrange(0, MS)
        kept.append(sample)
        if rng.random() < 0.01:
            kept.append(sample)
    return in_order(kept)


def shuffled(rng: random.Random, samples: list[Sample], lateness_ns: int) -> list[Sample]:
    """Another arrival order in which no sample comes more than `lateness_ns` late."""
    return sorted(samples, key=lambda s: s.timestamp_ns + rng.randrange(0, lateness_ns))


def prints(run: Run) -> list[tuple[object, ...]]:
    return [fingerprint(window) for window in run.windows]


@few
@given(seeds)
def test_any_arrival_order_within_the_lateness_gives_the_same_windows(seed: int) -> None:
    rng = random.Random(seed)
    samples = dirty(rng)
    options = patient(lateness_ns=300 * MS)
    first = feed(opened(options), samples)
    second = feed(opened(options), shuffled(rng, samples, 300 * MS), arrivals=None)
    assert len(first.windows) >= 8
    assert prints(first) == prints(second)


@few
@given(seeds)
def test_how_streams_interleave_makes_no_difference(seed: int) -> None:
    rng = random.Random(seed)
    samples = dirty(rng)
    delays = {name: rng.randrange(0, 3 * S) for name in ("camera", "microphone", "probe", "log")}
    other = sorted(samples, key=lambda s: s.timestamp_ns + delays[s.stream])
    first, second = feed(opened(patient()), samples), feed(opened(patient()), other)
    assert prints(first) == prints(second)


@few
@given(seeds)
def test_windows_never_go_back_and_every_sample_is_accounted_for(seed: int) -> None:
    rng = random.Random(seed)
    samples = dirty(rng)
    arrivals = [s.timestamp_ns + rng.randrange(0, 2500) * MS for s in samples]
    order = sorted(range(len(samples)), key=arrivals.__getitem__)
    aligner = opened(settings(lateness_ns=rng.choice([0, 200 * MS])))
    run = Run([], [])
    released: dict[str, int] = {}
    for index in order:
        wait(aligner, arrivals[index], run)
        aligner.push(samples[index])
        assert not unaccounted(aligner)
        now = aligner.released()
        assert all(now.get(name, -1) >= sequence for name, sequence in released.items())
        released = now
    indices = [window.index for window in run.windows]
    assert indices == list(range(indices[0], indices[0] + len(indices)))
    told = sum(sum(window.late.values()) for window in run.windows)
    assert told <= sum(counts.late for counts in aligner.counts.values())


@few
@given(seeds)
def test_no_window_waits_longer_than_the_latency_after_the_first_stream_passed(seed: int) -> None:
    rng = random.Random(seed)
    samples = dirty(rng)
    lag = {name: rng.randrange(0, 4 * S) for name in ("camera", "microphone", "probe", "log")}
    pairs = sorted(((s.timestamp_ns + lag[s.stream], s) for s in samples), key=lambda p: p[0])
    run = feed(opened(settings()), [s for _, s in pairs], arrivals=[a for a, _ in pairs])
    for window, cut_at in zip(run.windows, run.cut_at, strict=True):
        passed = [a for a, s in pairs if s.timestamp_ns >= window.end_ns]
        if passed:
            assert cut_at <= max(min(passed) + S, run.cut_at[0])


@few
@given(seeds)
def test_how_often_windows_are_asked_for_makes_no_difference(seed: int) -> None:
    rng = random.Random(seed)
    samples = dirty(rng)
    arrivals = sorted(s.timestamp_ns + rng.randrange(0, 1500) * MS for s in samples)
    eager, lazy = opened(settings()), opened(settings())
    expected = feed(eager, samples, arrivals=arrivals, end=False)
    found = Run([], [])
    for sample, arrival in zip(samples, arrivals, strict=True):
        found.windows += lazy.pop_ready(arrival)
        lazy.push(sample)
        if rng.random() < 0.3:
            found.windows += lazy.pop_ready(arrival)
    end = arrivals[-1] + 60 * S
    wait(eager, end, expected)
    found.windows += lazy.pop_ready(end)
    assert prints(expected) == prints(found)


def resumed(aligner: Aligner, index: int, released: dict[str, int], samples: list[Sample]) -> Run:
    aligner.resume_at(index)
    again = [s for s in samples if s.sequence > released.get(s.stream, -1)]
    return feed(aligner, again)


@few
@given(seeds, st.integers(20, 1000))
def test_a_run_resumed_from_its_released_points_cuts_the_same_windows(seed: int, at: int) -> None:
    rng = random.Random(seed)
    samples = list({id(s): s for s in dirty(rng, 14.0)}.values())
    whole = feed(opened(patient()), samples)
    aligner = opened(patient())
    before = Run([], [])
    for sample in samples[:at]:
        wait(aligner, sample.timestamp_ns, before)
        aligner.push(sample)
    before.windows += aligner.pop_ready(samples[at - 1].timestamp_ns)
    if not before.windows:
        return
    again = opened(patient())
    after = resumed(again, before.windows[-1].index + 1, aligner.released(), samples)
    assert prints(before) + prints(after) == prints(whole)
    assert not unaccounted(again)
    assert all(counts.late == 0 for counts in again.counts.values())


@pytest.mark.parametrize("lateness_ms", [0, 100])
def test_samples_too_far_out_of_order_are_late_and_in_no_window(lateness_ms: int) -> None:
    samples = clean(6)
    late = [s for s in samples if s.stream == "probe" and s.sequence % 10 == 3]
    for sample in late:
        samples.remove(sample)
    arrivals = [s.timestamp_ns for s in samples]
    mixed = list(zip(arrivals, samples, strict=True))
    mixed += [(s.timestamp_ns + (lateness_ms + 180) * MS, s) for s in late]
    mixed.sort(key=lambda pair: pair[0])
    aligner = opened(settings(lateness_ns=lateness_ms * MS))
    run = feed(aligner, [s for _, s in mixed], arrivals=[a for a, _ in mixed])
    assert aligner.counts["probe"].late == len(late)
    assert sum(w.late.get("probe", 0) for w in run.windows) <= len(late)
    assert aligner.counts["probe"].out_of_order == len(late)
    assert aligner.counts["probe"].gaps == 0
