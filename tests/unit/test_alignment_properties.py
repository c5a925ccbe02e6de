"""What must hold for every run of the aligner, whatever the streams do.

``FUSEWATCH_EXAMPLES=10000`` tries that many scenes a property, see `alignment_scenarios`.
"""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.alignment.grid import Grid
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.window import AudioSlice, SensorSlice, TextSlice, VideoSlice, Window
from tests.unit.alignment_mishaps import mishaps
from tests.unit.alignment_scenarios import (
    HOPS_NS,
    SOUND_HZ,
    WINDOWS_NS,
    Call,
    Scenario,
    calls,
    draw,
    examples,
    extent_ns,
    on_time,
    play,
    tell,
)
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
    settings,
    unaccounted,
    wait,
)

few = examples()
seeds = st.integers(0, 2**32 - 1)
LATENESS_NS = 300 * MS


def prints(run: Run) -> list[tuple[object, ...]]:
    return [fingerprint(window) for window in run.windows]


def shuffled(rng: random.Random, scene: Scenario) -> list[Call]:
    """Another arrival order in which no sample comes more than the lateness late."""
    return calls(
        scene,
        [(extent_ns(scene, s) + rng.randrange(LATENESS_NS), s) for s in scene.samples],
    )


@few
@given(seeds)
def test_any_arrival_order_within_the_lateness_gives_the_same_windows(seed: int) -> None:
    rng = random.Random(seed)
    scene = draw(rng)
    options = scene.patient(lateness_ns=LATENESS_NS)
    one, other = options.build(), options.build()
    assert prints(play(one, on_time(scene))) == prints(play(other, shuffled(rng, scene)))
    for aligner in (one, other):
        assert not unaccounted(aligner)
        assert not any(counts.late for counts in aligner.counts.values())


@few
@given(seeds)
def test_how_streams_interleave_makes_no_difference(seed: int) -> None:
    rng = random.Random(seed)
    scene = draw(rng)
    delays = {info.name: rng.randrange(3 * S) for info in scene.infos}
    delayed = [(s.timestamp_ns + delays[s.stream], s) for s in scene.samples]
    first = play(scene.patient().build(), on_time(scene))
    second = play(scene.patient().build(), calls(scene, delayed))
    assert prints(first) == prints(second)


@few
@given(seeds)
def test_no_window_goes_back_and_every_sample_is_accounted_for(seed: int) -> None:
    rng = random.Random(seed)
    scene = draw(rng)
    told = mishaps(rng, scene)
    aligner = scene.options(lateness_ns=rng.choice([0, 0, 200 * MS])).build()

    def look() -> None:
        assert not unaccounted(aligner)

    run = play(aligner, told, after=look)
    look()
    pushed = sum(isinstance(what, Sample) for _, what in told)
    assert sum(counts.pushed for counts in aligner.counts.values()) == pushed
    indices = [window.index for window in run.windows]
    assert all(later > earlier for earlier, later in itertools.pairwise(indices))
    if indices:
        assert indices[-1] - indices[0] + 1 <= len(indices) + aligner.skipped
    told_late = sum(sum(window.late.values()) for window in run.windows)
    assert told_late <= sum(counts.late for counts in aligner.counts.values())


@few
@given(seeds)
def test_nothing_in_a_window_is_out_of_place(seed: int) -> None:
    rng = random.Random(seed)
    scene = draw(rng)
    aligner = scene.options(lateness_ns=rng.choice([0, 200 * MS])).build()
    run = play(aligner, mishaps(rng, scene))
    taken: set[int] = set()
    for window in run.windows:
        assert_in_place(window)
        part = window.slices.get("camera")
        if isinstance(part, VideoSlice):
            taken |= {id(frame) for frame in part.frames if frame}
    used, held = aligner.counts["camera"].used, aligner.buffered()["camera"]
    assert used <= len(taken) <= used + held


def assert_in_place(window: Window) -> None:
    for name, part in window.slices.items():
        match part:
            case VideoSlice():
                near = part.grid_ns[1] - part.grid_ns[0] if len(part.grid_ns) > 1 else 2 * S
                stamps = [f.timestamp_ns for f in part.frames if f]
                assert part.present.tolist() == [f is not None for f in part.frames]
                assert all(b >= a for a, b in itertools.pairwise(stamps))
                assert len({id(f) for f in part.frames if f}) == len(stamps)
                for point, found in zip(part.grid_ns.tolist(), part.frames, strict=True):
                    if found is not None and len(part.grid_ns) > 1:
                        reach = near / 2 + min(near / 4, found.uncertainty_ns) + 1
                        assert abs(found.timestamp_ns - point) <= reach
            case AudioSlice():
                assert not part.samples[~part.present].any()
            case SensorSlice():
                assert (np.isfinite(part.values) == part.present).all()
            case TextSlice():
                inside = (part.timestamps_ns >= window.start_ns) & (
                    part.timestamps_ns < window.end_ns
                )
                assert inside.all()
        assert 0.0 <= part.coverage <= 1.0, name


@few
@given(seeds)
def test_no_window_waits_longer_than_the_latency_after_the_first_stream_passed(seed: int) -> None:
    rng = random.Random(seed)
    scene = draw(rng)
    lag = {info.name: rng.randrange(4 * S) for info in scene.infos}
    pairs = [(s.timestamp_ns + lag[s.stream], s) for s in scene.samples]
    run = play(scene.options().build(), calls(scene, pairs))
    for window, cut_at in zip(run.windows, run.cut_at, strict=True):
        passed = [at for at, s in pairs if extent_ns(scene, s) >= window.end_ns]
        if passed:
            assert cut_at <= max(min(passed) + S, run.cut_at[0])


@few
@given(seeds)
def test_how_often_windows_are_asked_for_makes_no_difference(seed: int) -> None:
    rng = random.Random(seed)
    scene = draw(rng)
    told = mishaps(rng, scene)
    eager, lazy = scene.options().build(), scene.options().build()
    expected = play(eager, told, end=False)
    found: list[Window] = []
    for at, what in told:
        found += lazy.pop_ready(at)
        tell(lazy, what)
        if rng.random() < 0.3:
            found += lazy.pop_ready(at)
    end = max((at for at, _ in told), default=0) + 60 * S
    wait(eager, end, expected)
    found += lazy.pop_ready(end)
    assert prints(expected) == [fingerprint(window) for window in found]


@few
@given(seeds, st.floats(0.1, 1.0))
def test_a_run_resumed_from_its_released_points_cuts_the_same_windows(
    seed: int, share: float
) -> None:
    scene = draw(random.Random(seed), 8.0)
    told = on_time(scene)
    whole = play(scene.patient().build(), told)
    aligner = scene.patient().build()
    part = told[: round(share * len(told))]
    before = play(aligner, part, end=False)
    before.windows += aligner.pop_ready(part[-1][0]) if part else []
    if not before.windows:
        return
    again = scene.patient().build()
    again.resume_at(before.windows[-1].index + 1)
    released = aligner.released()
    missing = [
        (at, what)
        for at, what in told
        if not isinstance(what, Sample) or what.sequence > released.get(what.stream, -1)
    ]
    after = play(again, missing)
    assert prints(before) + prints(after) == prints(whole)
    assert not unaccounted(again)
    assert all(counts.late == 0 for counts in again.counts.values())


def on_grids(rng: random.Random) -> Scenario:
    """Frames, readings and sound exactly where their grids want them, for three seconds."""
    rate, sound_hz = rng.choice((10.0, 25.0, 29.97, 7.0)), rng.choice(SOUND_HZ)
    infos = (
        StreamInfo("camera", Modality.VIDEO, rate, (4, 4, 3), "uint8"),
        StreamInfo("probe", Modality.SENSOR, rate, (2,), "float64", channels=("a", "b")),
        StreamInfo("microphone", Modality.AUDIO, sound_hz, (1,), "int16"),
    )
    grid, sound, begin = Grid(rate), Grid(sound_hz), T0 + rng.randrange(10 * S)
    noise = np.random.default_rng(rng.randrange(1 << 32))
    samples = []
    for index in range(round(3 * rate)):
        stamp = grid.time_ns(grid.nearest(begin) + 1 + index)
        samples.append(Sample("camera", index, stamp, b"x", Encoding.JPEG))
        samples.append(Sample("probe", index, stamp, noise.standard_normal(2), Encoding.FLOAT))
    size = rng.choice((160, 441, 1024))
    for position in range(0, round(3 * sound_hz), size):
        data = noise.integers(-32768, 32768, (size, 1)).astype(np.int16)
        stamp = sound.time_ns(sound.nearest(begin) + 1 + position)
        index = position // size
        samples.append(Sample("microphone", index, stamp, data, Encoding.PCM, position=position))
    names = tuple(info.name for info in infos)
    changes = {"window_ns": rng.choice(WINDOWS_NS), "hop_ns": rng.choice(HOPS_NS)}
    changes["streams"] = names
    return Scenario(infos, in_order(samples), changes)


@few
@given(seeds)
def test_clean_streams_come_out_bit_for_bit(seed: int) -> None:
    scene = on_grids(random.Random(seed))
    run = play(scene.patient().build(), on_time(scene), end=False)
    by_stream = {i.name: [s for s in scene.samples if s.stream == i.name] for i in scene.infos}
    frames = {s.timestamp_ns: s for s in by_stream["camera"]}
    readings = {s.timestamp_ns: s.data for s in by_stream["probe"]}
    heard = np.concatenate([s.data for s in by_stream["microphone"]]).astype(np.float32) / 32768
    sound = Grid(scene.infos[2].rate_hz or 1.0)
    origin = sound.nearest(by_stream["microphone"][0].timestamp_ns)
    assert run.windows
    for window in run.windows[1:]:  # the first may begin before a stream's first grid point
        camera, probe, microphone = (window.slices[info.name] for info in scene.infos)
        assert isinstance(camera, VideoSlice)
        assert isinstance(probe, SensorSlice)
        assert isinstance(microphone, AudioSlice)
        assert window.complete
        assert list(camera.frames) == [frames[at] for at in camera.grid_ns.tolist()]
        wanted = np.array([readings[at] for at in probe.grid_ns.tolist()])
        assert np.array_equal(probe.values, wanted)
        first = sound.nearest(window.start_ns) - origin
        assert np.array_equal(microphone.samples, heard[first : first + len(microphone.samples)])
        assert microphone.present.all()


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
