"""One stream of a scene as the model knows it: features, densities, and how rare is rare.

Distances of places are made comparable by each place's own tail, learnt on windows held out
from the densities. Then the worst place speaks (``local``), and the worst few together
(``wide``): a mean over all places would hide a small thing in a corner. The channels of a
sensor speak together by a norm, in which one is heard and many are heard more. A few channels
are judged together as well, by all their columns and by how their levels stand to each other
(``level``); of many, that drowned on servers what the channels said by themselves, and so did
the neighbours of the stream as a whole on a pump.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from pipeline.core.errors import ModelError
from pipeline.core.sample import Modality, StreamInfo
from pipeline.core.window import Slice
from pipeline.models.audio_features import AudioFeatures
from pipeline.models.audio_quality import AudioInspector
from pipeline.models.detector_names import THINGS
from pipeline.models.features import Extractor, StreamFeatures
from pipeline.models.quality import Inspector, NothingToInspect, Quality, clearness
from pipeline.models.sensor_features import SensorFeatures
from pipeline.models.sensor_quality import SensorInspector, out_of_range
from pipeline.models.settings import DetectorSettings
from pipeline.models.stream_density import RawScores, StreamDensity, collect, has_level
from pipeline.models.tails import PlaceTails, fit_place_tails
from pipeline.models.text_features import TextFeatures
from pipeline.models.video_features import VideoFeatures
from pipeline.models.video_quality import VideoInspector, average_picture
from pipeline.models.video_view import View

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Surprise:
    """How rare each place is, ``-log10 p`` as ``(B, P)``, and the stream's raw scores."""

    places: Array
    raw: RawScores


@dataclass(frozen=True, slots=True)
class StreamModel:
    """What is normal for one stream, and how far from it windows usually are.

    Attributes:
        info: The stream it was learnt from.
        extractor: Its features.
        density: What is normal.
        far: Tails of the Mahalanobis distance per place.
        near: Tails of the neighbour distance per place.
        usual: 5th and 95th percentile of the raw features, ``(2, P, d)``; for explanations.
        settings: How it was learnt.
        inspector: Measures of its quality.
        limits: How bad each of them may be, ``(K,)``.
        view: What always stands before a camera; None: no camera, nothing lasting, or a model
            made by an older fusewatch.
    """

    info: StreamInfo
    extractor: Extractor
    density: StreamDensity
    far: PlaceTails
    near: PlaceTails
    usual: Array
    settings: DetectorSettings
    inspector: Inspector
    limits: Array
    view: View | None = None

    @property
    def detector(self) -> str:
        """Name of the detector that this stream makes, ``<modality>:<stream>``."""
        return f"{self.info.modality.value}:{self.info.name}"

    @property
    def detectors(self) -> tuple[str, ...]:
        """All its detectors: its own, and for a camera ``things:<stream>`` if there is one.

        Things speak for themselves: among the picture's other parts, which all rise together
        when somebody passes, what is new would be one voice of six.
        """
        things = (_things(self.detector),) if self.density.objects is not None else ()
        return (self.detector, *things)

    @property
    def names(self) -> tuple[str, ...]:
        """Its sub-detectors, see `sub_names`."""
        return sub_names(self.detector, self.extractor, self.density.objects is not None)

    def sub_scores(self, surprise: Surprise) -> Array:
        """Scores of its sub-detectors, ``(B, number of names)``."""
        return sub_scores(surprise, self.extractor, self.density.objects is not None)

    def score(self, features: Sequence[StreamFeatures], device: torch.device) -> Surprise:
        """Score several windows."""
        return self.surprise(
            score_rows(self.density, self.extractor, self.settings, features, device)
        )

    def quality(self, part: Slice) -> Quality:
        """How well it saw in a window."""
        measures = self.inspector.measure(part)
        seen = self.inspector.judge(clearness(measures, self.limits, self.inspector))
        if beyond := out_of_range(part):
            return Quality(seen.weight, beyond)
        if self.view is None:
            return seen
        moved = self.view.quality(average_picture(part))
        return Quality(min(moved.weight, seen.weight), moved.reason or seen.reason)

    def surprise(self, raw: RawScores) -> Surprise:
        """How rare each place is, by the mean of both distances' ``-log10 p``."""
        both = self.far.surprise(_numpy(raw.far)) + self.near.surprise(_numpy(raw.near))
        return Surprise(np.asarray(both / 2.0), raw)


def score_rows(
    density: StreamDensity,
    extractor: Extractor,
    settings: DetectorSettings,
    features: Sequence[StreamFeatures],
    device: torch.device,
) -> RawScores:
    """Distances of several windows from what `density` holds for normal."""
    rows = collect(features, device)
    return density.score(rows, settings.neighbours, extractor.item_neighbours)


def fit_tails(raw: RawScores) -> tuple[PlaceTails, PlaceTails]:
    """Tails per place (Mahalanobis, neighbours) from held-out windows."""
    return fit_place_tails(_numpy(raw.far)), fit_place_tails(_numpy(raw.near))


def sub_names(detector: str, extractor: Extractor, objects: bool = False) -> tuple[str, ...]:
    """Names of a stream's sub-detectors, ``<detector>/<what>``."""
    last = ("items",) if extractor.item_dims else ()
    kinds = (*place_kinds(extractor), *last)
    new = (f"{_things(detector)}/{kind}" for kind in (OBJECTS, MOVES) if objects)
    return (*(f"{detector}/{kind}" for kind in kinds), *new)


def place_kinds(extractor: Extractor) -> tuple[str, ...]:
    """What speaks of a stream's places."""
    if extractor.places_order is not None:
        return ("local", "mahalanobis", "level") if has_level(extractor) else ("local",)
    wide = ("wide",) if len(extractor.labels) >= WIDE_FROM else ()
    return ("local", *wide, "mahalanobis", "knn")


def _things(detector: str) -> str:
    return f"{THINGS}:{detector.partition(':')[2]}"


WIDE_FROM = 16
OBJECTS = "objects"
MOVES = "moves"


def sub_scores(surprise: Surprise, extractor: Extractor, objects: bool = False) -> Array:
    """Raw scores of a stream's sub-detectors, ``(B, number of names)``, as in `sub_names`."""
    raw = surprise.raw
    known = {"mahalanobis": raw.pooled_far, "knn": raw.pooled_near, "level": raw.level}
    columns = [
        _numpy(known[kind]) if kind in known else _of_places(kind, surprise.places, extractor)
        for kind in place_kinds(extractor)
    ]
    if extractor.item_dims:
        columns.append(_numpy(raw.item))
    if objects:
        columns += [*_numpy(raw.objects).T]
    return np.stack(columns, axis=1)


def few_worst(places: int) -> int:
    """How many of so many places speak together as the worst few."""
    return max(3, places // 24)


def _of_places(kind: str, places: Array, extractor: Extractor) -> Array:
    """What the places say together, ``(B, P)`` to ``(B,)``."""
    if kind == "wide":
        few = few_worst(places.shape[1])
        return np.asarray(np.sort(places, axis=1)[:, -few:].mean(axis=1))
    if extractor.places_order is None:
        return np.asarray(places.max(axis=1))
    order = extractor.places_order
    return np.asarray((places**order).sum(axis=1) ** (1.0 / order))


def make_extractor(info: StreamInfo, settings: DetectorSettings) -> Extractor:
    """The features of a stream.

    Raises:
        ModelError: The stream lacks a property that they need.
    """
    least = settings.min_coverage
    match info.modality:
        case Modality.VIDEO:
            return VideoFeatures(info, settings.picture_cells, least)
        case Modality.AUDIO:
            return AudioFeatures(info, settings.audio_bands, least)
        case Modality.SENSOR:
            return SensorFeatures(info, least)
        case Modality.TEXT:
            return TextFeatures(least, timeless=settings.timeless_lines)
    raise ModelError(f"no features for modality {info.modality!r}", where=info.name)


def make_inspector(info: StreamInfo, extractor: Extractor) -> Inspector:
    """The measures of a stream's quality."""
    match info.modality:
        case Modality.VIDEO:
            return VideoInspector()
        case Modality.AUDIO:
            return AudioInspector()
        case Modality.SENSOR:
            return SensorInspector(extractor.labels)
    return NothingToInspect()


def _numpy(values: torch.Tensor) -> Array:
    return np.asarray(values.cpu().numpy(), np.float64)
