"""Learn a scene from a recording of its normal.

Windows are taken one at a time and only their features kept. The normal time is cut into
blocks dealt out to a few parts; each part is scored by a detector learnt from the others
(windows that overlap a boundary are left out), and these held-out scores calibrate the
detector that is then learnt from everything. So all of the normal counts twice: once to
learn what is normal, once to know how far normal goes. What the streams show together is held
out likewise, but sees the embeddings of the final fit, see `cross_fit_together`. Normal that was
recorded apart may say how far normal goes instead, see `pipeline.training.calibrating`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import structlog
import torch

from pipeline.core.sample import StreamInfo
from pipeline.core.window import Window
from pipeline.detection.alarm import AlarmSettings
from pipeline.models.network_verdict import NetworkVerdict
from pipeline.models.scene_model import Held, SceneModel
from pipeline.models.settings import DetectorSettings, Evidence
from pipeline.models.stream_density import StreamDensity
from pipeline.models.stream_model import StreamModel, Surprise, fit_tails
from pipeline.models.together import dims_for, fit_together
from pipeline.training.calibrating import calibrate
from pipeline.training.commissioning_report import CommissioningReport, make_report
from pipeline.training.cross_fit import (
    Progress,
    StreamHeld,
    cross_fit,
    cross_fit_together,
    embed_all,
    fit_density,
    rows_of,
)
from pipeline.training.network_rows import NetworkRows, with_network
from pipeline.training.normal_moments import choose_moments
from pipeline.training.normal_rows import NormalRows
from pipeline.training.odd_training import OddLearnt, learn_odd
from pipeline.training.stream_data import Indices, StreamData

log = structlog.get_logger(__name__)


def commission(
    scene: str,
    windows: Iterable[Window],
    settings: DetectorSettings | None = None,
    *,
    streams: Sequence[StreamInfo] | None = None,
    network: NetworkVerdict | None = None,
    calibration: Iterable[Window] | None = None,
    alarm: AlarmSettings | None = None,
    progress: Progress | None = None,
) -> tuple[SceneModel, CommissioningReport]:
    """Learn a scene.

    Args:
        scene: Name of the scene.
        windows: Its normal, in time order; gaps and several recordings are fine.
        settings: Options of the detector.
        streams: Streams to learn; None: those of the first window.
        network: A trained network of the scene that shall speak too; None: none.
        calibration: Normal that is not learnt and calibrates, see `calibrate`; None: what was
            held out of `windows` does.
        alarm: The scene's alarm, for what the report says of budgets; None: the default.
        progress: Called with the stage (``features``, ``calibration``, ``final fit``,
            ``fusion``, ``normal apart``), what is done and how much there is (None: not known).

    Returns:
        The model, not yet saved, and what is to be said about it.

    Raises:
        ModelError: Too few windows, no stream that can be used, a network of other windows or
            streams, or that has learnt from nearly all of this normal, or a calibration that
            leaves a detector without one.
    """
    settings = settings or DetectorSettings()
    tell = progress or _silent
    rows = NormalRows(scene, settings, streams)
    seen = None if network is None else NetworkRows(network, settings)
    for count, window in enumerate(windows, start=1):
        features = rows.add(window)
        if seen is not None and features is not None:
            seen.add(window, features)
        if count % 20 == 0:
            tell("features", count, None)
    tell("features", rows.taken, rows.taken)
    return learn(
        rows, settings, network=seen, calibration=calibration, alarm=alarm, progress=progress
    )


def learn(
    rows: NormalRows,
    settings: DetectorSettings,
    *,
    network: NetworkRows | None = None,
    calibration: Iterable[Window] | None = None,
    alarm: AlarmSettings | None = None,
    progress: Progress | None = None,
) -> tuple[SceneModel, CommissioningReport]:
    """Learn a scene from the features of its normal.

    Args:
        rows: Its windows' features; nothing may be added to them afterwards, see
            `NormalRows.copy`.
        settings: Options of the detector.
        network: What a trained network showed in these windows; None: there is none.
        calibration: As of `commission`.
        alarm: As of `commission`.
        progress: As of `commission`.

    Returns:
        As of `commission`.

    Raises:
        ModelError: As of `commission`.
    """
    tell = progress or _silent
    data = rows.finish()
    held = cross_fit(rows, data, settings, tell)
    model, odd = _final(rows, data, settings, held, tell)
    if network is not None:
        model = with_network(model, network)
    if calibration is not None:
        model = calibrate(model, calibration, tell)
    apart = calibration is not None
    report = make_report(model, rows, odd, alarm or AlarmSettings(), apart=apart)
    log.info("scene commissioned", scene=rows.scene, windows=rows.taken, seconds=report.seconds)
    return model, report


def _silent(stage: str, done: int, total: int | None) -> None:
    """Nobody watches."""


def _final(
    rows: NormalRows,
    data: Sequence[StreamData],
    settings: DetectorSettings,
    held: Sequence[StreamHeld],
    tell: Progress,
) -> tuple[SceneModel, OddLearnt | None]:
    """The detector learnt from all windows, calibrated by the held-out scores."""
    every = np.arange(rows.kept)
    generator = torch.Generator().manual_seed(settings.seed)
    fitted: list[StreamDensity] = []
    for number, part in enumerate(data):
        tell("final fit", number, len(data))
        fitted.append(fit_density(part, every, settings, generator))
    streams = tuple(_stream(d, f, h, settings) for d, f, h in zip(data, fitted, held, strict=True))
    names = [d.info.name for d in data]
    embedded, dims = embed_all(data, fitted, rows.kept), dims_for(rows.kept, settings)
    between = cross_fit_together(rows, embedded, names, settings)
    learnt = fit_together(*embedded.at(every), settings, dims, generator)
    together = learnt.only([n for n, held in between.items() if np.isfinite(held).any()], names)
    tell("final fit", len(data), len(data))
    learnt_odd = None
    if Evidence.ODD in settings.evidence:
        learnt_odd = learn_odd(rows, embedded, settings.odd, settings.seed, tell)
    model = SceneModel(
        scene=rows.scene,
        settings=settings,
        streams=streams,
        together=together,
        odd=None if learnt_odd is None else learnt_odd.odd,
        length_ns=rows.length_ns,
        hop_ns=rows.hop_ns,
        held=Held(np.zeros((0, 0)), np.zeros(0, np.int64)),
        bank=choose_moments(rows, data, embedded, settings),
    )
    fold_of = rows.folds()
    seen = {
        s.info.name: (h.windows.tolist(), _judged_by_others(s, h, fold_of))
        for s, h in zip(streams, held, strict=True)
    }
    columns = [between[name][:, None] for name in together.names(names)]
    if learnt_odd is not None:
        columns.append(learnt_odd.held)
    scores = model.table(rows.kept, seen, np.hstack([np.zeros((rows.kept, 0)), *columns]))
    return replace(model, held=Held(scores, rows.end_ns())), learnt_odd


def _stream(
    data: StreamData, density: StreamDensity, held: StreamHeld, settings: DetectorSettings
) -> StreamModel:
    far, near = fit_tails(held.raw)
    return StreamModel(
        info=data.info,
        extractor=data.extractor,
        density=density,
        far=far,
        near=near,
        usual=data.usual(),
        settings=settings,
        inspector=data.inspector,
        limits=data.limits(),
        view=data.view.learn(),
    )


def _judged_by_others(stream: StreamModel, held: StreamHeld, fold_of: Indices) -> Surprise:
    """Surprise of each held-out window by tails fitted to the windows of the other parts.

    Tails fitted to the very scores they judge call the furthest of them ordinary, and what
    is live, which they have not seen, would then look rarer than it is.
    """
    folds = fold_of[held.windows]
    places = stream.surprise(held.raw).places
    for fold in np.unique(folds):
        own, others = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        if len(others):
            far, near = fit_tails(rows_of(held.raw, torch.from_numpy(others)))
            judge = replace(stream, far=far, near=near)
            places[own] = judge.surprise(rows_of(held.raw, torch.from_numpy(own))).places
    return Surprise(places, held.raw)
