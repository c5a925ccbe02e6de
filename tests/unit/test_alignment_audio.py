"""Sound is cut sample by sample, whatever stamps and devices do."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.window import AudioSlice, Window
from tests.unit.alignment_streams import MS, T0, S, feed, opened, patient, settings, unaccounted

RATE = 16000


def info(rate: float = RATE, channels: int = 1) -> StreamInfo:
    return StreamInfo("microphone", Modality.AUDIO, rate, (channels,), "int16")


def ramp(position: int, size: int) -> npt.NDArray[np.float32]:
    """Sound whose value tells its position: exact in float32, unique for 16 seconds."""
    return ((np.arange(position, position + size) % 262144) / 262144).astype(np.float32)[:, None]


def chunks(
    seconds: float,
    *,
    rate: float = RATE,
    size: int = 320,
    start_ns: int = T0,
    true_rate: float | None = None,
    stamp: Callable[[int], int] = lambda t: t,
    make: Callable[[int, int], npt.NDArray[np.generic]] = ramp,
) -> Iterator[Sample]:
    for index in range(int(seconds * rate) // size):
        position = index * size
        time = start_ns + round(position * 1e9 / (true_rate or rate))
        yield Sample(
            "microphone",
            index,
            stamp(time),
            make(position, size),
            Encoding.FLOAT,
            position=position,
        )


def slices(windows: list[Window]) -> list[tuple[int, AudioSlice]]:
    found = []
    for window in windows:
        part = window.slices["microphone"]
        assert isinstance(part, AudioSlice)
        found.append((window.start_ns, part))
    return found


def errors(
    windows: list[Window], start_ns: int, true_rate: float = RATE
) -> npt.NDArray[np.float64]:
    """By how many samples each present sample lies off where it was recorded."""
    found = []
    for start, part in slices(windows):
        times = (start - start_ns) / 1e9 + np.arange(len(part.samples)) / RATE
        placed = part.samples[:, 0].astype(np.float64) * 262144
        off = placed - times * true_rate
        off = (off + 131072) % 262144 - 131072
        found.append(off[part.present])
    return np.concatenate(found)


ONE = {"streams": ("microphone",)}


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("offset_ns", [0, 31_250, 123_456_789])
def test_clean_sound_is_cut_bit_for_bit(rate: int, offset_ns: int) -> None:
    start = T0 + offset_ns
    samples = list(chunks(4, rate=rate, size=441, start_ns=start))
    whole = np.concatenate([s.data for s in samples])
    run = feed(opened(patient(**ONE), [info(rate)]), samples)
    assert run.windows
    for begin, part in slices(run.windows):
        first = round((begin - start) * rate / 1e9)
        candidates = [whole[f : f + 2 * rate] for f in (first - 1, first, first + 1) if f >= 0]
        assert any(np.array_equal(part.samples, c) for c in candidates)
        assert part.present.all()
        assert part.samples.shape == (2 * rate, 1)


def test_integers_become_floats_of_the_same_value_and_channels_stay_apart() -> None:
    def stereo(position: int, size: int) -> npt.NDArray[np.int16]:
        left = np.arange(position, position + size) % 20000 - 10000
        return np.stack([left, -left], axis=1).astype(np.int16)

    run = feed(opened(patient(**ONE), [info(channels=2)]), list(chunks(4, make=stereo)))
    for begin, part in slices(run.windows):
        first = (begin - T0) * RATE // S
        assert np.array_equal(part.samples * 32768, stereo(first, 2 * RATE))


def test_overlapping_windows_share_their_samples_even_when_stamps_jitter() -> None:
    rng = random.Random(1)
    samples = list(chunks(12, true_rate=RATE * 1.0002, stamp=lambda t: t + rng.randrange(MS)))
    run = feed(opened(patient(**ONE), [info()]), samples)
    parts = slices(run.windows)
    for (_, one), (_, other) in itertools.pairwise(parts):
        assert np.array_equal(one.samples[RATE // 2 :], other.samples[: -RATE // 2])
        assert np.array_equal(one.present[RATE // 2 :], other.present[: -RATE // 2])


def test_jitter_of_a_millisecond_tears_nothing_and_places_within_sixteen_samples() -> None:
    rng = random.Random(2)
    samples = list(chunks(15, stamp=lambda t: t + round(rng.gauss(0, 1e6))))
    run = feed(opened(patient(**ONE), [info()]), samples)
    assert min(part.coverage for _, part in slices(run.windows)) > 0.99
    off = np.abs(errors(run.windows, T0))
    assert np.quantile(off, 0.99) <= 16


@pytest.mark.parametrize("ppm", [-5000, -100, 20, 100, 5000])
def test_a_device_whose_rate_is_off_is_resampled_into_place(ppm: int) -> None:
    true_rate = RATE * (1 + ppm * 1e-6)
    run = feed(opened(patient(**ONE), [info()]), list(chunks(15, true_rate=true_rate)))
    assert min(part.coverage for _, part in slices(run.windows)) > 0.999
    late = [w for w in run.windows if w.start_ns >= T0 + 4 * S]
    off = np.abs(errors(late, T0, true_rate))
    assert np.quantile(off, 0.99) <= 16 * abs(ppm) / 5000 + 1.5


def test_resampled_tones_stay_clean() -> None:
    def tone(position: int, size: int) -> npt.NDArray[np.float32]:
        time = np.arange(position, position + size) / RATE
        return (0.5 * np.sin(2 * np.pi * 3000 * time)).astype(np.float32)[:, None]

    samples = list(chunks(12, true_rate=RATE * 1.0001, make=tone))
    run = feed(opened(patient(**ONE), [info()]), samples)
    wave = slices(run.windows)[-1][1].samples[:, 0]
    spectrum = np.abs(np.fft.rfft(wave * np.blackman(len(wave)))) ** 2
    peak = int(spectrum.argmax())
    noise = spectrum.sum() - spectrum[peak - 60 : peak + 61].sum()
    assert abs(peak * 0.5 - 3000 * 1.0001) < 1.0
    assert noise / spectrum.sum() < 1e-4


def test_a_lost_chunk_is_silence_marked_absent_and_moves_nothing() -> None:
    samples = [s for s in chunks(6) if s.sequence != 55]
    aligner = opened(patient(**ONE), [info()])
    run = feed(aligner, samples)
    _, first = slices(run.windows)[0]
    hole = slice(55 * 320, 56 * 320)
    assert not first.present[hole].any()
    assert not first.samples[hole].any()
    assert first.present.sum() == 2 * RATE - 320
    assert np.abs(errors(run.windows, T0)).max() < 0.01
    assert aligner.counts["microphone"].gaps == 1


def test_sound_lost_uncounted_by_the_device_is_placed_anew() -> None:
    samples = list(chunks(8))
    for sample in samples[200:]:
        sample.timestamp_ns += 700 * MS
    run = feed(opened(patient(**ONE), [info()]), samples)
    off = errors([w for w in run.windows if w.end_ns <= T0 + 4 * S], T0)
    assert np.abs(off).max() < 0.01
    off = errors([w for w in run.windows if w.start_ns >= T0 + 5 * S], T0 + 700 * MS)
    assert np.abs(off).max() < 0.01


def test_a_new_epoch_starts_its_own_count() -> None:
    first, second = list(chunks(3)), list(chunks(5, start_ns=T0 + 3 * S + 250 * MS))
    for sample in second:
        sample.epoch = 1
        sample.sequence += len(first)
    aligner = opened(patient(**ONE), [info()])
    run = feed(aligner, [*first, *second])
    torn = next(p for s, p in slices(run.windows) if s == T0 + 2 * S)
    absent = np.flatnonzero(~torn.present)
    assert (absent[0], absent[-1]) == (RATE, RATE + RATE // 4 - 1)
    late = [w for w in run.windows if w.start_ns >= T0 + 4 * S]
    assert np.abs(errors(late, T0 + 3 * S + 250 * MS)).max() < 0.01
    assert not unaccounted(aligner)


def test_numbers_that_are_none_are_silence_marked_absent() -> None:
    samples = list(chunks(4))
    samples[30].data = np.full((320, 1), np.nan, dtype=np.float32)
    run = feed(opened(settings(**ONE), [info()]), samples)
    _, first = slices(run.windows)[0]
    assert np.isfinite(first.samples).all()
    assert (~first.present).sum() == 320
