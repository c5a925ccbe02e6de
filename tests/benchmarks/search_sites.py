"""What searches for moments like an anomaly find on synthetic sites, by kind of anomaly.

Each label is looked for by its rarest window; of the moments found first (five, or as many as
there are) the share that shows an anomaly of the same kind is told, beside chance: the share of
all windows that do. "Kind" is wide (an unseen object anywhere, whatever its size), so even a
perfect eye would not reach 1. Two rows: all labels, and those that are rare enough to be asked
for (p of 0.001 and less).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from nodes.search import Asked, Shelf
from pipeline.detection.scorer import Look, Scorer
from pipeline.models.checkpoint import load_model, save_model
from pipeline.models.scene_model import SceneModel
from pipeline.models.search_index import About, IndexBuilder, SearchIndex
from pipeline.models.window_vectors import vector_widths, window_vectors
from pipeline.training.commissioning import commission
from pipeline.training.labels import Label
from tests.benchmarks.synthetic_sites import HOP_NS, SCENE, START_NS, Part, Recorded, Site, recorded

ABOUT = About(SCENE, "model", 4 * HOP_NS, HOP_NS)
TOP, RARE = 5, 1e-3
Shares = dict[str, list[float]]


def report(sites: Sequence[str], cache: Path) -> None:
    """Print the shares of several sites, each named as PLACE/SEED."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    for name in sites:
        place, _, seed = name.partition("/")
        site = Site(int(place), int(seed))
        wrong = recorded(site, Part.WRONG, cache, print)
        shelf, index = _shelf(_model(site, cache), wrong)
        for what, weights in (("as it is", None), ("alike", dict.fromkeys(shelf.streams, 1.0))):
            every, rare = _shares(shelf, index, wrong.labels, weights)
            print(_line(f"{site.name}, {what}, all", every))
            print(_line(f"{site.name}, {what}, p <= {RARE}", rare))
        print(_line(f"{site.name}, chance", _chance(index, wrong.labels)), flush=True)


def _model(site: Site, cache: Path) -> SceneModel:
    file = cache / site.name / "search.model"
    if not file.exists():
        model, _ = commission(SCENE, recorded(site, Part.TRAIN, cache, print).windows())
        save_model(model, file)
    return load_model(file)


def _shelf(model: SceneModel, wrong: Recorded) -> tuple[Shelf, SearchIndex]:
    looks: list[Look] = []
    scorer = Scorer({SCENE: model}, "cpu", looks.append)
    builder = IndexBuilder(ABOUT, vector_widths(model))
    for window in wrong.windows():
        (score,) = scorer.score([window])
        builder.add(window.index, window_vectors(model, looks.pop(), score.detectors), score.p)
    index = builder.finish("wrong", 0, START_NS)
    return Shelf([index]), index


def _shares(
    shelf: Shelf, index: SearchIndex, labels: Sequence[Label], weights: dict[str, float] | None
) -> tuple[Shares, Shares]:
    """By kind the share of the moments found that show it: of all labels, and of rare ones."""
    every: Shares = defaultdict(list)
    rare: Shares = defaultdict(list)
    for label in labels:
        there = sum(other.kind == label.kind for other in labels) - 1
        held_ns = ABOUT.length_ns - HOP_NS  # windows that end later still hold the label
        asked = Asked(_ns(label.start_s), _ns(label.end_s) + held_ns)
        answer = shelf.like(asked, weights, min(TOP, there))
        starts = [START_NS + round(m.seconds * 1e9) for m in answer.moments]
        share = float(np.mean([_shows(labels, label.kind, start) for start in starts]))
        every[label.kind].append(share)
        if answer.like is not None and (answer.like.p or 1.0) <= RARE:
            rare[label.kind].append(share)
    return every, rare


def _chance(index: SearchIndex, labels: Sequence[Label]) -> Shares:
    starts = index.starts_ns.tolist()
    kinds = sorted({label.kind for label in labels})
    return {kind: [float(_shows(labels, kind, start)) for start in starts] for kind in kinds}


def _shows(labels: Sequence[Label], kind: str, start_ns: int) -> bool:
    end_ns = start_ns + ABOUT.length_ns
    return any(
        one.kind == kind and _ns(one.start_s) < end_ns and start_ns < _ns(one.end_s)
        for one in labels
    )


def _ns(second: float) -> int:
    return START_NS + round(second * 1e9)


def _line(name: str, shares: Shares) -> str:
    kinds = sorted(shares)
    told = "  ".join(f"{kind} {np.mean(shares[kind]):.2f} ({len(shares[kind])})" for kind in kinds)
    mean = float(np.mean([np.mean(shares[kind]) for kind in kinds]))
    return f"{name:32} {told}  mean {mean:.3f}"
