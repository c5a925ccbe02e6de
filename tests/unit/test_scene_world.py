"""One hidden state causes picture, sound and sensors together."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.sources.scene import SceneSourceSettings
from pipeline.sources.synthetic.chance import Chance
from pipeline.sources.synthetic.machine import Machine
from pipeline.sources.synthetic.murmur import Murmur
from pipeline.sources.synthetic.place import make_place
from pipeline.sources.synthetic.reel import Reel
from pipeline.sources.synthetic.sensors import CHANNELS
from pipeline.sources.synthetic.visits import Visits

HZ = 8000


@pytest.fixture(scope="module")
def reel() -> Reel:
    return Reel(
        SceneSourceSettings(place=1, seed=6, size=(160, 90), audio_hz=HZ, jpeg_quality=None)
    )


@pytest.fixture(scope="module")
def visits(reel):
    return reel.world.visits.slots.between(20.0, 900.0)


def channel(reel, name, from_s, to_s):
    index = CHANNELS.index(name)
    return np.array([reel.reading(k)[index] for k in range(int(from_s * 10), int(to_s * 10))])


def alone(visits):
    """Visits that nobody else overlaps, by three seconds either way."""
    return [
        v
        for v in visits
        if not any(
            o is not v and o.start_s < v.end_s + 3 and o.end_s > v.start_s - 3 for o in visits
        )
    ]


def test_draws_have_an_address_and_no_memory():
    chance = Chance(3, "test")
    first = chance.at(5).random(4)
    chance.at(9).random(100)
    assert np.array_equal(chance.at(5).random(4), first)
    assert not np.array_equal(Chance(3, "other").at(5).random(4), first)
    assert not np.array_equal(chance.at(-5).random(4), first)
    spread = chance.uniform(np.arange(-50_000, 50_000))
    assert abs(spread.mean() - 0.5) < 0.01
    assert abs(spread.std() - 12**-0.5) < 0.01
    assert abs(np.corrcoef(spread[:-1], spread[1:])[0, 1]) < 0.02


def test_the_wheel_turns_as_fast_as_its_speed_says_and_never_jumps():
    machine = Machine(make_place(1).machine, seed=2)
    t = np.arange(-60.0, 240.0, 0.01)
    step = np.diff(machine.turns(t))
    step = (step + 0.5) % 1.0 - 0.5
    assert np.abs(step / 0.01 - machine.speed_hz(t[:-1] + 0.005)).max() < 1e-4


def test_visits_are_the_same_from_wherever_one_looks():
    place = make_place(4)
    one, two = Visits(place, 1), Visits(place, 1)
    early = [v.start_s for v in one.slots.between(0.0, 500.0)]
    late = [v.start_s for v in two.slots.between(400.0, 500.0)]
    assert late == [s for s in early if s in late]
    assert len(late) > 0


def test_a_murmur_is_exact_at_any_position_and_does_not_repeat():
    murmur = Murmur(1, "test", HZ, 100.0, 2000.0)
    whole = murmur.at(10_000, 30_000)
    assert np.array_equal(murmur.at(21_111, 500), whole[11_111:11_611])
    assert abs(float(whole.std()) - 1.0) < 0.15
    repeat = murmur.at(10_000 + 12 * HZ, 30_000)
    assert abs(np.corrcoef(whole, repeat)[0, 1]) < 0.2


def test_somebody_walking_is_heard_step_by_step(reel, visits):
    walker = next(v for v in alone(visits) if len(v.strikes_s) > 8 and not v.person.cart)
    gains = []
    for strike in walker.strikes_s[2:-2]:
        at = round(strike * HZ)
        step = reel.sound(at + 60, 1200).astype(float).std()
        before = reel.sound(at - 1400, 1200).astype(float).std()
        gains.append(step / before)
    assert np.median(gains) > 1.2


def test_the_picture_moves_while_somebody_is_there_and_the_motion_sensor_knows(reel, visits):
    visit = alone(visits)[0]
    middle = round(sum(visit.present) * 5)
    after = round(visit.end_s * 10) + 12
    assert reel.reading(middle)[CHANNELS.index("pir")] == 1.0
    assert reel.reading(after)[CHANNELS.index("pir")] == 0.0
    moved = np.abs(reel.frame(middle).astype(int) - reel.frame(middle + 5)).sum(axis=2) > 90
    still = np.abs(reel.frame(after).astype(int) - reel.frame(after + 5)).sum(axis=2) > 90
    assert moved.sum() > 1.5 * still.sum()


def test_the_door_is_open_in_the_contact_when_somebody_passes(reel, visits):
    visit = next(v for v in visits if v.doors_s)
    contact = channel(reel, "door_contact", visit.start_s - 4, visit.end_s + 4)
    assert contact.max() == 1.0
    assert reel.reading(round(visit.doors_s[0] * 10))[CHANNELS.index("door_contact")] == 1.0


def test_current_vibration_and_hum_follow_the_machine(reel):
    t = np.arange(0.0, 300.0, 1.0)
    load = reel.world.machine.load(t)
    pace = reel.world.machine.pace(t)
    current = channel(reel, "machine_current_a", 0, 300)[::10]
    vibration = channel(reel, "vibration_mm_s", 0, 300)[::10]
    assert np.corrcoef(current, 3.2 * load + 1.5 * pace)[0, 1] > 0.95
    assert np.corrcoef(vibration, 0.9 * load + 1.6 * pace)[0, 1] > 0.95
    loud = [np.sqrt(np.mean(reel.sound(int(s) * HZ, HZ).astype(float) ** 2)) for s in t[:120]]
    assert np.corrcoef(np.log(loud), (0.55 * pace + 0.5 * load)[:120])[0, 1] > 0.4


def test_day_is_bright_and_night_is_dark_in_picture_and_sensor():
    settings = SceneSourceSettings(
        place=1, seed=6, size=(160, 90), audio=None, jpeg_quality=None, day_length_s=2400.0
    )
    reel = Reel(settings)
    noon, night = 200, 1400
    lux = CHANNELS.index("light_lux")
    assert reel.world.weather.hour(np.array([noon]))[0] == pytest.approx(12.0)
    assert reel.reading(noon * 10)[lux] > 2 * reel.reading(night * 10)[lux]
    window = reel.world.place.window
    at = (
        reel._eye()
        .camera.project(np.array([[window.centre_m + 0.3, 1.9, reel.world.place.depth_m]]))[0]
        .astype(int)
    )
    pane = np.s_[at[1] - 2 : at[1] + 3, at[0] - 2 : at[0] + 3]
    assert reel.frame(noon * 10)[pane].mean() > 3 * reel.frame(night * 10)[pane].mean()


def test_breath_rises_with_company_and_is_aired_out(reel):
    quiet = channel(reel, "co2_ppm", 0, 300)
    assert quiet.min() > 400.0
    assert quiet.max() < 2500.0
    assert quiet.std() > 15.0


def test_switching_the_floor_lamp_is_seen_and_measured_at_the_same_moment(reel):
    lamp = next(
        lamp for lamp in reel.world.nuisance.lamps.between(0.0, 2000.0) if lamp.start_s > 20
    )
    before, after = int(lamp.start_s * 10) - 1, int(lamp.start_s * 10) + 2
    lux = CHANNELS.index("light_lux")
    assert reel.reading(after)[lux] - reel.reading(before)[lux] > 25.0
    assert np.abs(reel.frame(after).astype(int) - reel.frame(before)).mean() > 0.5
