"""Sensors that follow hidden causes, for tests of the training of networks.

Two slow hidden causes move two streams, each mixing them in its own way under noise of its own,
so that one can be told from the other only by what causes both. Events can be put in.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pipeline.core.sample import Modality, StreamInfo
from pipeline.core.window import SensorSlice, Window
from pipeline.models.fusion_model import FusionModel, FusionModelSettings
from pipeline.training.augment import AugmentSettings, SensorChange
from pipeline.training.labelled import kinds_of, label_scene
from pipeline.training.labels import Label
from pipeline.training.modality_dropout import DropoutSettings
from pipeline.training.phases.base import Ground
from pipeline.training.prepared import DataSettings, PreparedScene, prepare_scene

HOP_NS, LENGTH_NS, HZ = 500_000_000, 2_000_000_000, 10
FIRST = 3_400_000_000  # grid index of the first window
ORIGIN_NS = FIRST * HOP_NS
STREAMS = tuple(StreamInfo(name, Modality.SENSOR, float(HZ), (3,)) for name in ("a", "b"))
MIX = {
    "a": np.array([[1.0, 0.2, -0.5], [0.1, 1.0, 0.6]]),
    "b": np.array([[-0.7, 1.0, 0.3], [1.0, 0.4, -0.8]]),
}
DATA = DataSettings(block_s=10.0, held_every=4)
CHANGES = AugmentSettings(sensor=SensorChange(jitter=0.1, scale=0.05, hide=0.0))


def causes(seconds: int, seed: int) -> np.ndarray:
    """Two causes at each reading, ``(T, 2)``: noise made smooth over about three seconds."""
    random = np.random.default_rng(seed)
    count = seconds * HZ
    rough = random.normal(size=(count + 60, 2))
    bell = np.hanning(31)
    smooth = np.stack([np.convolve(r, bell / np.sqrt((bell**2).sum()), "same") for r in rough.T])
    return smooth.T[30 : 30 + count]


def readings(
    seconds: int, seed: int = 0, labels: Sequence[Label] = (), noise: float = 0.15
) -> dict[str, np.ndarray]:
    """Readings of each stream, ``(T, 3)``; a label's kind says what happens to which."""
    hidden = causes(seconds, seed)
    random = np.random.default_rng(seed + 1000)
    found = {
        name: hidden @ mix + noise * random.normal(size=(len(hidden), 3))
        for name, mix in MIX.items()
    }
    other = causes(seconds, seed + 2000)
    for label in labels:
        rows = slice(round(label.start_s * HZ), round(label.end_s * HZ))
        times = np.arange(rows.stop - rows.start)[:, None] / HZ
        if label.kind == "apart":  # b follows something else
            found["b"][rows] += (other[rows] - hidden[rows]) @ MIX["b"]
        if label.kind == "trembles":  # a clearly, b a little
            found["a"][rows] += 0.8 * np.sin(2 * np.pi * 3.5 * times)
            found["b"][rows] += 0.3 * np.sin(2 * np.pi * 3.5 * times)
    return found


def windows(values: dict[str, np.ndarray], first: int = FIRST) -> list[Window]:
    """Windows of readings."""
    per, step = LENGTH_NS * HZ // 10**9, HOP_NS * HZ // 10**9
    count = (len(next(iter(values.values()))) - per) // step + 1
    found = []
    for number in range(count):
        rows = slice(number * step, number * step + per)
        start_ns = (first + number) * HOP_NS
        grid = start_ns + np.arange(per) * (10**9 // HZ)
        slices = {}
        for info in STREAMS:
            part = values[info.name][rows]
            seen = np.isfinite(part)
            slices[info.name] = SensorSlice(info, grid, part, seen, float(seen.mean()))
        found.append(Window("toy", first + number, start_ns, start_ns + LENGTH_NS, slices))
    return found


def network(seed: int = 0, **options: object) -> FusionModel:
    """A small network."""
    encoder = {"type": "sensor_gru", "width": 16, "steps": 10}
    small = {"encoders": {"sensor": encoder}, "width": 16, "queries": 2, "context": "none"}
    small |= {"fusion": {"type": "concat", "hidden": 32}} | options
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FusionModel(FusionModelSettings.model_validate(small), STREAMS)


def scene_of(
    model: FusionModel, values: dict[str, np.ndarray], first: int = FIRST
) -> PreparedScene:
    return prepare_scene(model, windows(values, first), DATA)


def ground(
    model: FusionModel,
    seconds: int = 240,
    labels: Sequence[Label] = (),
    dropout: DropoutSettings | None = None,
    noise: float = 0.15,
) -> Ground:
    """Normal time, and as much labelled time after it when there are labels."""
    normal = scene_of(model, readings(seconds, noise=noise))
    split = normal.split(DATA)
    model.fit_scale(normal.batch(split.learn).inputs)
    labelled = None
    if labels:
        first = FIRST + 10_000
        shown = scene_of(model, readings(seconds, 7, labels, noise), first)
        labelled = label_scene(shown, labels, first * HOP_NS, kinds_of(labels))
    chosen = dropout or DropoutSettings()
    return Ground(model, normal, split, CHANGES.build(model), chosen, labelled)


def events(seconds: int, kinds: Sequence[str] = ("apart", "trembles")) -> list[Label]:
    """An event of six seconds every fifteen, the kinds in turn."""
    return [
        Label(start, start + 6.0, kinds[number % len(kinds)])
        for number, start in enumerate(np.arange(4.0, seconds - 8.0, 15.0).tolist())
    ]
