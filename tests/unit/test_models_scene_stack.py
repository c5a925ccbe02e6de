"""Scenes scored in one go say what each says by itself; on a GPU too where there is one."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch

from pipeline.core.window import VideoSlice, Window
from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.scorer import Scorer
from pipeline.models.batch_features import BatchFeatures
from pipeline.models.contexts.base import CONTEXTS
from pipeline.models.fusions.base import FUSIONS
from pipeline.models.odd import OddOneOut, widths_of
from pipeline.models.odd_network import OddNetwork
from pipeline.models.odd_settings import OddSettings
from pipeline.models.odd_stack import StackedOdd, odd_layout
from pipeline.models.packing import pack, replaced
from pipeline.models.scene_model import SceneModel
from pipeline.models.scene_stack import Ready, SceneStack, scene_layout, slots_of
from pipeline.models.stacking import layout, stacked
from pipeline.models.stream_model import make_extractor
from tests.toy_site import Site, commissioned

LIVE = 5000
CPU = torch.device("cpu")
DEVICES = [CPU, *([torch.device("cuda")] if torch.cuda.is_available() else [])]
SETTINGS = OddSettings(windows=4, hidden=8, width=8)


def odd_of(widths: tuple[int, ...], settings: OddSettings, seed: int) -> OddOneOut:
    torch.manual_seed(seed)
    made = [OddNetwork(settings, widths).eval() for _ in range(4)]
    for network in made:  # of new networks, normalisations are all alike
        for weight in network.parameters():
            weight.data += 0.1 * torch.randn(weight.shape)
    return OddOneOut(settings, widths, tuple(made[:2]), tuple(made[2:]))


@lru_cache(maxsize=1)
def scenes() -> tuple[SceneModel, ...]:
    """Three scenes of one layout that learnt different things, one of them fewer windows."""
    model = commissioned()[0]
    widths = widths_of(SETTINGS, [s.density.width for s in model.streams])
    return tuple(_scene(model, widths, seed) for seed in range(3))


def _scene(model: SceneModel, widths: tuple[int, ...], seed: int) -> SceneModel:
    generator = torch.Generator().manual_seed(seed)
    streams = []
    for stream in model.streams:
        density = replace(stream.density, objects=None)
        changed = {
            name: tensor * (1 + 0.05 * torch.rand(tensor.shape, generator=generator))
            for name, tensor in pack("d", density).items()
            if name.endswith((".mean", ".whiten", ".centre", ".memory", ".project"))
        }
        if seed == 1:
            changed = {
                n: x[..., x.shape[-2] // 4 :, :] if n.endswith(".memory") else x
                for n, x in changed.items()
            }
        density = replace(replaced(density, "d", changed), objects=stream.density.objects)
        fresh = make_extractor(stream.info, stream.settings)
        streams.append(replace(stream, density=density, extractor=fresh))
    odd = odd_of(widths, SETTINGS, seed)
    told = np.random.default_rng(seed).normal(size=(len(model.held.end_ns), len(odd.needs())))
    held = replace(model.held, scores=np.concatenate([model.held.scores, told], axis=1))
    return replace(model, scene=f"hall {seed}", streams=tuple(streams), odd=odd, held=held)


def sites() -> list[Site]:
    return [Site(seed=1, wrong="sound", wrong_from=LIVE, wrong_to=LIVE + 4), Site(2), Site(3)]


@pytest.mark.parametrize("device", DEVICES, ids=str)
@pytest.mark.parametrize(
    ("dtype", "rounding"), [(torch.float64, 1e-5), (torch.float32, 1e-4)], ids=["64", "32"]
)
def test_a_stack_says_what_each_scene_says_by_itself(device, dtype, rounding):
    models = scenes()
    assert scene_layout(models[0]) is not None
    assert len({scene_layout(model) for model in models}) == 1
    stack = SceneStack(models, device, dtype)
    pasts, alone = [m.past() for m in models], [m.past() for m in models]
    whole = spared = 0
    for number in range(12):
        ready, expected = [], []
        for slot, (model, site) in enumerate(zip(models, sites(), strict=True)):
            if (number, slot) == (3, 1):
                continue  # a gap, after which its networks have nothing to look back on
            features = model.features(site.window(LIVE + number))
            if (number, slot) == (5, 2):
                features.pop("mic")
            index = LIVE + number
            wanted = model.score([features], [index], alone[slot], CPU)
            if stack.fits(slot, features):
                ready.append(Ready(slot, features, index, pasts[slot]))
                expected.append(wanted)
            else:
                model.score([features], [index], pasts[slot], CPU)
        seen = stack.score(ready)
        for at, wanted in enumerate(expected):
            close(seen.scores[at], wanted.scores[0], rounding)
            odd = wanted.scores[0][-len(models[0].odd.needs()) :]
            whole += bool(np.isfinite(odd[: len(models[0].streams)]).all())
            spared += bool(np.isfinite(odd[len(models[0].streams) :]).any())
            assert set(seen.places[at]) == set(wanted.places[0])
            for name, places in wanted.places[0].items():
                close(seen.places[at][name], places, rounding)
                shown = wanted.embeddings[0][name].numpy()
                close(seen.embeddings[at][name].numpy(), shown, 100 * rounding)
    assert whole and spared
    for one, other in zip(pasts, alone, strict=True):
        assert one.odd.latest == other.odd.latest


def with_lost_frames(window: Window) -> Window:
    """The same, with every third picture missing."""
    part = window.slices["cam"]
    assert isinstance(part, VideoSlice)
    frames = tuple(frame if (window.index + n) % 3 else None for n, frame in enumerate(part.frames))
    present = np.array([frame is not None for frame in frames])
    lossy = replace(part, frames=frames, present=present, coverage=float(present.mean()))
    return replace(window, slices={**window.slices, "cam": lossy})


def close(found, wanted, rounding: float) -> None:
    np.testing.assert_allclose(found, wanted, rtol=rounding, atol=rounding)


def test_windows_of_many_scenes_have_the_features_that_each_has_by_itself():
    models = scenes()
    asked = [
        (model, site.window(LIVE + number))
        for number in range(3)
        for model, site in zip(models, sites(), strict=True)
    ]
    asked.append((models[0], Site(1, missing=frozenset({"cam"})).window(LIVE + 3)))
    asked += [
        (model, with_lost_frames(site.window(LIVE + number)))
        for number in range(3, 5)
        for model, site in zip(models, sites(), strict=True)
    ]
    for device in DEVICES:
        found = BatchFeatures(device).of(asked)
        for (model, window), seen in zip(asked, found, strict=True):
            wanted = model.features(window)
            assert list(seen) == list(wanted)
            for name, one in wanted.items():
                np.testing.assert_allclose(seen[name].places, one.places, rtol=1e-4, atol=2e-3)
                np.testing.assert_allclose(seen[name].items, one.items, rtol=1e-4, atol=2e-3)
                np.testing.assert_array_equal(seen[name].present, one.present)
                assert (seen[name].views, seen[name].start_ns) == (one.views, one.start_ns)


@pytest.mark.parametrize("device", [str(device) for device in DEVICES])
def test_a_scorer_that_takes_scenes_together_says_the_same_and_remembers_the_same(device):
    models = {model.scene: model for model in scenes()}
    together = Scorer(models, device, together=True)
    alone = Scorer({name: _fresh(model) for name, model in models.items()}, "cpu")
    windows = [
        replace(site.window(LIVE + number), scene=name)
        for name, site in zip(models, sites(), strict=True)
        for number in range(7)
    ]
    found, wanted = together.score(windows), alone.score(windows)
    assert [(s.scene, s.index) for s in found] == [(s.scene, s.index) for s in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert np.log10(one.p) == pytest.approx(np.log10(other.p), abs=0.05)
        assert set(one.detectors) == set(other.detectors)
    for name in models:
        assert together.live(name).past.odd.latest == alone.live(name).past.odd.latest
        together.restore(name, together.state(name))
    budget = AlarmSettings(budget="60/hour")
    assert together.budget("hall 0", budget) == alone.budget("hall 0", budget)


@pytest.mark.parametrize("first", [True, False], ids=["things first", "things last"])
def test_scenes_with_and_without_things_say_in_one_scorer_what_each_says_by_itself(first):
    with_things = replace(_fresh(commissioned()[0]), scene="hall 0")
    empty = _without_things(replace(with_things, scene="hall 1"))
    both = [with_things, empty] if first else [empty, with_things]
    assert scene_layout(empty) is not None
    windows = [
        replace(Site(2).window(LIVE + number), scene=model.scene)
        for number in range(3)
        for model in both
    ]
    together = Scorer({m.scene: _fresh(m) for m in both}, "cpu", together=True).score(windows)
    alone = Scorer({m.scene: _fresh(m) for m in both}, "cpu", together=False).score(windows)
    for one, other in zip(together, alone, strict=True):
        assert np.log10(one.p) == pytest.approx(np.log10(other.p), abs=0.05)
        assert set(one.detectors) == set(other.detectors)


def _without_things(model: SceneModel) -> SceneModel:
    """As if too few things had been seen while it was learnt."""
    streams = [replace(s, density=replace(s.density, objects=None)) for s in model.streams]
    kept = [not name.startswith("things") for name in model.names]
    held = replace(model.held, scores=model.held.scores[:, kept])
    return replace(model, streams=tuple(streams), held=held)


def _fresh(model: SceneModel) -> SceneModel:
    """The same with extractors of its own: they keep the latest pictures."""
    streams = [replace(s, extractor=make_extractor(s.info, s.settings)) for s in model.streams]
    return replace(model, streams=tuple(streams))


@pytest.mark.parametrize("fusion", FUSIONS.kinds())
@pytest.mark.parametrize("context", ["gru", "none"])
def test_networks_of_many_scenes_say_what_each_says_whatever_they_are_made_of(fusion, context):
    settings = SETTINGS.model_copy(
        update={
            "fusion": FUSIONS.settings(fusion)(),
            "context": CONTEXTS.settings(context)(),
        }
    )
    widths = (4, 6, 3)
    every = [odd_of(widths, settings, seed) for seed in range(3)]
    if fusion == "transformer":
        assert odd_layout(every[0]) is None
        return
    assert len({odd_layout(one) for one in every}) == 1
    generator = torch.Generator().manual_seed(9)
    shown = [torch.randn(3, 4, width, generator=generator) for width in widths]
    found = StackedOdd(every, CPU).scores(shown, torch.tensor([2, 0, 1]))
    seen = torch.ones(4, 3, dtype=torch.bool)
    for row, slot in enumerate((2, 0, 1)):
        values = [one[row].double() for one in shown]
        told = every[slot].scores(values, seen, range(4), every[slot].past())[-1:]
        torch.testing.assert_close(found[row : row + 1], told, rtol=1e-4, atol=1e-4, equal_nan=True)


def test_scenes_that_learnt_other_things_do_not_stand_in_one_stack():
    model = scenes()[0]
    fewer = replace(model, streams=model.streams[:-1])
    silent = replace(model, odd=None)
    layouts = {scene_layout(one) for one in (model, fewer, silent)}
    assert len(layouts) == 3 and None not in layouts
    density = model.streams[0].density.places
    assert layout(density, density.memory.shape[1] + 1) is None


def test_a_short_memory_is_filled_with_what_is_infinitely_far():
    density = scenes()[0].streams[0].density.places
    short = replace(density, memory=density.memory[:, :5])
    both = stacked([density, short], CPU, torch.float64)
    memory = both.tensors["learnt.memory"]
    assert memory.shape[2] == density.memory.shape[1]
    assert torch.equal(memory[0], density.memory)
    assert torch.equal(memory[1, :, :5], short.memory)
    assert memory[1, :, 5:].isinf().all()


def test_neighbours_in_a_stack_are_not_copied():
    assert slots_of([3, 4, 5], CPU) == slice(3, 6)
    assert torch.equal(slots_of([3, 5], CPU), torch.tensor([3, 5]))


KERNEL = """
import torch
from pipeline.models.nearest_kernel import kth_distance_on_gpu
from pipeline.models.neighbours import kth_distance

generator = torch.Generator().manual_seed(0)
for places, count, rows, width in ((5, 1, 37, 7), (2, 6, 130, 3)):
    shape = (3, places)
    points = torch.randn(*shape, count, width, generator=generator, dtype=torch.float64)
    memory = torch.randn(*shape, rows, width, generator=generator, dtype=torch.float64)
    memory[0, 0, 4] = points[0, 0, 0]
    memory[1, :, 20:] = torch.inf
    laid = memory.transpose(-1, -2).contiguous().transpose(-1, -2)
    for k in (1, 3):
        wanted = torch.stack([kth_distance(*one, k) for one in zip(points, memory)])
        found = torch.func.vmap(lambda p, m: kth_distance_on_gpu(p, m, k))(points, laid)
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    assert kth_distance_on_gpu(points[0], memory[0], 1)[0, 0] == 0
"""


def test_the_kernel_finds_the_neighbours_that_pytorch_finds():
    # Interpreted, so that it is tested without a GPU as well; a setting of the whole process.
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    subprocess.run([sys.executable, "-c", KERNEL], check=True, env=environment, timeout=120)
