from dataclasses import replace

import numpy as np
import pytest

from pipeline.core.sample import Modality
from pipeline.models.audio_quality import AudioInspector
from pipeline.models.quality import (
    Inspector,
    NothingToInspect,
    Quality,
    clearness,
    learn_limits,
)
from pipeline.models.sensor_quality import SensorInspector
from pipeline.models.video_quality import VideoInspector
from tests import spoiled
from tests.model_samples import (
    CHANNELS,
    RATE,
    audio,
    pictures,
    readings,
    sensor,
    sound,
    text,
    usual,
    video,
)


class Watcher:
    """An inspector with the limits of some normal slices."""

    def __init__(self, inspector: Inspector, normal) -> None:
        self._inspector = inspector
        self._limits = learn_limits(np.stack([inspector.measure(s) for s in normal]), inspector)

    def look(self, part) -> Quality:
        measures = self._inspector.measure(part)
        return self._inspector.judge(clearness(measures, self._limits, self._inspector))


def watcher(modality: Modality, count: int = 20) -> Watcher:
    kinds = {
        Modality.VIDEO: VideoInspector(),
        Modality.AUDIO: AudioInspector(),
        Modality.SENSOR: SensorInspector(CHANNELS),
    }
    return Watcher(kinds[modality], [usual(modality, seed) for seed in range(count)])


@pytest.mark.parametrize("modality", [Modality.VIDEO, Modality.AUDIO, Modality.SENSOR])
def test_fresh_normal_sees_as_well_as_ever(modality):
    look = watcher(modality).look
    assert [look(usual(modality, seed)) for seed in range(100, 110)] == [Quality(1.0)] * 10


@pytest.mark.parametrize("how", ["dark", "covered", "frozen"])
def test_a_spoilt_picture_counts_for_nothing_and_is_named(how):
    seen = watcher(Modality.VIDEO).look(getattr(spoiled, how)(usual(Modality.VIDEO, 50)))
    assert seen == Quality(0.0, how)


def test_a_picture_out_of_focus_counts_for_nothing_and_is_named():
    def edged(seed: int):
        noise = np.random.default_rng(seed)
        tiles = 60 + 80 * (np.indices((60, 80)).sum(axis=0) // 10 % 2)[..., None]
        return video([(tiles + noise.normal(0, 2, (60, 80, 3))).astype(np.uint8) for _ in "1234"])

    look = Watcher(VideoInspector(), [edged(seed) for seed in range(10)]).look
    assert look(edged(50)) == Quality(1.0)
    assert look(spoiled.dark(edged(50), 0.6)) == Quality(1.0)  # less light is not less focus
    assert look(spoiled.blurred(edged(50))) == Quality(0.0, "blurred")


def test_a_site_that_is_dark_every_night_is_not_degraded_at_night():
    day = [usual(Modality.VIDEO, seed) for seed in range(10)]
    look = Watcher(VideoInspector(), [*day, *map(spoiled.dark, day)]).look
    assert look(spoiled.dark(usual(Modality.VIDEO, 50))) == Quality(1.0)
    assert look(spoiled.covered(usual(Modality.VIDEO, 51))).weight == 1.0  # no darker than night


def test_a_picture_that_is_repeated_while_nothing_happens_is_not_frozen_there():
    quiet = [spoiled.frozen(usual(Modality.VIDEO, seed)) for seed in range(10)]
    busy = [usual(Modality.VIDEO, seed) for seed in range(10, 20)]
    assert Watcher(VideoInspector(), [*quiet, *busy]).look(quiet[3]) == Quality(1.0)


def test_a_key_frame_now_and_then_does_not_make_a_frozen_picture_live():
    frames = pictures(np.random.default_rng(50))
    still = [frames[0]] * 9 + [frames[1]] * 11
    assert watcher(Modality.VIDEO).look(video(still)) == Quality(0.0, "frozen")


def test_the_weight_falls_smoothly_as_the_light_goes():
    look = watcher(Modality.VIDEO).look
    day = usual(Modality.VIDEO, 50)
    weights = [look(spoiled.dark(day, light)).weight for light in np.geomspace(1.0, 0.02, 40)]
    assert weights[0] == 1.0
    assert weights[-1] == 0.0
    steps = np.diff(weights)
    assert (steps <= 1e-12).all()
    assert steps.min() > -0.25


def test_half_a_picture_of_frames_is_enough_to_look_at_and_none_tells_nothing():
    look = watcher(Modality.VIDEO).look
    frames = pictures(np.random.default_rng(50))
    gaps = [f if i % 2 else None for i, f in enumerate(frames)]
    assert look(video(gaps)) == Quality(1.0)
    assert look(video([None] * 20)) == Quality(1.0)  # missing, which is said elsewhere


@pytest.mark.parametrize("how", ["clipped", "silent"])
def test_a_spoilt_sound_counts_for_nothing_and_is_named(how):
    seen = watcher(Modality.AUDIO).look(getattr(spoiled, how)(usual(Modality.AUDIO, 50)))
    assert seen == Quality(0.0, how)


def test_a_cable_that_breaks_in_the_middle_of_a_window_is_heard_to():
    samples = sound(np.random.default_rng(50))
    samples[RATE // 2 :] = 0.0
    assert watcher(Modality.AUDIO).look(audio(samples)).reason == "silent"


def test_a_faint_hiss_far_below_the_quietest_is_silence_too():
    faint = spoiled.sound_as(usual(Modality.AUDIO, 50), lambda samples: samples * 0.05)
    assert watcher(Modality.AUDIO).look(faint) == Quality(0.0, "silent")


def test_a_loud_sound_that_fits_is_not_clipped():
    tone = 0.99 * np.sin(np.arange(2 * RATE) * 0.3)
    loud = spoiled.sound_as(usual(Modality.AUDIO, 50), lambda _: tone[:, None])
    assert watcher(Modality.AUDIO).look(loud) == Quality(1.0)


def test_what_was_not_heard_is_not_silent():
    samples = sound(np.random.default_rng(50))
    heard = np.arange(len(samples)) < len(samples) * 0.6
    assert watcher(Modality.AUDIO).look(audio(samples, heard)) == Quality(1.0)


def test_one_microphone_of_two_that_is_dead_is_noticed():
    def stereo(seed: int, dead: bool = False):
        one = audio(sound(np.random.default_rng(seed)))
        two = sound(np.random.default_rng(seed + 1000))[:, None] * (not dead)
        return replace(one, samples=np.concatenate([one.samples, two], axis=1).astype(np.float32))

    look = Watcher(AudioInspector(), [stereo(seed) for seed in range(10)]).look
    assert look(stereo(50)) == Quality(1.0)
    assert look(stereo(50, dead=True)).reason == "silent"


def test_a_stuck_channel_takes_its_share_and_is_named():
    look = watcher(Modality.SENSOR).look
    part = usual(Modality.SENSOR, 50)
    assert look(spoiled.stuck(part, 1)) == Quality(0.75, "stuck (current)")
    assert look(spoiled.stuck(part, slice(1, 3))) == Quality(0.5, "stuck (current, pressure)")
    everything = look(spoiled.stuck(part, slice(None)))
    assert everything == Quality(0.0, "stuck (speed, current, pressure, ...)")


def test_a_channel_that_always_stood_still_is_not_stuck():
    normal = [spoiled.stuck(usual(Modality.SENSOR, seed), 3) for seed in range(20)]
    look = Watcher(SensorInspector(CHANNELS), normal).look
    assert look(normal[0]) == Quality(1.0)
    assert look(spoiled.stuck(normal[0], 0)) == Quality(0.75, "stuck (speed)")


def test_a_channel_that_moves_in_steps_is_stuck_only_when_it_stands_longer():
    def coarse(seed: int):
        values = readings(np.random.default_rng(seed))
        values[:, 0] = np.repeat(values[::5, 0], 5)  # a reading every half second
        return sensor(values)

    look = Watcher(SensorInspector(CHANNELS), [coarse(seed) for seed in range(20)]).look
    assert look(coarse(50)) == Quality(1.0)
    assert look(spoiled.stuck(coarse(50), 0)) == Quality(0.75, "stuck (speed)")


def test_missing_cells_count_per_channel_unless_they_always_were_missing():
    def holed(seed: int, channel: int):
        values = readings(np.random.default_rng(seed))
        values[:14, channel] = np.nan
        return sensor(values)

    assert watcher(Modality.SENSOR).look(holed(50, 2)) == Quality(0.75, "partly missing (pressure)")
    look = Watcher(SensorInspector(CHANNELS), [holed(seed, 2) for seed in range(20)]).look
    assert look(holed(50, 2)) == Quality(1.0)


def test_readings_that_are_no_numbers_harm_nothing():
    values = readings(np.random.default_rng(50))
    values[3, 0], values[4, 0], values[5, 1] = np.inf, -np.inf, 1.7e308
    values[6, 1] = -1.7e308
    assert watcher(Modality.SENSOR).look(sensor(values)).weight > 0.7


def test_a_log_is_there_or_not():
    inspector = NothingToInspect()
    measures = inspector.measure(text(("heartbeat ok",)))
    limits = learn_limits(np.stack([measures, measures]), inspector)
    assert inspector.judge(clearness(measures, limits, inspector)) == Quality(1.0)


def test_a_handful_of_odd_windows_in_normal_do_not_set_the_limit():
    measures = np.zeros((1000, 1))
    measures[:3] = 9.0
    inspector = VideoInspector()
    limits = learn_limits(np.repeat(measures, 4, axis=1), inspector)
    assert limits == pytest.approx(inspector.margins)
