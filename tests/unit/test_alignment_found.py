"""What the properties found: each kept as the small scene that shows it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.alignment.account import Discard
from pipeline.alignment.settings import StreamOptions
from tests.unit.alignment_streams import (
    CAMERA,
    MS,
    PROBE,
    T0,
    S,
    feed,
    fingerprint,
    frame,
    in_order,
    line,
    opened,
    patient,
    reading,
    settings,
    sound,
)


def test_a_window_is_as_sure_as_the_sound_in_it_whatever_comes_after() -> None:
    """A chunk past its end counted too when it was there at the cut."""
    options = patient(streams=("microphone", "log"), window_ns=700 * MS, hop_ns=300 * MS)
    pairs = [(T0 + i * 20 * MS, sound(i)) for i in range(200)]
    for _, sample in pairs:
        sample.uncertainty_ns = sample.sequence  # each chunk is less sure than the one before
    pairs += [(T0 + (i + 3) * 100 * MS, line(i, T0 + i * 100 * MS)) for i in range(40)]
    pairs.sort(key=lambda pair: pair[0])
    run = feed(opened(options), [s for _, s in pairs], arrivals=[at for at, _ in pairs])
    assert len(run.windows) == 11
    for window in run.windows:
        last = (window.end_ns - 1 - T0) // (20 * MS)
        assert window.uncertainty_ns["microphone"] == min(last, 199)


def test_a_chunk_behind_a_wrong_stamp_that_completes_a_window_lets_it_out_at_once() -> None:
    """A deadline had passed, and yet no window came until something else stirred."""
    chunks = [sound(i) for i in range(200)]
    chunks[90].timestamp_ns += 2 * S  # those after it still count on
    pairs = [(T0 + (i * 20 + 270) * MS, chunk) for i, chunk in enumerate(chunks)]
    pairs += [(T0 + (i + 1) * 100 * MS, frame(i)) for i in range(40)]
    pairs.sort(key=lambda pair: pair[0])
    waits = {"idle_ns": 100 * S, "latency_ns": 50 * S}
    aligner = opened(settings(streams=("microphone", "camera"), **waits))
    for arrival, sample in pairs:
        aligner.push(sample)
        aligner.pop_ready(arrival)
        deadline = aligner.next_deadline_ns()
        assert deadline is None or deadline > arrival


@pytest.mark.parametrize("delay_ms", [0, 900])
def test_what_lies_between_windows_that_do_not_touch_is_unused_and_not_late(delay_ms: int) -> None:
    """They were called late when they came after the window before them was cut."""
    pairs = [(T0 + i * 100 * MS, frame(i)) for i in range(60)]
    pairs += [(T0 + (i * 100 + delay_ms) * MS, line(i, T0 + i * 100 * MS)) for i in range(60)]
    pairs.sort(key=lambda pair: pair[0])
    aligner = opened(patient(streams=("camera", "log"), window_ns=500 * MS, hop_ns=S))
    run = feed(aligner, [s for _, s in pairs], arrivals=[at for at, _ in pairs])
    assert len(run.windows) == 6
    counts = aligner.counts["camera"]
    assert counts.used + aligner.buffered()["camera"] + counts.discarded[Discard.UNUSED] == 60
    assert counts.late == 0


def test_a_sample_exactly_as_late_as_allowed_that_no_window_wanted_is_not_called_late() -> None:
    spans = {"window_ns": 500 * MS, "hop_ns": S, "lateness_ns": 300 * MS}
    aligner = opened(patient(streams=("camera",), **spans))
    for index in (*range(9), 10):  # the window ends at .5 s; .9 s never came, .7 comes .3 late
        if index != 7:
            aligner.push(frame(index))
            aligner.pop_ready(T0 + index * 100 * MS)
    assert aligner.next_index is not None
    assert aligner.next_index * S == T0 + S
    aligner.push(frame(7))
    counts = aligner.counts["camera"]
    assert (counts.late, counts.discarded[Discard.UNUSED] > 0) == (0, True)


def test_readings_past_the_last_grid_point_of_a_window_are_unused_and_not_late() -> None:
    """They lie in the window's span, but it was cut before they came and did not want them."""
    held = StreamOptions(grid_hz=5, interpolation="previous")
    spans = {"window_ns": 340 * MS, "hop_ns": S}
    aligner = opened(patient(streams=("probe", "log"), options={"probe": held}, **spans))
    pairs = [(T0 + i * 50 * MS, reading(i)) for i in range(120)]
    pairs += [(T0 + (i * 100 - 200) * MS, line(i, T0 + i * 100 * MS)) for i in range(60)]
    pairs.sort(key=lambda pair: pair[0])
    run = feed(aligner, [s for _, s in pairs], arrivals=[at for at, _ in pairs])
    assert len(run.windows) == 6
    assert all(window.slices["probe"].coverage == 1.0 for window in run.windows)
    assert aligner.counts["probe"].late == 0


def test_windows_that_do_not_touch_hear_the_same_whatever_came_when() -> None:
    """Sound between them tells where that of the next one lies, but was let go at once."""
    chunks = [sound(i) for i in range(250)]
    for chunk in chunks:
        if (chunk.timestamp_ns - T0) % (3 * S // 2) >= S // 2:
            chunk.timestamp_ns += MS
    options = patient(streams=("microphone", "log"), window_ns=S // 2, hop_ns=3 * S // 2)
    runs = []
    for delay in (0, 1400 * MS):
        pairs = [(chunk.timestamp_ns, chunk) for chunk in chunks]
        pairs += [(T0 + i * 100 * MS + delay, line(i, T0 + i * 100 * MS)) for i in range(51)]
        pairs.sort(key=lambda pair: pair[0])
        arrivals = [at for at, _ in pairs]
        runs.append(feed(opened(options), [s for _, s in pairs], arrivals=arrivals))
    assert [fingerprint(w) for w in runs[0].windows] == [fingerprint(w) for w in runs[1].windows]


def test_a_slow_stream_of_which_nothing_is_left_holds_no_windows_open_at_its_end() -> None:
    """Its last reading, long let go, made empty windows for as long as one may reach."""
    slow = replace(PROBE, rate_hz=1 / 60)
    gap = StreamOptions(channel_interpolation={"a": "previous"}, max_gap_ns=150 * MS)
    options = patient(
        streams=("camera", "probe"), window_ns=700 * MS, hop_ns=800 * MS, options={"probe": gap}
    )
    samples = [reading(0, start_ns=T0 + 1900 * MS), *(frame(i) for i in range(80))]
    run = feed(opened(options, [CAMERA, slow]), in_order(samples))
    assert run.windows[-1].start_ns <= T0 + 8 * S
