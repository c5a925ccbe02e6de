"""Features on a common footing: logarithms, robust centre and scale, common changes removed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pipeline.models.cycle import Cycle, Rhythm, fit_cycle
from pipeline.models.drift import Wander, slow_variance, steady, widening
from pipeline.models.products import row_by_row
from pipeline.models.video_light import calmed, usual_unrest

_MAD_TO_STD = 1.4826
_FAR = 1e4  # standard units beyond which more is not more anomalous; keeps sums finite
_CLIP = 6.0  # standard units; what lies beyond does not shape the common modes


@dataclass(frozen=True, slots=True)
class Normaliser:
    """Centre, scale and common modes of one stream. All float64.

    Attributes:
        floor: Added before the logarithm, ``(P, d)``; NaN in columns that are not logarithmic.
        centre: Median, ``(P, d)``.
        scale: Robust spread, ``(P, d)``.
        modes: Orthonormal common modes over the common columns, ``(P * c, q)``.
        common: Indices of the common columns, int64 ``(c,)``.
        unrest: How far most places are from usual in a restless normal window, in the common
            columns, ``(c,)``; see `pipeline.models.video_light`.
        cycle: What the time of day adds to the centre.
        wander: How much less a distance from the centre says, the longer ago it was learnt.
    """

    floor: Tensor
    centre: Tensor
    scale: Tensor
    modes: Tensor
    common: Tensor
    unrest: Tensor
    cycle: Cycle
    wander: Wander

    def apply(self, places: Tensor, present: Tensor, times_s: Tensor | None = None) -> Tensor:
        """Standardised features ``(B, P, d)``; zero where not present.

        Args:
            places: float64 ``(B, P, d)``.
            present: bool ``(B, P)``.
            times_s: When each window was, ``(B,)``; None: as at the middle of all times,
                and as when it was learnt.
        """
        centre, width = (self.centre, self.scale) if times_s is None else self.at(times_s)
        levels = standardise(places, self.floor, centre, width)
        levels = torch.where(present[..., None], levels, 0.0)
        if not len(self.unrest):
            return levels
        result = levels.clone()
        rest = without_modes(levels[..., self.common], self.modes)
        result[..., self.common] = calmed(rest, self.unrest)
        return result

    def at(self, times_s: Tensor) -> tuple[Tensor, Tensor]:
        """Centre and width of each column at some times, ``(B,)`` to ``(B, P, d)`` each."""
        width = self.scale * self.wander.growth(times_s).to(self.scale.dtype)
        if not len(self.cycle.profile):
            return self.centre.expand_as(width), width
        return self.centre + self.cycle.at(times_s).to(self.centre.dtype), width


def without_modes(part: Tensor, modes: Tensor) -> Tensor:
    """Common columns ``(B, P, c)`` without the changes that all places share."""
    flat = part.reshape(len(part), -1)
    shared = row_by_row(row_by_row(flat.clamp(-_CLIP, _CLIP), modes), modes.T)
    rest = flat - shared
    return rest.reshape(part.shape)


def standardise(places: Tensor, floor: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
    """Logarithm where `floor` is a number, then centre and scale, ``(B, P, d)``."""
    return ((_levels(places, floor) - centre) / scale).clamp(-_FAR, _FAR)


def _levels(places: Tensor, floor: Tensor) -> Tensor:
    logarithms = torch.log(places.clamp_min(0.0) + floor.nan_to_num(1.0))
    return torch.where(floor.isnan(), places, logarithms)


def fit_normaliser(
    places: Tensor,
    present: Tensor,
    log_columns: tuple[int, ...],
    common_columns: tuple[int, ...],
    modes: int,
    drift: Tensor | None = None,
    tolerance: Tensor | None = None,
    times_s: Tensor | None = None,
    rhythm: Rhythm | None = None,
    wander: Wander | None = None,
) -> tuple[Normaliser, Tensor]:
    """Learn from normal windows.

    Args:
        places: float64 ``(n, P, d)``.
        present: bool ``(n, P)``.
        log_columns: See `pipeline.models.features.Extractor`.
        common_columns: Likewise.
        modes: Most common modes to take out.
        drift: Factor by which drift may widen each column, ``(P, d)``; None: nothing drifts.
        tolerance: Change that is never unusual, ``(P, d)``; None: none.
        times_s: When each window was, ``(n,)``; needed when there is a rhythm.
        rhythm: The cycle that the stream may follow.
        wander: How limits grow with time; None: not at all.

    Returns:
        The normaliser, and the variance per column ``(P, d)`` that drift and tolerance add to
        what was learnt, in its units.
    """
    standard = _standard(places, present, log_columns, times_s, rhythm)
    floor, centre, scale, cycle, normal = standard
    common = torch.tensor(common_columns, dtype=torch.int64)
    wider = torch.ones_like(scale) if drift is None else drift
    if tolerance is not None:
        wider = (wider.square() + (tolerance / scale).square()).sqrt()
    part = normal.nan_to_num(0.0)[..., common] / wider[..., common]
    basis = _modes(part, modes)
    unrest = usual_unrest(without_modes(part, basis))
    wander = wander or steady(*scale.shape)
    wander = replace(wander, slow=wander.slow / wider.square())
    found = Normaliser(floor, centre, scale * wider, basis, common, unrest, cycle, wander)
    return found, 1.0 - wider**-2


def drift_of(
    places: Tensor,
    present: Tensor,
    log_columns: tuple[int, ...],
    horizon: float,
    times_s: Tensor | None = None,
    rhythm: Rhythm | None = None,
) -> Tensor:
    """Factor by which drift may widen each column until the horizon, ``(P, d)``.

    To be asked once for all normal windows: a part of them shows another drift than the whole,
    and detectors learnt with different ones do not compare.

    Args:
        places: float64 ``(n, P, d)``, in the order of time.
        present: bool ``(n, P)``.
        log_columns: See `pipeline.models.features.Extractor`.
        horizon: How many times the learnt time the detector is to last without news.
        times_s: As for `fit_normaliser`.
        rhythm: Likewise.
    """
    *_, normal = _standard(places, present, log_columns, times_s, rhythm)
    return widening(normal.clamp(-_CLIP, _CLIP), horizon)


def wander_of(
    places: Tensor,
    present: Tensor,
    log_columns: tuple[int, ...],
    times_s: Tensor,
    rhythm: Rhythm | None,
    overlap: int,
    longest_s: float,
) -> Wander:
    """How the limits of each column grow with the time since it was learnt.

    To be asked once for all normal windows, as `drift_of`.

    Args:
        places: float64 ``(n, P, d)``, in the order of time.
        present: bool ``(n, P)``.
        log_columns: See `pipeline.models.features.Extractor`.
        times_s: When each window was, ``(n,)``.
        rhythm: The cycle that the stream may follow.
        overlap: Windows that show the same moment.
        longest_s: Time after which limits grow no more.
    """
    *_, normal = _standard(places, present, log_columns, times_s, rhythm)
    slow = slow_variance(normal.clamp(-_CLIP, _CLIP), overlap)
    longest = torch.tensor(longest_s, dtype=torch.float64)
    return Wander(slow, times_s[[0, -1]].clone(), longest)


def scale_of(places: Tensor, present: Tensor) -> Tensor:
    """Robust spread of columns none of which is logarithmic, ``(P, d)``.

    Args:
        places: float64 ``(n, P, d)``.
        present: bool ``(n, P)``.
    """
    return _standard(places, present, (), None, None)[2]


def _standard(
    places: Tensor,
    present: Tensor,
    log_columns: tuple[int, ...],
    times_s: Tensor | None,
    rhythm: Rhythm | None,
) -> tuple[Tensor, Tensor, Tensor, Cycle, Tensor]:
    """Floor, centre and scale ``(P, d)``, cycle, and the rows by them ``(n, P, d)``.

    What is missing is NaN in the rows.
    """
    seen = torch.where(present[..., None], places, torch.nan)
    floor = _log_floor(seen, log_columns)
    levels = _levels(seen, floor)
    times_s = torch.zeros(len(places), dtype=places.dtype) if times_s is None else times_s
    cycle = fit_cycle(levels - levels.nanmedian(dim=0).values, times_s, rhythm)
    if len(cycle.profile):
        levels = levels - cycle.at(times_s)
    centre, scale = _robust(levels, floor)
    return floor, centre, scale, cycle, (levels - centre) / scale


def _log_floor(seen: Tensor, log_columns: tuple[int, ...]) -> Tensor:
    """A tenth of the usual positive value, so that zero is far but not infinitely far."""
    floor = torch.full(seen.shape[1:], torch.nan, dtype=seen.dtype)
    for column in log_columns:
        values = seen[..., column]
        usual = torch.where(values > 0, values, torch.nan).nanmedian(dim=0).values
        size = seen[..., 0].abs().nanmedian(dim=0).values
        floor[:, column] = torch.where(usual.isnan(), size * 1e-4 + 1e-9, usual * 0.1).nan_to_num(
            1e-9
        )
    return floor


def _robust(levels: Tensor, floor: Tensor) -> tuple[Tensor, Tensor]:
    centre = levels.nanmedian(dim=0).values
    away = (levels - centre).abs()
    mad = away.nanmedian(dim=0).values * _MAD_TO_STD
    power = torch.nanmean(away**2, dim=0).sqrt()
    least = torch.where(floor.isnan(), 1e-3 * centre.abs() + 1e-6, 0.1)
    scale = torch.maximum(torch.maximum(mad, 0.5 * power), least)
    return centre.nan_to_num(0.0), scale.nan_to_num(1.0)


def _modes(common: Tensor, limit: int) -> Tensor:
    """Leading principal directions that carry clearly more than their share, ``(P*c, q)``."""
    flat = common.reshape(len(common), -1).clamp(-_CLIP, _CLIP)
    if not limit or flat.shape[1] < 4 * limit:
        return torch.zeros((flat.shape[1], 0), dtype=common.dtype)
    flat = flat - flat.mean(dim=0)
    values, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))
    keep = int((values[-limit:] > 4 * values.mean()).sum())
    leading: Tensor = vectors[:, len(values) - keep :].contiguous()
    return leading
