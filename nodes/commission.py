"""Commissioning: recordings of normal time in, a model file per scene out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import structlog
import torch

from nodes.assembly import aligner_of, build_engine
from nodes.commissioning.answered_time import AnsweredTime, answered_time
from nodes.commissioning.refused_samples import RefusedSamples
from nodes.commissioning.slow_readings import slow_readings
from nodes.recorded_streams import OneForm, streams_of
from nodes.replay import arrivals_of, drive, start_of
from nodes.window_fit import short_windows
from pipeline.alignment.account import StreamCounts
from pipeline.config.deployment import Deployment
from pipeline.core.errors import ConfigError, ModelError, StoreError
from pipeline.core.sample import Sample, StreamInfo
from pipeline.core.window import Window
from pipeline.detection.engine import Engine
from pipeline.detection.engine_scene import Scene
from pipeline.detection.score import WindowScore
from pipeline.models.checkpoint import save_model
from pipeline.models.network_file import load_network
from pipeline.models.network_verdict import NetworkVerdict, verdict_of
from pipeline.models.picture import prepare_picture
from pipeline.models.settings import DetectorSettings
from pipeline.training.budget_preview import KnownEvents, preview, without
from pipeline.training.commissioning import commission
from pipeline.training.commissioning_report import CommissioningReport
from pipeline.training.labels import Label, read_labels

log = structlog.get_logger(__name__)

Progress = Callable[[str, int, int | None], None]


def commission_scene(
    deployment: Deployment,
    scene: str,
    recordings: Sequence[Path],
    output: Path,
    *,
    from_s: float | None = None,
    to_s: float | None = None,
    settings: DetectorSettings | None = None,
    network: Path | None = None,
    labels: Path | None = None,
    answers: bool = False,
    calibrate: Sequence[Path] = (),
    progress: Progress | None = None,
) -> CommissioningReport:
    """Learn one scene and write its model file.

    Args:
        deployment: The deployment.
        scene: Which of its scenes.
        recordings: Recordings of normal time, one run each.
        output: The model file.
        from_s: Second of each recording that is learnt to begin at.
        to_s: Second of each recording that is learnt to end at.
        settings: Options of the detector.
        network: File of a network of the scene from ``fusewatch train``; None: without.
        labels: Labels file of what in the recordings is no normal, see
            `pipeline.training.labels`: it is not learnt, and the report says what would have
            been missed; None: all is normal.
        answers: Whether what was answered to the scene's alarms says likewise what is no normal,
            see `nodes.commissioning.answered_time`.
        calibrate: Recordings of normal time that are not learnt and calibrate, see
            `pipeline.training.calibrating`; none: what was held out of the others does.
        progress: See `pipeline.training.commissioning.commission`.

    Raises:
        ConfigError: The labels are wrong, or a recording is to be learnt and to calibrate.
        StoreError: The answers are asked for, and cannot be read.
        RecordingError: No recording has a stream of the scene, one cannot be read, or a stream is
            in another form in one than in others.
        ModelError: There is too little to learn from or to calibrate by, or the network does not
            fit.
    """
    settings = settings or DetectorSettings()
    torch.set_num_threads(deployment.fusion.threads)  # more only wait for each other
    recordings, calibrate = oldest_first(recordings), oldest_first(calibrate)
    _see_apart(recordings, calibrate)
    span_s = from_s, to_s
    streams = streams_of(deployment, scene, recordings, *span_s)
    form = OneForm(deployment.scenes[scene].streams, settings)
    form.see(recordings, *span_s)
    form.see(calibrate)
    start_ns = start_of(recordings)
    answered = _answered(deployment, scene, start_ns, needed=answers)
    known = _known(start_ns, labels, answered.wrong if answers else ())
    refused = RefusedSamples()
    windows = windows_of(deployment, scene, recordings, settings, *span_s, counted=refused.take)
    windows = answered.counted(windows, all_of_them=not answers)
    slow = tuple(_slow(deployment, scene, streams))
    try:
        model, report = commission(
            scene,
            without(windows, known),
            settings,
            streams=streams,
            network=None if network is None else _verdict(network),
            calibration=windows_of(deployment, scene, calibrate, settings) if calibrate else None,
            alarm=deployment.scenes[scene].alarm,
            progress=progress,
        )
    except ModelError as error:
        error.fix = "; ".join(filter(None, (error.fix, *slow, *refused.warnings())))
        raise
    save_model(model, output)
    doubtful = answered.left_out() if answers else answered.learnt_though_wrong()
    report = replace(
        report,
        warnings=(*report.warnings, *refused.warnings(), *slow, *doubtful),
        answered=answered.words() if answers else None,
    )
    if not known.labels:
        return report
    heard = tuple(_scores(deployment, scene, recordings, output, known, span_s, progress))
    known = replace(known, scores=heard)
    return replace(report, preview=preview(model, deployment.scenes[scene].alarm, known))


def oldest_first(recordings: Sequence[Path]) -> list[Path]:
    """Recordings in the order of their time, in which they are learnt."""
    return sorted(recordings, key=lambda path: start_of([path]))


def _see_apart(learnt: Sequence[Path], calibrate: Sequence[Path]) -> None:
    """See that nothing is learnt that is to calibrate.

    Raises:
        ConfigError: Something is.
    """
    both = {path.resolve() for path in learnt} & {path.resolve() for path in calibrate}
    if both:
        raise ConfigError(
            "is learnt already, so it cannot say how far normal goes that is not",
            where=str(both.pop()),
            fix="calibrate by a recording that was made apart, or by none",
        )


def _answered(deployment: Deployment, scene: str, start_ns: int, needed: bool) -> AnsweredTime:
    """What was answered to the scene's alarms; nothing where it is not needed and not to be had."""
    try:
        return answered_time(deployment, scene, start_ns)
    except StoreError as error:
        if needed:
            raise
        log.debug("answers are not looked into", why=str(error))
        settings = deployment.scenes[scene]
        return AnsweredTime({}, start_ns, settings.window_s, settings.hop_s)


def _known(start_ns: int, labels: Path | None, answered: Sequence[Label]) -> KnownEvents:
    """What is known to be no normal, not yet scored."""
    labelled = [] if labels is None else read_labels(labels, start_ns)
    known = sorted([*labelled, *answered], key=lambda label: (label.start_s, label.end_s))
    return KnownEvents(tuple(known), start_ns)


def _scores(
    deployment: Deployment,
    scene: str,
    recordings: Sequence[Path],
    model: Path,
    known: KnownEvents,
    span_s: tuple[float | None, float | None],
    progress: Progress | None,
) -> Iterator[WindowScore]:
    """Scores of the windows near known events, of a run through the engine as it is live."""
    only = {scene: deployment.scenes[scene]}
    alone = deployment.model_copy(update={"scenes": only})
    count = 0
    for path in recordings:  # each a run of its own, as when it was learnt
        engine = build_engine(alone, models={scene: model}).engine
        for arrival in arrivals_of([path], start_of([path]), *span_s):
            scores = drive(engine, arrival).scores
            yield from filter(known.holds, scores)
            count += len(scores)
            over = bool(scores) and known.over(scores[-1])
            if scores and progress is not None:
                progress("known events", count, count if over else None)
            if over:
                return


def _verdict(file: Path) -> NetworkVerdict:
    try:
        return verdict_of(load_network(file, task="scene"))
    except ModelError as error:
        raise error.at(str(file)) from error


def _slow(deployment: Deployment, scene: str, streams: Sequence[StreamInfo]) -> Iterator[str]:
    """What is to be said of readings that are far apart: for their stream, or for the windows."""
    for info in streams:
        said = slow_readings(info, deployment.stream(info.name).max_gap_s)
        if said is not None:
            what, fix = said
            yield f"stream {info.name!r} {what}; {fix}"
    few = short_windows(streams, deployment.scenes[scene].window_s)
    if few is not None:
        yield "; ".join(few)


def windows_of(
    deployment: Deployment,
    scene: str,
    recordings: Sequence[Path],
    settings: DetectorSettings,
    from_s: float | None = None,
    to_s: float | None = None,
    counted: Callable[[Mapping[str, StreamCounts]], None] | None = None,
) -> Iterator[Window]:
    """Windows of one scene, cut as the live engine cuts them, pictures made small.

    Args:
        deployment: The deployment.
        scene: Which of its scenes.
        recordings: One run each, in order.
        settings: Options of the detector.
        from_s: Second of each recording to begin at.
        to_s: Second of each recording to end at.
        counted: Told what became of the samples of each recording, by stream; None: nobody.
    """

    def prepare(sample: Sample) -> Sample:
        return prepare_picture(sample, settings.picture_cells)

    for path in recordings:
        aligner = aligner_of(deployment, scene)
        streams = {scene: deployment.scenes[scene].streams}
        engine = Engine([Scene(scene, aligner)], streams, scorer=None, prepare=prepare)
        for arrival in arrivals_of([path], start_of([path]), from_s, to_s):
            yield from drive(engine, arrival).windows
        if counted is not None:
            counted(aligner.counts)
