"""What a stream says of itself anew, and what becomes of the numbers of its samples."""

from __future__ import annotations

import dataclasses

import numpy as np

from pipeline.alignment.account import Discard
from pipeline.core.sample import Encoding, Sample
from tests.unit.alignment_streams import (
    CAMERA,
    CAMERA_AND_PROBE,
    MS,
    PROBE,
    T0,
    S,
    audio,
    clean,
    feed,
    frame,
    in_order,
    line,
    opened,
    patient,
    sensor,
    settings,
    text,
    unaccounted,
    video,
)


def test_the_same_sample_twice_is_counted_once() -> None:
    samples = clean(5)
    twice = [s for sample in samples for s in (sample, sample)]
    aligner, again = opened(patient()), opened(patient())
    once, double = feed(aligner, samples), feed(again, twice)
    assert len(once.windows) == len(double.windows)
    assert all(
        c.discarded.get(Discard.DUPLICATE, 0) == c.pushed // 2 for c in again.counts.values()
    )
    assert not unaccounted(again)


def test_lines_with_the_same_stamp_are_all_kept_in_order() -> None:
    lines = [line(i, T0 + 700 * MS) for i in range(5)]
    aligner = opened(patient(streams=("camera", "log")))
    run = feed(aligner, in_order([*(frame(i) for i in range(30)), *lines]))
    assert text(run.windows[0]).lines == tuple(f"line {i}" for i in range(5))


def test_a_new_session_of_the_node_may_begin_to_count_from_zero() -> None:
    aligner = opened(settings(streams=("camera",)))
    feed(aligner, [frame(i) for i in range(40)], end=False)
    assert aligner.released()["camera"] > 10
    aligner.open(CAMERA)
    again = [frame(i, start_ns=T0 + 5 * S) for i in range(15)]
    feed(aligner, again, end=False)
    assert aligner.released().get("camera", -1) < 15
    assert aligner.counts["camera"].late == 0


def test_a_stream_announced_with_another_shape_starts_anew() -> None:
    wider = dataclasses.replace(PROBE, shape=(3,), channels=("a", "b", "c"))
    aligner = opened(patient(streams=CAMERA_AND_PROBE))
    for sample in clean(2):
        if sample.stream in CAMERA_AND_PROBE:
            aligner.push(sample)
    aligner.open(wider)
    samples = [frame(i) for i in range(20, 60)]
    samples += [
        Sample("probe", i, T0 + i * 50 * MS, np.arange(3.0), Encoding.FLOAT) for i in range(40, 120)
    ]
    run = feed(aligner, in_order(samples))
    assert aligner.counts["probe"].discarded[Discard.REFORMATTED] == 40
    assert sensor(run.windows[-1]).values.shape == (40, 3)
    assert sensor(run.windows[-1]).coverage == 1.0
    assert not unaccounted(aligner)


def test_payloads_that_do_not_fit_are_counted_and_nothing_else_suffers() -> None:
    bad = [
        Sample("probe", 500, T0 + S, np.zeros(7), Encoding.FLOAT),
        Sample("probe", 501, T0 + S + 1, b"zzz", Encoding.FLOAT),
        Sample("microphone", 500, T0 + S, np.zeros((160, 2), np.int16), Encoding.PCM, position=1),
        Sample("microphone", 501, T0 + S, b"", Encoding.PCM),
        Sample("camera", 500, T0 + S, b"", Encoding.JPEG),
        Sample("log", 500, T0 + S, b"bytes", Encoding.UTF8),
    ]
    aligner = opened(patient())
    run = feed(aligner, in_order([*clean(5), *bad]))
    discarded = {n: c.discarded.get(Discard.MALFORMED, 0) for n, c in aligner.counts.items()}
    assert discarded == {"probe": 2, "microphone": 2, "camera": 1, "log": 1}
    assert all(video(w).coverage == audio(w).coverage == 1.0 for w in run.windows)


def test_a_stream_announced_in_a_form_that_fits_keeps_what_is_buffered() -> None:
    aligner = opened(patient(streams=("camera",)))
    for index in range(15):
        aligner.push(frame(index))
    faster = dataclasses.replace(CAMERA, rate_hz=20.0)
    aligner.open(faster)
    assert aligner.buffered() == {"camera": 15}
    run = feed(aligner, [frame(i) for i in range(15, 30)])
    assert run.windows[0].slices["camera"].info == faster
    assert Discard.REFORMATTED not in aligner.counts["camera"].discarded


def test_a_stream_announced_with_stamps_of_another_meaning_says_so_in_its_windows() -> None:
    aligner = opened(patient(streams=("camera",)))
    for index in range(5):
        aligner.push(frame(index))
    meant = dataclasses.replace(CAMERA, stamp="exact")
    aligner.open(meant)
    run = feed(aligner, [frame(i) for i in range(5, 30)])
    assert run.windows[0].slices["camera"].info == meant


def test_numbers_that_were_passed_over_are_counted_until_they_come() -> None:
    aligner = opened(patient(streams=("camera",)))

    def counts(*indices: int) -> tuple[int, int, int]:
        for index in indices:
            aligner.push(frame(index))
        found = aligner.counts["camera"]
        return found.gaps, found.out_of_order, found.discarded.get(Discard.DUPLICATE, 0)

    assert counts(0, 2) == (1, 0, 0)
    assert counts(5) == (3, 0, 0)
    assert counts(4) == (2, 1, 0)


def test_a_session_begins_where_it_likes_and_only_with_its_first_sample() -> None:
    aligner = opened(patient(streams=("camera",)))
    aligner.push(frame(7))
    assert aligner.counts["camera"].gaps == 0  # what came before was never ours
    aligner.push(frame(8))
    aligner.open(CAMERA)
    aligner.push(frame(0, start_ns=T0 + S))
    aligner.push(frame(1, start_ns=T0 + S))
    assert aligner.counts["camera"].gaps == 0
    aligner.push(frame(1, start_ns=T0 + S))
    assert aligner.counts["camera"].discarded.get(Discard.DUPLICATE, 0) == 1
    assert aligner.buffered() == {"camera": 4}


def test_samples_of_one_moment_stand_in_the_order_of_their_numbers_however_they_came() -> None:
    aligner = opened(patient(streams=("camera", "log")))
    lines = [line(i, T0 + 700 * MS) for i in (3, 0, 4, 1, 2, 6, 5)]
    frames = [frame(i) for i in range(30)]
    run = feed(aligner, [*frames[:8], *lines, *frames[8:]])
    assert text(run.windows[0]).lines == tuple(f"line {i}" for i in range(7))


def test_a_new_session_is_released_only_as_far_as_it_came() -> None:
    aligner = opened(patient(streams=("camera",)))
    for index in range(5):
        aligner.push(frame(index))
    aligner.open(CAMERA)
    feed(aligner, [frame(0, start_ns=T0 + 3 * S)])
    assert aligner.released() == {"camera": 0}
