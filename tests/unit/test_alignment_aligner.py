"""The aligner's rules, one by one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.alignment.account import Discard
from pipeline.core.errors import AlignmentError
from pipeline.core.sample import Modality, StreamInfo
from tests.unit.alignment_streams import (
    CAMERA,
    CAMERA_AND_PROBE,
    LOG,
    MICROPHONE,
    MS,
    PROBE,
    T0,
    Run,
    S,
    audio,
    clean,
    feed,
    frame,
    in_order,
    line,
    opened,
    patient,
    reading,
    sensor,
    settings,
    sound,
    text,
    unaccounted,
    video,
    wait,
)


def test_clean_streams_come_out_exactly_as_they_went_in() -> None:
    samples = clean(8)
    frames = {s.timestamp_ns: s for s in samples if s.stream == "camera"}
    heard = np.concatenate([s.data for s in samples if s.stream == "microphone"])
    run = feed(opened(patient()), samples)
    assert [w.start_ns - T0 for w in run.windows] == [k * S // 2 for k in range(13)]
    for window in run.windows:
        first = (window.start_ns - T0) * 8 // MS
        assert window.complete
        assert all(
            video(window).frames[i] is frames[t] for i, t in enumerate(video(window).grid_ns)
        )
        cut = heard[first : first + 16000].astype(np.float32) / 32768
        assert np.array_equal(audio(window).samples, cut)
        index = (sensor(window).grid_ns - T0) // (50 * MS)
        assert np.array_equal(sensor(window).values[:, 0], index.astype(float))
        assert np.array_equal(sensor(window).values[:, 1], index * 0.1)
        assert list(text(window).timestamps_ns) == [
            s.timestamp_ns
            for s in samples
            if s.stream == "log" and window.start_ns <= s.timestamp_ns < window.end_ns
        ]


def test_a_sensor_without_channels_covers_nothing_and_the_other_streams_go_on() -> None:
    aligner = opened(
        patient(streams=("probe", "log")),
        [dataclasses.replace(PROBE, shape=(0,), channels=()), LOG],
    )
    samples = [dataclasses.replace(reading(i), data=np.zeros(0)) for i in range(100)]
    samples += [line(i, T0 + i * S) for i in range(5)]
    windows = feed(aligner, in_order(samples)).windows
    assert {sensor(window).coverage for window in windows} == {0.0}
    assert sum(len(text(window).timestamps_ns) for window in windows)


def test_the_first_window_starts_at_or_after_the_earliest_stamp() -> None:
    samples = [frame(i, start_ns=T0 + 120 * MS) for i in range(60)]
    samples += [reading(i, start_ns=T0 + 1700 * MS) for i in range(100)]
    aligner = opened(patient(streams=CAMERA_AND_PROBE))
    run = feed(aligner, in_order(samples))
    assert run.windows[0].start_ns == T0 + 500 * MS
    assert sensor(run.windows[0]).coverage < 0.5
    assert video(run.windows[0]).coverage == 1.0
    assert aligner.counts["camera"].discarded[Discard.EARLY] == 3


def test_a_stream_that_lags_is_waited_for_up_to_the_latency() -> None:
    pairs = [(s.timestamp_ns, s) for s in clean(8) if s.stream == "camera"]
    pairs += [(s.timestamp_ns + 700 * MS, s) for s in clean(8) if s.stream == "probe"]
    pairs.sort(key=lambda pair: pair[0])
    aligner = opened(settings(streams=CAMERA_AND_PROBE))
    run = feed(aligner, [s for _, s in pairs], arrivals=[a for a, _ in pairs])
    assert all(w.complete and sensor(w).coverage == 1.0 for w in run.windows)
    assert not aligner.counts["probe"].late


def test_a_stream_that_lags_more_is_cut_off_on_a_timer_and_its_samples_are_late() -> None:
    pairs = [(s.timestamp_ns, s) for s in clean(10) if s.stream == "camera"]
    pairs += [(s.timestamp_ns + 4 * S, s) for s in clean(10) if s.stream == "probe"]
    pairs.sort(key=lambda pair: pair[0])
    aligner = opened(settings(streams=CAMERA_AND_PROBE, idle_ns=60 * S))
    run = feed(aligner, [s for _, s in pairs], arrivals=[a for a, _ in pairs])
    first = run.windows[0]
    assert not first.complete
    assert sensor(first).coverage == 0.0
    assert np.isnan(sensor(first).values).all()
    assert run.cut_at[0] == first.end_ns + S
    assert aligner.counts["probe"].late > 100
    told = [window.late for window in run.windows]
    assert {late["camera"] for late in told} == {0}
    assert 100 < sum(late["probe"] for late in told) <= aligner.counts["probe"].late
    assert not unaccounted(aligner)


def test_the_timer_needs_no_arrival() -> None:
    aligner = opened(settings(streams=CAMERA_AND_PROBE, idle_ns=10 * S))
    aligner.push(reading(0))
    for i in range(21):
        assert not aligner.pop_ready(T0 + i * 100 * MS)
        aligner.push(frame(i))
    deadline = aligner.next_deadline_ns()
    assert deadline == T0 + 3 * S
    assert not aligner.pop_ready(deadline - 1)
    (window,) = aligner.pop_ready(deadline)
    assert (window.start_ns, window.complete) == (T0, False)
    assert aligner.next_deadline_ns() is None


def test_a_silent_stream_stops_holding_windows_back() -> None:
    samples = [frame(i) for i in range(120)] + [reading(i) for i in range(40)]
    run = feed(opened(settings(streams=CAMERA_AND_PROBE)), in_order(samples), end=False)
    waits = [cut - w.end_ns for w, cut in zip(run.windows, run.cut_at, strict=True)]
    assert max(waits) == S
    assert all(wait == 0 for wait in waits[8:])
    assert [w.complete for w in run.windows[8:]] == [True] * len(run.windows[8:])
    assert sensor(run.windows[-1]).coverage == 0.0


def test_a_silent_stream_that_speaks_again_is_waited_for_again() -> None:
    early = [reading(i) for i in range(20)]
    back = [reading(i) for i in range(120, 200)]
    pairs = [(s.timestamp_ns, s) for s in [frame(i) for i in range(100)] + early]
    pairs += [(s.timestamp_ns + 400 * MS, s) for s in back]
    pairs.sort(key=lambda pair: pair[0])
    aligner = opened(settings(streams=CAMERA_AND_PROBE))
    run = feed(aligner, [s for _, s in pairs], arrivals=[a for a, _ in pairs])
    last = [w for w in run.windows if w.start_ns >= T0 + 6 * S]
    assert last
    assert all(sensor(w).coverage == 1.0 and w.complete for w in last)


def test_quiet_text_hardly_delays_windows_and_its_silence_is_coverage() -> None:
    samples = [frame(i) for i in range(60)]
    aligner = opened(settings(streams=("camera", "log")))
    run = feed(aligner, in_order([*samples, line(0, T0 + 10 * MS)]), end=False)
    waits = [cut - w.end_ns for w, cut in zip(run.windows, run.cut_at, strict=True)]
    assert max(waits) <= 100 * MS
    assert all(text(w).coverage == 1.0 and w.complete for w in run.windows)


def test_ended_streams_let_the_last_windows_out_at_once() -> None:
    aligner = opened(patient())
    run = feed(aligner, clean(4), end=False)
    for stream in aligner.counts:
        aligner.end(stream)
    rest = aligner.pop_ready(T0 + 4 * S)
    assert [w.start_ns - T0 for w in run.windows + rest] == [k * S // 2 for k in range(5)]
    assert text(rest[-1]).coverage == 0.0


def test_a_stream_that_was_never_announced_has_no_slice() -> None:
    run = feed(opened(settings(), (CAMERA,)), [frame(i) for i in range(60)])
    assert all(list(w.slices) == ["camera"] for w in run.windows)


def test_an_outage_of_all_streams_is_skipped_not_cut_empty() -> None:
    later = T0 + 3600 * S
    aligner = opened(settings(streams=("camera",)))
    samples = [frame(i) for i in range(40)]
    samples += [frame(i, stamp_ns=later + i * 100 * MS) for i in range(40, 80)]
    run = feed(aligner, samples)
    assert aligner.skipped > 7000
    assert len(run.windows) < 30
    assert run.windows[-1].start_ns > later
    assert not unaccounted(aligner)


def test_a_short_outage_of_all_streams_gives_windows_that_say_so() -> None:
    samples = [s for s in clean(14) if not 3 * S <= s.timestamp_ns - T0 < 8 * S]
    run = feed(opened(settings()), samples)
    assert [w.index for w in run.windows] == [run.windows[0].index + k for k in range(25)]
    blind = [w for w in run.windows if w.start_ns >= T0 + 3200 * MS and w.end_ns <= T0 + 8 * S]
    assert blind
    assert all(video(w).coverage == audio(w).coverage == 0.0 for w in blind)


def test_one_stamp_from_the_future_poisons_nothing() -> None:
    samples = [(s.timestamp_ns, s) for s in clean(8)]
    wrong = reading(200, start_ns=T0 + 10**6 * S)
    samples.append((T0 + 3 * S, wrong))
    samples.sort(key=lambda pair: pair[0])
    aligner = opened(settings())
    run = feed(aligner, [s for _, s in samples], arrivals=[a for a, _ in samples])
    assert aligner.counts["probe"].discarded == {Discard.FUTURE: 1}
    assert aligner.counts["probe"].late == 0
    assert all(sensor(w).coverage == 1.0 for w in run.windows)


def test_a_device_with_a_wrong_clock_that_comes_first_poisons_nothing() -> None:
    pairs = [(s.timestamp_ns + MS, s) for s in clean(8) if s.stream == "camera"]
    wrong = [reading(i, start_ns=T0 + 10**8 * S) for i in range(160)]
    pairs += [(T0 + i * 50 * MS, sample) for i, sample in enumerate(wrong)]
    pairs.sort(key=lambda pair: pair[0])
    aligner = opened(settings(streams=CAMERA_AND_PROBE))
    run = feed(aligner, [s for _, s in pairs], arrivals=[a for a, _ in pairs])
    assert [w.start_ns - T0 for w in run.windows] == [k * S // 2 for k in range(13)]
    assert all(video(w).coverage == 1.0 for w in run.windows)
    assert aligner.counts["probe"].discarded == {Discard.FUTURE: 160}


def test_a_jump_is_believed_when_another_stream_makes_it_too() -> None:
    far = T0 + 5000 * S
    aligner = opened(patient(streams=CAMERA_AND_PROBE))
    for i in range(30):
        aligner.push(frame(i))
        aligner.push(reading(i))
    aligner.push(frame(30, start_ns=far))
    assert aligner.buffered()["camera"] == 31
    aligner.push(reading(30, start_ns=far))
    aligner.push(frame(31, start_ns=far))
    assert sum(sum(c.discarded.values()) for c in aligner.counts.values()) == 0
    assert not unaccounted(aligner)


def test_a_jump_of_a_lone_stream_is_believed_after_five_samples() -> None:
    far = T0 + 5000 * S
    aligner = opened(settings(streams=("camera",)))
    aligner.push(frame(0))
    for i in range(1, 60):
        aligner.push(frame(i, start_ns=far))
    windows = aligner.pop_ready(T0 + S)
    assert windows[-1].start_ns > far
    assert Discard.FUTURE not in aligner.counts["camera"].discarded


def test_a_stream_that_runs_far_ahead_does_not_fill_the_memory() -> None:
    aligner = opened(settings(streams=CAMERA_AND_PROBE, max_ahead_ns=5 * S))
    aligner.push(reading(0))
    most = 0
    for i in range(3000):
        aligner.pop_ready(T0)
        aligner.push(frame(i))
        most = max(most, aligner.buffered()["camera"])
    assert most < 80


def test_the_uncertainty_of_a_window_is_the_worst_of_its_samples() -> None:
    samples = clean(5)
    for sample in samples:
        sample.uncertainty_ns = 5 * MS if sample.sequence == 12 else MS
    run = feed(opened(patient()), samples)
    assert run.windows[0].uncertainty_ns == dict.fromkeys(
        ("camera", "microphone", "probe"), 5 * MS
    ) | {"log": MS}
    assert run.windows[-1].uncertainty_ns["camera"] == MS


def test_frames_are_taken_once_and_only_within_half_a_period() -> None:
    offsets = [0, 40, -40, 30, 60]
    samples = [frame(i, stamp_ns=T0 + i * 100 * MS + o * MS) for i, o in enumerate(offsets)]
    samples += [frame(i) for i in range(6, 40)]
    run = feed(opened(patient(streams=("camera",))), samples)
    taken = [f and f.sequence for f in video(run.windows[0]).frames[:7]]
    assert taken == [0, 1, 2, 3, None, 4, 6]


def test_a_slower_camera_leaves_grid_points_empty_rather_than_repeat_frames() -> None:
    options = patient(streams=("camera",), options={"camera": {"grid_hz": 20}})
    run = feed(opened(options), [frame(i) for i in range(60)])
    assert all(video(w).coverage == 0.5 for w in run.windows)
    assert video(run.windows[0]).grid_ns.shape == (40,)


def test_strangers_are_refused_with_the_way_out() -> None:
    aligner = settings(streams=("camera", "log")).build()
    with pytest.raises(AlignmentError, match="'probe' is not a stream of this scene"):
        aligner.push(reading(0))
    with pytest.raises(AlignmentError, match="'microphone' is not a stream of this scene"):
        aligner.open(MICROPHONE)
    with pytest.raises(AlignmentError, match="'probe' is not a stream of this scene"):
        aligner.end("probe")
    with pytest.raises(AlignmentError, match="announced"):
        aligner.push(frame(0))
    aligner.open(CAMERA)
    with pytest.raises(AlignmentError, match="announced as text"):
        aligner.open(dataclasses.replace(LOG, name="camera"))
    with pytest.raises(AlignmentError, match="without a rate"):
        settings(streams=("m",)).build().open(StreamInfo("m", Modality.AUDIO))


def test_resuming_after_windows_were_cut_is_refused() -> None:
    aligner = opened(settings(streams=("camera",)))
    feed(aligner, [frame(i) for i in range(40)])
    with pytest.raises(AlignmentError, match="cut already"):
        aligner.resume_at(5)


def test_resuming_lets_go_quietly_of_what_older_windows_needed() -> None:
    aligner = opened(patient())
    aligner.resume_at((T0 + 4 * S) * 2 // S)
    run = feed(aligner, clean(8))
    assert run.windows[0].start_ns == T0 + 4 * S
    assert all(c.late == 0 for c in aligner.counts.values())
    assert aligner.counts["camera"].discarded[Discard.RESUMED] == 40
    assert not unaccounted(aligner)


def test_settings_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(ValidationError, match="listed twice"):
        settings(streams=("camera", "camera"))
    with pytest.raises(ValidationError, match="no streams of the scene"):
        settings(options={"stranger": {}})


def test_times_before_the_first_are_those_of_the_first_call() -> None:
    aligner = settings(streams=CAMERA_AND_PROBE).build()
    aligner.open(CAMERA)
    aligner.open(PROBE)
    for i in range(30):
        aligner.push(frame(i))
    assert aligner.next_deadline_ns() is None
    assert not aligner.pop_ready(T0)
    run = Run([], [])
    wait(aligner, T0 + S, run)
    assert [w.start_ns for w in run.windows] == [T0, T0 + S // 2]
    assert not any(w.complete for w in run.windows)


def test_sound_alone_makes_windows_too() -> None:
    run = feed(opened(settings(streams=("microphone",))), [sound(i) for i in range(200)])
    assert len(run.windows) == 5
    assert all(audio(w).coverage == 1.0 for w in run.windows)


def test_once_nothing_moves_a_scene_on_all_of_what_ended_is_released() -> None:
    aligner = opened(settings(streams=("camera",), idle_ns=S))
    aligner.pop_ready(T0)
    for index in range(15):
        aligner.push(frame(index))
    assert aligner.released() == {"camera": -1}
    aligner.end("camera")
    assert aligner.released() == {"camera": 14}


def test_windows_past_the_last_sample_of_all_are_cut_empty_and_the_scene_goes_on() -> None:
    slow = dataclasses.replace(CAMERA, rate_hz=1.0)  # its last frame may speak for 1.5 s
    aligner = opened(settings(streams=("camera",), window_ns=S // 2), infos=[slow])
    run = feed(aligner, [frame(i, stamp_ns=T0 + i * S) for i in range(5)])
    assert run.windows[-1].end_ns == T0 + 4 * S + 3 * S // 2
    assert video(run.windows[-1]).coverage == 0.0
    aligner.open(slow)
    again = feed(aligner, [frame(i, stamp_ns=T0 + (i + 1) * S) for i in range(5, 10)])
    assert again.windows[0].start_ns >= run.windows[-1].start_ns
    assert again.windows[-1].start_ns > T0 + 9 * S


def test_the_end_of_one_stream_hurries_no_window_that_another_is_awaited_for() -> None:
    waits = {"latency_ns": S // 2, "idle_ns": 10 * S}
    aligner = opened(settings(streams=CAMERA_AND_PROBE, **waits))
    for index in range(30):
        aligner.pop_ready(T0 + index * 100 * MS)
        aligner.push(frame(index))
        if index >= 10:
            aligner.push(reading(2 * index - 20))  # a second behind
    aligner.end("camera")  # at 2.9 s: only now its frames speak for all of the window to 3 s
    ends = {}
    for late in range(29, 36):
        for window in aligner.pop_ready(T0 + late * 100 * MS):
            ends[(window.end_ns - T0) // MS] = (late, window.complete)
    assert ends == {2500: (30, False), 3000: (34, False)}


def test_a_window_is_complete_when_the_wait_for_a_silent_stream_ends_with_its_latency() -> None:
    aligner = opened(settings(streams=CAMERA_AND_PROBE, latency_ns=S, idle_ns=2 * S))
    samples = [*(frame(i) for i in range(40)), *(reading(i) for i in range(21))]  # to 1 s
    run = feed(aligner, in_order(samples), end=False)
    assert run.windows[0].end_ns == T0 + 2 * S
    assert run.cut_at[0] == T0 + 3 * S
    assert run.windows[0].complete
