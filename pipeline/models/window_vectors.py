"""What a window of a scene is like, as vectors that tell like moments from unlike ones.

Of each stream two halves that count alike: its whitened principal components (what it does)
and how rare each of its places is (where it is odd). Beside the streams stands the *evidence*:
how much each detector says (`WindowScore.detectors`), so that sound without its cause is like
other sound without its cause, whatever was heard. Each has a constant beside its numbers: what
hardly differs from the usual is alike in being usual, not in the direction of its noise.

What counts follows from the moment that others are to be like. A stream counts by how much it
says there; the evidence as much as all streams together when the moment is rare, and little
when it is ordinary. Chosen on one synthetic site and checked on others
(``python -m tests.benchmarks.search --sites 5/21``): by the components alone, every stream
counting alike, searches found hardly more moments of the kind than chance does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from pipeline.models.scene_model import SceneModel
from pipeline.models.search_index import SearchIndex, unit

Vector = npt.NDArray[np.float32]

EVIDENCE = "(evidence)"
"""Name of the block of evidence; no stream is called so."""

_USUAL = 0.5  # -log10 p of a place that nothing is to be made of
_SMALLEST_P = 1e-12
_SAYS_NOTHING = 0.3  # what a stream counts that says nothing, beside the -log10 p of others
_RARE = 2.0  # -log10 p from which on evidence counts fully
_BESIDE_DOES = 3.0  # the constants beside components, oddness and evidence
_BESIDE_ODD = 1.0
_BESIDE_SAYS = 1.0


def vector_widths(model: SceneModel) -> dict[str, int]:
    """Numbers in a vector of each stream, and of the evidence."""
    widths = {s.info.name: s.density.width + len(s.extractor.labels) + 2 for s in model.streams}
    return {**widths, EVIDENCE: len(_detectors(model)) + 1}


class Shown(Protocol):
    """What the model saw in a window, by stream that could be seen."""

    @property
    def places(self) -> Mapping[str, npt.NDArray[np.float64]]:
        """``-log10 p`` of each place, ``(P,)``."""

    @property
    def embeddings(self) -> Mapping[str, torch.Tensor]:
        """Whitened principal components, ``(E,)``."""


def window_vectors(
    model: SceneModel, shown: Shown, detectors: Mapping[str, float]
) -> dict[str, Vector]:
    """The vectors of a window, of each stream that could be seen.

    Args:
        model: The scene's model.
        shown: What it saw there.
        detectors: p-value of each detector that could see.
    """
    found: dict[str, Vector] = {}
    for name, embedding in shown.embeddings.items():
        does = embedding.cpu().numpy()
        odd = np.maximum(np.nan_to_num(shown.places[name]) - _USUAL, 0.0)
        halves = unit([*does, _BESIDE_DOES]), unit([*odd, _BESIDE_ODD])
        found[name] = np.concatenate(halves)
    says = [_level(detectors.get(name, 1.0)) for name in _detectors(model)]
    return {**found, EVIDENCE: np.array([*says, _BESIDE_SAYS], np.float32)}


def weights_like(index: SearchIndex, row: int) -> dict[str, float]:
    """What each stream and the evidence count in a search for windows like one of an index."""
    streams = [name for name in index.blocks if name != EVIDENCE]
    if EVIDENCE not in index.blocks:
        return dict.fromkeys(streams, 1.0)
    level = _level(float(np.nan_to_num(float(index.p[row]), nan=1.0)))
    # At length one, what each says stands to its constant as it did. The streams come first.
    says = index.blocks[EVIDENCE][row].float().numpy()
    says = says * _BESIDE_SAYS / max(float(says[-1]), 1e-9)
    counts = says[: len(streams)] + _SAYS_NOTHING
    shares = dict(zip(streams, (counts / counts.sum()).tolist(), strict=True))
    return {**shares, EVIDENCE: min(1.0, level / _RARE)}


def _detectors(model: SceneModel) -> list[str]:
    """Names of the detectors, those of the streams first."""
    streams = [stream.detector for stream in model.streams]
    every = (name.partition("/")[0] for name in model.names)
    return list(dict.fromkeys([*streams, *every]))


def _level(p: float) -> float:
    return float(-np.log10(max(p, _SMALLEST_P)))
