"""An engine of many scenes: each as if it were alone, and none the dearer for the others."""

import random

import numpy as np
import pytest

from pipeline.alignment.aligner import AlignerSettings
from pipeline.core.arrival import SampleArrived, StreamEnded, StreamOpened
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.detection.engine import Engine
from pipeline.detection.engine_scene import Scene

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
MANY = 40


def engine(streams):
    scenes = [
        Scene(name, AlignerSettings(scene=name, streams=tuple(used)).build())
        for name, used in streams.items()
    ]
    return Engine(scenes, streams, None), scenes


def info(name):
    return StreamInfo(name, Modality.SENSOR, 4.0, (1,), "float64", channels=("x",), stamp="exact")


def story(streams, seconds=12, seed=0):
    """Streams at 4 Hz that come, fall silent, end and come again, each at a time of its own."""
    chance = random.Random(seed)
    told = []
    for name in streams:
        begin = chance.choice((0, 0, 3))
        gap = chance.choice((None, (5, 9)))
        end = chance.choice((None, 7))
        told.append((START + begin * SECOND, StreamOpened, name, 0))
        for number in range(begin * 4, seconds * 4):
            at_s = number / 4
            if (gap and gap[0] <= at_s < gap[1]) or (end and end <= at_s < end + 1):
                continue
            if end and at_s == end + 1:
                told.append((START + int(at_s * SECOND), StreamOpened, name, 0))
            late = chance.randrange(200_000_000)
            told.append((START + int(at_s * SECOND) + late, SampleArrived, name, number))
        if end:
            told.append((START + end * SECOND, StreamEnded, name, 0))
    return [arrival(*one) for one in sorted(told, key=lambda one: one[0])]


def arrival(at_ns, kind, name, number):
    if kind is StreamOpened:
        return StreamOpened(at_ns, "n", info(name), "s")
    if kind is StreamEnded:
        return StreamEnded(at_ns, "n", name)
    stamp_ns = START + number * SECOND // 4
    data = np.array([float(number)])
    return SampleArrived(at_ns, "n", Sample(name, number, stamp_ns, data, Encoding.FLOAT))


def windows(machine, steps):
    found = []
    for step in steps:
        machine.take(step)
        found += machine.collect().windows
    machine.advance(steps[-1].arrival_ns + 20 * SECOND)
    return found + machine.collect().windows


def told(window):
    parts = {name: part.values.tolist() for name, part in window.slices.items()}
    return (window.scene, window.index, window.complete, str(parts), dict(window.late))


@pytest.mark.parametrize("seed", range(6))
def test_a_scene_among_many_has_the_windows_that_it_has_alone(seed):
    streams = {f"scene-{n}": (f"a-{n}", f"b-{n}") for n in range(6)}
    steps = story([s for used in streams.values() for s in used], seed=seed)
    together, _ = engine(streams)
    found = [told(window) for window in windows(together, steps)]
    assert len(found) > 60
    for name, used in streams.items():
        alone, [scene] = engine({name: used})
        own = []
        for step in steps:  # one that is alone is asked at every arrival, its own or not
            stream = step.info.name if isinstance(step, StreamOpened) else stream_of(step)
            alone.take(step) if stream in used else alone.advance(step.arrival_ns)
            assert scene.aligner.pop_ready(step.arrival_ns) == []
            own += alone.collect().windows
        alone.advance(steps[-1].arrival_ns + 20 * SECOND)
        own += alone.collect().windows
        assert [told(w) for w in own] == [one for one in found if one[0] == name]


def stream_of(step):
    return step.stream if isinstance(step, StreamEnded) else step.sample.stream


@pytest.mark.parametrize("seed", range(6))
def test_what_is_newly_released_adds_up_to_all_that_is(seed):
    streams = {"one": ("a", "shared"), "two": ("b", "shared"), "three": ("c",)}
    machine, scenes = engine(streams)
    known, strays = {}, {}
    for step in story(["a", "b", "c", "shared", "stray"], seed=seed):
        machine.take(step)
        machine.collect()
        if isinstance(step, SampleArrived) and step.sample.stream == "stray":
            strays["stray"] = step.sample.sequence
        known |= machine.newly_released()
        assert known == strays | all_released(scenes, step.arrival_ns)


def all_released(scenes, now_ns):
    """Every scene asked, whatever happened to it: what no scene needs of a stream."""
    points = {}
    for scene in scenes:
        scene.aligner.pass_time(now_ns)
        for stream, sequence in scene.aligner.released().items():
            points[stream] = min(points.get(stream, sequence), sequence)
    return {stream: sequence for stream, sequence in points.items() if sequence >= 0}


def test_an_arrival_asks_its_own_scene_alone(monkeypatch):
    streams = {f"scene-{n}": (f"a-{n}",) for n in range(MANY)}
    machine, scenes = engine(streams)
    for number in range(MANY):
        machine.take(arrival(START, StreamOpened, f"a-{number}", 0))
    machine.collect()
    machine.newly_released()
    asked = []
    for scene in scenes:
        for name in ("pop_ready", "released", "next_deadline_ns"):
            plain = getattr(scene.aligner, name)

            def spied(*given, scene=scene, plain=plain):
                asked.append(scene.name)
                return plain(*given)

            monkeypatch.setattr(scene.aligner, name, spied)
    for number in range(4):
        machine.take(arrival(START + number * SECOND // 4, SampleArrived, "a-7", number))
        machine.collect()
        machine.newly_released()
        machine.next_deadline_ns()
    assert set(asked) == {"scene-7"}
    assert len(asked) <= 12
