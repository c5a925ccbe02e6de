"""The pictures of an event's sound and channels show what is unusual where and when it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core.arrival import SampleArrived, StreamOpened
from pipeline.core.event import Evidence
from pipeline.core.explanation import Band, Basis, Channel, Explanation
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.detection.evidence_material import Kept
from pipeline.detection.evidence_pictures import pictures_of
from tests.event_samples import event

S, START_S, RATE = 1_000_000_000, 100, 16_000
MIC = StreamInfo("mic", Modality.AUDIO, float(RATE), (1,), "int16")
PLC = StreamInfo("plc", Modality.SENSOR, 20.0, (2,), "float64", channels=("heat", "flow"))
BAND = Band("mic", 2000.0, 4000.0, 0.5, 1.5, -10.0, -60.0, -50.0)
HEAT = Channel("plc", "heat", "value", 80.0, 20.0, 30.0)
SPECTROGRAM, CHANNELS = "e/spectrogram.png", "e/channels.png"


def sound(seconds: int = 10, gap_s: Sequence[int] = ()) -> Iterator[Kept]:
    """Hum and hiss all along, and from 5.5 to 6.5 s a roar of 2 to 4 kHz."""
    rng = np.random.default_rng(3)
    tones_hz = np.arange(2050, 3951, 50)[:, None]
    phases = rng.uniform(0, 2 * np.pi, tones_hz.shape)
    yield StreamOpened(0, "pi", MIC)
    for second in (s for s in range(seconds) if s not in gap_s):
        at = np.arange(RATE) / RATE + second
        wave = 300 * np.sin(2 * np.pi * 100 * at) + rng.normal(0, 20, RATE)
        if second in (5, 6):
            roar = 300 * np.sin(2 * np.pi * tones_hz * at + phases).sum(axis=0)
            wave += np.where((at >= 5.5) & (at < 6.5), roar, 0.0)
        data = wave.astype(np.int16)[:, None]
        time_ns = (START_S - 5 + second) * S
        sample = Sample("mic", second, time_ns, data, Encoding.PCM, position=second * RATE)
        yield SampleArrived(time_ns, "pi", sample)


def readings() -> Iterator[Kept]:
    """Heat of 25 that jumps to 80 after half the time; the flow is not read."""
    yield StreamOpened(0, "pi", PLC)
    for number in range(200):
        time_ns = (START_S - 5) * S + number * S // 20
        values = np.array([25.0 if number < 100 else 80.0, np.nan])
        sample = Sample("plc", number, time_ns, values, Encoding.FLOAT)
        yield SampleArrived(time_ns, "pi", sample)


def drawn(
    kept: Sequence[Kept], bands: Sequence[Band] = (), channels: Sequence[Channel] = ()
) -> dict[str, npt.NDArray[np.int64]]:
    why = Explanation(kind=Basis.SINGLE, bands=tuple(bands), channels=tuple(channels))
    named = Evidence(
        spectrogram=SPECTROGRAM if bands else "", channels=CHANNELS if channels else ""
    )
    told = event(START_S, explanation=why, evidence=named)
    pictures = pictures_of(told, START_S * S, kept)
    assert all(len(picture) < 200_000 for picture in pictures.values())
    return {n: cv2.imdecode(np.frombuffer(p, np.uint8), 1).astype(int) for n, p in pictures.items()}


def test_the_box_in_the_spectrogram_is_around_what_is_loud():
    picture = drawn([*sound()], [BAND])[SPECTROGRAM]
    plot = picture[47:285, 65:863]
    white = (plot > 250).all(axis=2)
    rows, columns = (
        np.flatnonzero(white.mean(axis=n) > share) for n, share in ((1, 0.05), (0, 0.1))
    )
    inside = slice(rows[0] + 6, rows[-1] - 5)
    assert plot[inside, columns[0] + 6 : columns[-1] - 5].mean() > 100
    assert plot[inside, : columns[0] - 20].mean() < 70
    assert plot[inside, columns[-1] + 20 :].mean() < 70
    assert abs(columns[0] - 0.55 * 798) < 8 and abs(columns[-1] - 0.65 * 798) < 8
    above = plot[: rows[0] - 6, columns[0] + 6 : columns[-1] - 5]
    assert above.mean() < 70


def test_where_nothing_was_heard_the_spectrogram_is_blank():
    whole, gap = (drawn([*sound(gap_s=gap)], [BAND])[SPECTROGRAM] for gap in ((), (2, 3)))
    middle = slice(64 + round(0.22 * 800), 64 + round(0.38 * 800))
    assert (gap[50:280, middle] == 255).all()
    assert (whole[50:280, middle] < 250).any()


def test_the_course_of_a_channel_leaves_the_green_of_what_was_expected():
    picture = drawn([*readings()], channels=[HEAT])[CHANNELS]
    plot = picture[33:121, 62:488]
    green = (plot[..., 1] - plot[..., 2] > 20).any(axis=1)
    ink = plot.sum(axis=2) < 300
    before = np.flatnonzero(ink[:, 40:190].any(axis=1)).mean()
    after = np.flatnonzero(ink[:, 250:400].any(axis=1)).mean()
    expected = np.flatnonzero(green)
    assert expected.min() <= before <= expected.max()
    assert after < expected.min() - 30


def test_a_channel_that_was_not_read_and_one_nobody_knows_are_told_all_the_same():
    others = [Channel("plc", "flow", "noise", 1.0, 0.0, 2.0), Channel("x", "y", "value", 1.0, 0, 2)]
    picture = drawn([*readings()], channels=others)[CHANNELS]
    assert picture.shape[0] == 2 * 150 + 28


def test_there_is_no_spectrogram_without_sound_and_the_channels_stay():
    assert set(drawn([*readings()], [BAND], [HEAT])) == {CHANNELS}


def test_a_second_of_sound_and_a_level_line_are_drawn():
    assert set(drawn([*sound(1)], [BAND])) == {SPECTROGRAM}
