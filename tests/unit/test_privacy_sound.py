"""Sound that leaves as band levels: what they say, what they cannot, and what is still found."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest

from pipeline.core.errors import BadReading
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.window import SensorSlice, Window
from pipeline.sources.privacy import PrivateOutlet
from pipeline.sources.privacy_settings import Privacy
from pipeline.sources.sound_bands import RATE_HZ, SoundBands, band_info, centres_hz
from tests.outlets import KeptOutlet
from tests.toy_site import FIRST, HOP_NS, LENGTH_NS, MICROPHONE, RATE, Site

S = 10**9
MIC = StreamInfo("mic", Modality.AUDIO, 16_000.0, (1,), "int16", stamp="adc")


def chunks(sound: np.ndarray, sizes: tuple[int, ...] = (640,), epoch: int = 0, at: int = 0):
    """Sound as chunks of these lengths in turn, stamped by its own counter."""
    done, turn = 0, 0
    while done < len(sound):
        part = sound[done : done + sizes[turn % len(sizes)]]
        stamp = 5 * S + (at + done) * S // 16_000
        yield Sample("mic", 0, stamp, part[:, None], Encoding.PCM, 1000, epoch, at + done)
        done, turn = done + len(part), turn + 1


def levels(sound: np.ndarray, **how) -> tuple[np.ndarray, list[int]]:
    bands = SoundBands(MIC)
    made = [reading for chunk in chunks(sound, **how) for reading in bands.take(chunk)]
    return np.array([one.data for one in made]), [one.timestamp_ns for one in made]


def tone(hz: float, seconds: float = 2.0, peak: float = 1.0) -> np.ndarray:
    times = np.arange(round(16_000 * seconds)) / 16_000
    return np.round(32767 * peak * np.sin(2 * np.pi * hz * times)).astype(np.int16)


def test_a_tone_stands_in_its_own_band_at_its_own_level():
    centres = np.array(centres_hz(16_000.0))
    assert len(centres) == 19
    assert band_info(MIC).channels[::6] == (
        "sound at 100 Hz",
        "sound at 398 Hz",
        "sound at 1.6 kHz",
        "sound at 6.3 kHz",
    )
    for hz in (125.9, 1000.0, 5011.9):
        found, _ = levels(tone(hz))
        own = int(np.argmin(abs(np.log(centres / hz))))
        assert found[:, own] == pytest.approx(-3.0, abs=0.2), "a full-scale sine is 3 dB below it"
        far = abs(np.log2(centres / hz)) > 0.6
        assert found[:, far].max() < -40
    quieter, _ = levels(tone(1000.0, peak=0.1))
    assert quieter[:, 10] == pytest.approx(-23.0, abs=0.2)


def test_noise_gives_every_band_its_share_of_the_power():
    noise = np.random.default_rng(1).normal(0, 3000, 16_000 * 90).astype(np.int16)
    found, _ = levels(noise)
    mean = 10 * np.log10((10 ** (found / 10)).mean(axis=0))
    widths = np.array(centres_hz(16_000.0)) * (10**0.05 - 10**-0.05)
    expected = 10 * np.log10((3000 / 32768) ** 2 * widths / 8000)
    assert mean == pytest.approx(expected, abs=1.0)


def test_readings_lie_in_the_middle_of_what_they_were_made_of():
    sound = np.zeros(16_000 * 4, np.int16)
    sound[32_000:32_100] = tone(3000.0)[:100]
    found, times = levels(sound)
    assert times[0] == 5 * S + S // RATE_HZ
    assert {b - a for a, b in pairwise(times)} == {S // RATE_HZ}
    loud = [t for t, row in zip(times, found, strict=True) if row.max() > -90]
    assert all(abs(t - 7 * S) <= S // RATE_HZ for t in loud)
    assert loud


@pytest.mark.parametrize("sizes", [(160,), (4001, 3), (1,) * 40 + (2500,), (64_000,)])
def test_levels_do_not_depend_on_how_the_sound_was_cut(sizes):
    sound = np.random.default_rng(2).normal(0, 900, 30_000).astype(np.int16)
    one, other = levels(sound), levels(sound, sizes=sizes)
    assert np.array_equal(one[0], other[0])
    assert one[1] == other[1]


def test_nothing_is_made_up_over_a_gap():
    bands = SoundBands(MIC)
    before, after = tone(500.0, 1.4), tone(4000.0, 1.4)
    made = [r for c in chunks(before) for r in bands.take(c)]
    made += [r for c in chunks(after, at=30_000) for r in bands.take(c)]
    made += [r for c in chunks(before, epoch=1) for r in bands.take(c)]
    low, high = (np.array([one.data[i] for one in made]) > -20 for i in (7, 16))
    assert len(made) == 12
    assert not (low & high).any()
    assert [one.epoch for one in made] == [0] * 8 + [1] * 4
    assert made[4].timestamp_ns == 5 * S + 30_000 * S // 16_000 + S // RATE_HZ


def test_the_stream_is_announced_and_goes_on_as_readings():
    outlet = KeptOutlet()
    private = PrivateOutlet(outlet, {"mic": Privacy(features=True)}.__getitem__)
    private.opened((MIC,))
    for chunk in chunks(tone(700.0)):
        private.samples([chunk])
    ((info,),) = outlet.openings
    assert (info.modality, info.rate_hz, info.unit) == (Modality.SENSOR, 4.0, "dB")
    assert info.shape == (len(info.channels),) == (19,)
    assert info.stamp == "adc"
    assert len(outlet.kept) == 7
    assert {one.encoding for one in outlet.kept} == {Encoding.FLOAT}
    assert {one.data.shape for one in outlet.kept} == {(19,)}


def test_sound_that_cannot_be_reduced_does_not_go_on():
    outlet = KeptOutlet()
    private = PrivateOutlet(outlet, lambda name: Privacy(features=True))
    slow = StreamInfo("slow", Modality.AUDIO, 150.0, (1,), "int16")
    private.opened((slow, MIC))
    private.samples([Sample("slow", 0, 1, np.zeros((9, 1), np.int16), Encoding.PCM)])
    private.samples([Sample("mic", 0, 1, b"RIFF", Encoding.PCM)])
    private.samples([Sample("other", 0, 1, np.zeros((9, 1), np.int16), Encoding.PCM)])
    assert outlet.kept == []
    assert outlet.refusals == {
        ("slow", DropReason.NOT_PRIVATE): 1,
        ("mic", DropReason.CORRUPT): 1,
        ("other", DropReason.NOT_PRIVATE): 1,
    }
    with pytest.raises(BadReading):
        list(SoundBands(MIC).take(Sample("mic", 0, 1, "text", Encoding.PCM)))


def test_many_sounds_give_the_very_same_levels_so_none_of_them_can_be_told_from_them():
    """Each band's sine may have any phase; 76 numbers a second cannot say which."""
    rng = np.random.default_rng(3)
    middles = np.arange(8, 8000, 8.0)[12:900:17]
    sounds = []
    for _ in range(6):
        times = np.arange(32_000) / 16_000
        phases = rng.uniform(0, 2 * np.pi, (len(middles), 1))
        mixed = np.sin(2 * np.pi * middles[:, None] * times + phases).sum(axis=0)
        sounds.append((mixed * 900).astype(np.int16))
    found = [levels(sound)[0] for sound in sounds]
    for other in range(1, 6):
        assert np.abs(found[0] - found[other]).max() < 0.5
        assert abs(np.corrcoef(sounds[0], sounds[other])[0, 1]) < 0.3


def test_what_is_quicker_than_speech_needs_is_flat_in_the_levels():
    """Syllables change a band 4 to 16 times a second; hardly anything of that is left."""
    times = np.arange(16_000 * 8) / 16_000
    carrier = np.random.default_rng(5).normal(0, 1, len(times))

    def swing(hz: float) -> float:
        sound = 2000 * carrier * (1 + np.sin(2 * np.pi * hz * times))
        power = 10 ** (levels(sound.clip(-32768, 32767).astype(np.int16))[0][:, 5:] / 10)
        total = power.sum(axis=1)
        return float(total.std() / total.mean())

    still = swing(0.0)
    assert swing(0.5) > 10 * still
    for hz in (4.7, 6.3, 8.9, 13.1):
        assert swing(hz) < 0.12, "of 0.7"


INFO = band_info(MICROPHONE)
ROWS = 2 * RATE_HZ


@lru_cache(maxsize=8)
def heard(
    seed: int, first: int, count: int, wrong_from: int = 0, wrong_to: int = 0, tone: str = "sound"
):
    """The toy site's microphone as windows of levels."""
    site = Site(seed, tone, wrong_from, wrong_to)
    bands = SoundBands(MICROPHONE)
    rows: list[np.ndarray] = []
    for hop in range(first, first + count + 4):
        sound = site._chunk(hop).sound[:, None]
        position = (hop - first) * RATE // 2
        made = Sample("mic", 0, hop * HOP_NS, sound, Encoding.FLOAT, position=position)
        rows += [one.data for one in bands.take(made)]
    levels = np.array(rows)
    present = np.full((ROWS, len(INFO.channels)), True)
    windows = []
    for index in range(count):
        start_ns = (FIRST + first + index) * HOP_NS
        grid = start_ns + np.arange(ROWS, dtype=np.int64) * (S // RATE_HZ)
        part = SensorSlice(INFO, grid, levels[2 * index : 2 * index + ROWS], present, 1.0)
        end_ns = start_ns + LENGTH_NS
        windows.append(
            Window("hall", FIRST + first + index, start_ns, end_ns, {"mic": part}, {"mic": 1000})
        )
    return windows


def test_a_sound_never_heard_before_is_still_found_and_its_band_is_named():
    import torch

    from pipeline.detection.scorer import Scorer
    from pipeline.models.settings import DetectorSettings
    from pipeline.training.commissioning import commission

    torch.set_num_threads(1)
    model, _ = commission("hall", heard(0, 0, 300), DetectorSettings(evidence=()))
    scorer = Scorer({"hall": model}, "cpu")
    calm = np.array([score.p for score in scorer.score(heard(1, 5000, 120))])
    scores = scorer.score(heard(1, 5000, 24, 5000, 5060))
    strange = np.array([score.p for score in scores])
    assert (strange[:, None] < calm[None]).mean() > 0.95
    assert np.median(strange) < 2e-3
    notes = [note for score in scores for note in score.notes.values()]
    assert any(note.startswith("sound at 2.5 kHz higher than usual") for note in notes), notes
