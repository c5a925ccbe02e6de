"""Calibration by normal that was recorded apart and not learnt.

Stretches held out of one recording say how far normal goes from one minute to the next: the
people, the load and the weather are the same, and they are judged by detectors that learnt less
than the one that goes live. What was recorded another time is judged by that very detector, in
the order in which it came, so its scores and those of what is live are alike as far as the times
are alike (split conformal prediction; Papadopoulos et al., 2002, *Inductive confidence machines
for regression*, section 3; Lei et al., 2018, *Distribution-free predictive inference for
regression*, section 2.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice

import numpy as np

from pipeline.core.errors import ModelError
from pipeline.core.window import Window
from pipeline.detection.scorer import Scorer
from pipeline.models.products import MOST_IN_A_ROW
from pipeline.models.scene_model import Array, Held, SceneModel


def calibrate(
    model: SceneModel, windows: Iterable[Window], tell: Callable[[str, int, int | None], None]
) -> SceneModel:
    """The model, calibrated by normal windows that it has not learnt.

    Args:
        model: The model.
        windows: Normal of its scene, in time order; gaps and several recordings are fine.
        tell: Called with the stage ``normal apart``, what is done and how much there is (None:
            not known).

    Raises:
        ModelError: Too few windows, or they do not fit the model, or a detector saw too few.
    """
    scorer = Scorer({model.scene: _judging_by_all(model)}, "cpu")
    scores: list[Array] = []
    end_ns: list[int] = []
    left = iter(windows)
    while some := list(islice(left, MOST_IN_A_ROW)):
        for window, raw in zip(some, scorer.raw_scores(some), strict=True):
            if np.isfinite(raw).any():  # else no stream was seen, and it is no normal time
                scores.append(raw)
                end_ns.append(window.end_ns)
        tell("normal apart", len(end_ns), None)
    tell("normal apart", len(end_ns), len(end_ns))
    least = model.settings.min_windows
    if len(end_ns) < least:
        raise ModelError(
            f"{len(end_ns)} windows are too few to calibrate by, at least {least} are needed",
            where=model.scene,
            fix="record more, or calibrate by what is learnt",
        )
    held = Held(np.stack(scores), np.array(end_ns, np.int64))
    _see_all_calibrated(model, held)
    return replace(model, held=held, learnt_end_ns=model.held.end_ns)


def _judging_by_all(model: SceneModel) -> SceneModel:
    """The model with all networks judging every window, those for missing streams, too."""
    odd = model.odd
    return model if odd is None else replace(model, odd=replace(odd, spares_always=True))


def _see_all_calibrated(model: SceneModel, held: Held) -> None:
    """See that no detector would be left without a calibration, and so say nothing any more.

    Raises:
        ModelError: One would.
    """
    for name, seen in zip(model.names, np.isfinite(held.scores).sum(axis=0), strict=True):
        if seen < model.settings.min_windows // 3:
            raise ModelError(
                f"saw too few of the windows ({seen}) that are to calibrate it",
                where=name,
                fix="calibrate by normal in which all streams are seen, and together",
            )
