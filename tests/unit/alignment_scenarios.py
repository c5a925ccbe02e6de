"""Scenes drawn at random: awkward rates, and everything that streams do wrong.

A scene is drawn from a seed, which keeps drawing cheap: ten thousand scenes a property take
minutes. ``FUSEWATCH_EXAMPLES=10000 pytest --timeout=0 ...`` draws that many, new ones on each run;
unset, it is the same few every time.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings

from pipeline.alignment.aligner import Aligner, AlignerSettings
from pipeline.alignment.settings import StreamOptions
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from tests.unit.alignment_streams import MS, T0, Run, S, in_order, wait

WINDOWS_NS = (2 * S, S, 1300 * MS, 700 * MS, 333_333_333)
HOPS_NS = (S // 2, 300 * MS, 250 * MS, 142_857_143)
CAMERA_HZ = (10.0, 25.0, 29.97, 7.0, 1.0, 1 / 60)
SOUND_HZ = (*[8000.0] * 4, *[11025.0] * 3, 44100.0)  # the fast one costs the most time
PROBE_HZ = (20.0, 10.0, 50.0, 3.3, 1.0, 1 / 60, None)
MODES = ("linear", "previous", "none")


def examples(usual: int = 15) -> Callable[[Any], Any]:
    """How many scenes a property is tried on."""
    wanted = int(os.environ.get("FUSEWATCH_EXAMPLES", "0"))
    return hypothesis_settings(
        max_examples=wanted or usual,
        derandomize=not wanted,
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate),  # a smaller seed is no simpler scene
        suppress_health_check=list(HealthCheck),
    )


@dataclass
class Scenario:
    """A scene and what its streams give.

    Attributes:
        infos: Streams that are announced; one without samples stays silent.
        samples: In order of their stamps.
        changes: Settings of the aligner.
        opens_ns: When streams that are not there from the start are announced.
    """

    infos: tuple[StreamInfo, ...]
    samples: list[Sample]
    changes: dict[str, Any]
    opens_ns: dict[str, int] = field(default_factory=dict)

    def options(self, **more: object) -> AlignerSettings:
        base = {"scene": "room", "streams": ("camera", "microphone", "probe", "log")}
        return AlignerSettings.model_validate(base | self.changes | more)

    def patient(self, **more: object) -> AlignerSettings:
        """Only watermarks cut windows, never a timer."""
        waits = dict.fromkeys(("latency_ns", "idle_ns", "event_patience_ns"), 10**15)
        return self.options(**(waits | {"max_ahead_ns": 10**15} | more))


def draw(rng: random.Random, seconds: float = 4.0) -> Scenario:
    """A scene with jitter, drift, drops, stalls, repeats, gaps, rate changes and epochs."""
    start = T0 + rng.randrange(10 * S)
    makers = {"camera": _camera, "microphone": _microphone, "probe": _probe, "log": _log}
    shy = rng.choice(["", "", "", *makers])  # announced, but silent
    infos, samples, opens = [], [], {}
    for name, make in makers.items():
        if rng.random() < 0.1 and (infos or name != "log"):
            continue
        begin = start + (rng.randrange(2 * S) if rng.random() < 0.4 else 0)
        info, made = make(rng, begin, seconds - (begin - start) / S)
        infos.append(info)
        if name != shy:
            samples += _spoil(rng, made)
            if begin > start:
                opens[name] = begin - rng.randrange(S // 2)
    return Scenario(tuple(infos), in_order(samples), _changes(rng, infos), opens)


def _changes(rng: random.Random, infos: list[StreamInfo]) -> dict[str, Any]:
    window = rng.choice(WINDOWS_NS)
    hop = rng.choice((*HOPS_NS, window, window + 100 * MS))
    options = {info.name: _options(rng, info) for info in infos}
    return {"window_ns": window, "hop_ns": hop, "options": options}


def _options(rng: random.Random, info: StreamInfo) -> StreamOptions:
    grid = rng.choice((None, None, 12.5)) if info.modality is not Modality.AUDIO else None
    modes = {"a": rng.choice(MODES)} if info.modality is Modality.SENSOR else {}
    gap = rng.choice((150 * MS, S, 5 * S, 90 * S))
    return StreamOptions(
        grid_hz=grid,
        max_gap_ns=gap,
        interpolation=rng.choice((None, *MODES)),
        channel_interpolation=modes,  # type: ignore[arg-type]
    )


def _stamps(rng: random.Random, rate: float, begin: int, seconds: float) -> list[int]:
    """Stamps of a device with drift and jitter, whose rate may change on the way."""
    jitter = rng.choice((0, 0, 200_000, 2 * MS))
    period = S / rate * (1 + rng.choice((0, 0, 50, -300)) * 1e-6)
    change = seconds * rng.random() if rng.random() < 0.15 else seconds
    at, made = 0.0, []
    while at < seconds * S and len(made) < 400:
        made.append(begin + round(at) + (rng.randrange(jitter) if jitter else 0))
        at += period * (1.5 if at > change * S else 1.0)
    return made


def _camera(rng: random.Random, begin: int, seconds: float) -> tuple[StreamInfo, list[Sample]]:
    rate = rng.choice(CAMERA_HZ)
    info = StreamInfo("camera", Modality.VIDEO, rate, (4, 4, 3), "uint8")
    stamps = _stamps(rng, rate, begin, seconds)
    return info, [Sample("camera", i, t, b"x", Encoding.JPEG) for i, t in enumerate(stamps)]


def _probe(rng: random.Random, begin: int, seconds: float) -> tuple[StreamInfo, list[Sample]]:
    rate = rng.choice(PROBE_HZ)
    info = StreamInfo("probe", Modality.SENSOR, rate, (2,), "float64", channels=("a", "b"))
    stamps = _stamps(rng, rate or 5.0, begin, seconds)
    if rate is None:
        stamps = sorted(begin + rng.randrange(round(seconds * S)) for _ in stamps)
    holes = rng.choice((0.0, 0.0, 0.1, 0.6))
    made = []
    for index, stamp in enumerate(stamps):
        values = [rng.random() if rng.random() >= holes else np.nan for _ in "ab"]
        made.append(Sample("probe", index, stamp, np.array(values), Encoding.FLOAT))
    return info, made


def _log(rng: random.Random, begin: int, seconds: float) -> tuple[StreamInfo, list[Sample]]:
    count = rng.randrange(12)
    stamps = sorted(begin + rng.randrange(max(1, round(seconds * 10))) * 100 * MS
                    for _ in range(count))  # fmt: skip
    made = [Sample("log", i, t, f"line {i}", Encoding.UTF8) for i, t in enumerate(stamps)]
    return StreamInfo("log", Modality.TEXT), made


def _microphone(rng: random.Random, begin: int, seconds: float) -> tuple[StreamInfo, list[Sample]]:
    """Chunks whose samples count on, in one or several epochs, of one size or of many."""
    rate = rng.choice(SOUND_HZ)
    info = StreamInfo("microphone", Modality.AUDIO, rate, (1,), "int16")
    size = rng.choice((round(rate / 50), 1024))
    sizes = rng.choice(((size,), (size, size // 3, 2 * size)))
    step = S / rate * (1 + rng.choice((0, 0, 100, -300)) * 1e-6)
    jitter = rng.choice((0, 0, 200_000, 2 * MS))
    at, position, epoch, origin, made = 0.0, 0, 0, 0.0, list[Sample]()
    while at < seconds * S:
        count = rng.choice(sizes)
        data = (np.arange(position, position + count) % 30000).astype(np.int16)[:, None]
        stamp = begin + round(at) + (rng.randrange(jitter) if jitter else 0)
        made.append(
            Sample("microphone", len(made), stamp, data, Encoding.PCM,
                   epoch=epoch, position=position)
        )  # fmt: skip
        position += count
        at = origin + position * step
        if rng.random() < 0.004:
            epoch, position, origin = epoch + 1, 0, at + rng.randrange(S)
            at = origin
    return info, made


def _spoil(rng: random.Random, samples: list[Sample]) -> list[Sample]:
    """Drops, a hole, doubtful stamps, and samples that come twice."""
    if not samples:
        return []
    drops, twice = rng.choice((0.0, 0.02, 0.3)), rng.choice((0.0, 0.02))
    hole = rng.choice(samples).timestamp_ns
    length = rng.choice((0, 0, 300 * MS, 2500 * MS))
    kept = []
    for sample in samples:
        if rng.random() < drops or 0 <= sample.timestamp_ns - hole < length:
            continue
        sample.uncertainty_ns = rng.randrange(MS)
        kept.append(sample)
        if rng.random() < twice:
            kept.append(replace(sample))
    return kept


def extent_ns(scenario: Scenario, sample: Sample) -> int:
    """Up to where a sample tells about its stream."""
    if sample.stream != "microphone" or not isinstance(sample.data, np.ndarray):
        return sample.timestamp_ns
    rate = next(info.rate_hz for info in scenario.infos if info.name == "microphone")
    return sample.timestamp_ns + round(len(sample.data) * S / (rate or 1.0))


Call: TypeAlias = tuple[int, Sample | StreamInfo | str]
"""What an aligner is told, and when: a sample, a stream announced, the end of one (its name)."""


def calls(scene: Scenario, pairs: Iterable[tuple[int, Sample]]) -> list[Call]:
    """Samples and when they come, in order of arrival, each stream announced before its first."""
    came = sorted(pairs, key=lambda pair: pair[0])
    begin = came[0][0] if came else T0
    told: list[Call] = []
    for info in scene.infos:
        first = next((at for at, sample in came if sample.stream == info.name), begin)
        told.append((min(first, scene.opens_ns.get(info.name, begin)), info))
    return sorted([*told, *came], key=lambda call: (call[0], isinstance(call[1], Sample)))


def tell(aligner: Aligner, what: object) -> None:
    """Hand in a sample, announce a stream, or end the one of this name."""
    match what:
        case Sample():
            aligner.push(what)
        case StreamInfo():
            aligner.open(what)
        case str():
            aligner.end(what)


def play(
    aligner: Aligner,
    told: Sequence[Call],
    *,
    after: Callable[[], None] = lambda: None,
    end: bool = True,
) -> Run:
    """Tell an aligner, asking for windows before each call and at each deadline.

    Args:
        aligner: The aligner.
        told: In order of arrival.
        after: Called after each of them.
        end: Whether all streams end after that, so that all windows come out.
    """
    run = Run([], [])
    for arrival, what in told:
        wait(aligner, arrival, run)
        tell(aligner, what)
        after()
    if end:
        for stream in aligner.counts:
            aligner.end(stream)
        while (deadline := aligner.next_deadline_ns()) is not None:
            wait(aligner, deadline, run)
    return run


def on_time(scene: Scenario) -> list[Call]:
    """Everything at the moment of its stamp."""
    return calls(scene, ((sample.timestamp_ns, sample) for sample in scene.samples))
