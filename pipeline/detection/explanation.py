"""Why a window is anomalous: made for windows with something to say, see `Explanation`.

What speaks for the anomaly is the detector with the highest score; but a stream's own with at
least half of it comes first, since what is strange by itself also contradicts whatever is
beside it. When it is a stream's own, the anomaly is *single*; when it is evidence between
streams, it is *between*, and two of them are named:

- those that the evidence names (``between/a|b``);
- when it names one that does not fit all others, this one and the other with which it alone
  scores highest, see `explanation_shares`; all, when no such two reach half of the score;
- all, when it names none.

Where is told for the streams so found, and for those whose own detectors have something to
say. In a picture it is the most surprising place; for a picture that is as usual, but not
together with other streams, the place that moves counts for more, since things that move are
what others can tell of; and where a thing that is new here speaks for the picture, the thing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import numpy.typing as npt
from torch import Tensor

from pipeline.core.explanation import Band, Basis, Box, Channel, Explanation, PlaceMap
from pipeline.core.sample import Modality
from pipeline.core.window import AudioSlice, Window
from pipeline.detection.calibration import Verdict
from pipeline.detection.explanation_channels import unexpected_channels, unusual_channels
from pipeline.detection.explanation_moments import nearest_moments
from pipeline.detection.explanation_needs import named_streams, needs
from pipeline.detection.explanation_places import (
    SURE,
    band,
    box,
    moving,
    place_map,
    thing_box,
)
from pipeline.detection.explanation_shares import Value, contributions
from pipeline.detection.score import NOTE_BELOW_P
from pipeline.detection.transition import anomaly_score
from pipeline.models.scene_model import Features, SceneModel
from pipeline.models.stream_model import StreamModel

Array = npt.NDArray[np.float64]
Judge = Callable[[Array], Verdict]

_ENOUGH = 0.5  # of the score
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Scored:
    """A window and what was made of it.

    Attributes:
        window: The window.
        features: What each stream showed.
        places: ``-log10 p`` of each place ``(P,)``, by stream.
        scores: Raw score of each sub-detector, ``(D,)``, NaN where not seen.
        verdict: Its p-values.
        embeddings: Whitened principal components ``(E,)`` of the streams that were seen.
    """

    window: Window
    features: Features
    places: Mapping[str, Array]
    scores: Array
    verdict: Verdict
    embeddings: Mapping[str, Tensor] = field(default_factory=dict)


def explain(
    model: SceneModel, scored: Scored, judge: Judge, below_p: float = NOTE_BELOW_P
) -> Explanation | None:
    """Say why a window is anomalous.

    Args:
        model: The scene's model.
        scored: The window.
        judge: Calibrates raw scores, the window's own or some of them.
        below_p: p-value from which on a window is unusual.

    Returns:
        The explanation, or None when the window is not unusual.
    """
    if not scored.verdict.detectors or not scored.verdict.p <= below_p:
        return None
    names = [s.info.name for s in model.streams if s.info.name in scored.features]
    value = cache(_value(model.names, scored.scores, frozenset(names), judge))
    shares, estimated = contributions(names, value)
    pair = _pair(scored.verdict, shares, value)
    told = [s for s in model.streams if s.info.name in names and _told(s, scored.verdict, pair)]
    maps, boxes = _pictures(told, scored, pair)
    lasting = scored.verdict.lasting  # what lasted is shared out as what is seen now
    return Explanation(
        kind=Basis.BETWEEN if pair else Basis.SINGLE,
        contributions={n: round(share * lasting, _DIGITS) + 0.0 for n, share in shares.items()},
        estimated=estimated,
        pair=pair,
        maps=maps,
        boxes=boxes,
        bands=_sounds(told, scored),
        channels=_channels(model, told, scored, pair),
        nearest=nearest_moments(model, scored.features, scored.embeddings),
    )


def _value(
    names: Sequence[str], scores: Array, present: frozenset[str], judge: Judge
) -> Callable[[frozenset[str]], float]:
    """The score when only some streams are heard."""
    needed = [needs(name, present) for name in names]

    def value(heard: frozenset[str]) -> float:
        audible = np.array([need <= heard for need in needed])
        return anomaly_score(judge(np.where(audible, scores, np.nan)).p)

    return value


def _pair(verdict: Verdict, shares: Mapping[str, float], value: Value) -> tuple[str, ...]:
    """Streams that do not belong together; none if single.

    The one that fits none of the others comes first, else the largest contribution does.
    """
    detector = _speaker(verdict)
    if ":" in detector:
        return ()
    named = named_streams(verdict.parts[detector]) & shares.keys()
    odd = next(iter(named)) if len(named) == 1 else ""
    if odd:
        named = _partners(odd, shares, value)
    chosen = named or shares.keys()
    return tuple(sorted(chosen, key=lambda name: (name != odd, -shares[name], name)))


def _speaker(verdict: Verdict) -> str:
    """The detector that speaks for the anomaly, see the module."""
    levels = {name: anomaly_score(p) for name, p in verdict.detectors.items()}
    loudest = max(levels, key=levels.__getitem__)
    alone = max((name for name in levels if ":" in name), key=levels.__getitem__, default=loudest)
    return alone if levels[alone] >= _ENOUGH * levels[loudest] else loudest


def _partners(odd: str, shares: Mapping[str, float], value: Value) -> frozenset[str]:
    """A stream that does not fit the others, and the one with which that shows best."""
    everybody = frozenset(shares)
    pairs = [frozenset({odd, other}) for other in shares if other != odd]
    best = max(pairs, key=value, default=everybody)
    return best if value(best) >= _ENOUGH * value(everybody) else everybody


def _told(stream: StreamModel, verdict: Verdict, pair: Sequence[str]) -> bool:
    """Whether a stream is part of the explanation."""
    return stream.info.name in pair or _unusual(stream, verdict)


def _unusual(stream: StreamModel, verdict: Verdict) -> bool:
    """Whether a stream is unusual by itself, or more so than anything else is."""
    p = min(verdict.detectors.get(detector, 1.0) for detector in stream.detectors)
    return p <= NOTE_BELOW_P or p <= min(verdict.detectors.values())


def _pictures(
    told: Sequence[StreamModel], scored: Scored, pair: Sequence[str]
) -> tuple[tuple[PlaceMap, ...], tuple[Box, ...]]:
    maps: list[PlaceMap] = []
    boxes: list[Box] = []
    for stream in (s for s in told if s.info.modality is Modality.VIDEO):
        name = stream.info.name
        levels = scored.places[name]
        sure = np.minimum(levels, SURE)
        own = _unusual(stream, scored.verdict) or name not in pair
        weights = sure if own else sure * moving(stream, scored.features[name])
        shown = place_map(stream, levels)
        where = _thing(stream, scored) or box(stream, levels, weights)
        if shown is not None and where is not None:
            maps.append(shown)
            boxes.append(where)
    return tuple(maps), tuple(boxes)


def _thing(stream: StreamModel, scored: Scored) -> Box | None:
    """Where the newest thing is, if it is what speaks for the stream."""
    levels = {name: scored.verdict.detectors.get(name, 1.0) for name in stream.detectors}
    if min(levels, key=levels.__getitem__) == stream.detector:
        return None
    return thing_box(stream, scored.features[stream.info.name], min(levels.values()))


def _sounds(told: Sequence[StreamModel], scored: Scored) -> tuple[Band, ...]:
    found: list[Band | None] = []
    for stream in told:
        name = stream.info.name
        part = scored.window.slices[name]
        if isinstance(part, AudioSlice):
            own = scored.places[name] if _unusual(stream, scored.verdict) else None
            found.append(band(stream, part, own))
    return tuple(one for one in found if one is not None)


def _channels(
    model: SceneModel, told: Sequence[StreamModel], scored: Scored, pair: Sequence[str]
) -> tuple[Channel, ...]:
    found: list[Channel] = []
    for stream in (s for s in told if s.info.modality is Modality.SENSOR):
        name = stream.info.name
        if _unusual(stream, scored.verdict):
            found += unusual_channels(stream, scored.features[name], scored.places[name])
        if name in pair:
            found += unexpected_channels(model, scored.features, stream, pair)
    return tuple(found)
