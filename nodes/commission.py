"""Commissioning: recordings of normal time in, a model file per scene out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from nodes.assembly import aligner_of
from nodes.replay import arrivals_of, drive, start_of
from pipeline.config.deployment import Deployment
from pipeline.core.errors import ModelError, RecordingError
from pipeline.core.sample import Sample, StreamInfo
from pipeline.core.window import Window
from pipeline.detection.engine import Engine
from pipeline.detection.engine_scene import Scene
from pipeline.models.checkpoint import save_model
from pipeline.models.network_file import load_network
from pipeline.models.network_verdict import NetworkVerdict, verdict_of
from pipeline.models.picture import prepare_picture
from pipeline.models.settings import DetectorSettings
from pipeline.recording.reader import Recording
from pipeline.training.commissioning import commission
from pipeline.training.commissioning_report import CommissioningReport

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
    progress: Progress | None = None,
) -> CommissioningReport:
    """Learn one scene and write its model file.

    Args:
        deployment: The deployment.
        scene: Which of its scenes.
        recordings: Recordings of normal time, one run each, oldest first.
        output: The model file.
        from_s: Second of each recording to begin at.
        to_s: Second of each recording to end at.
        settings: Options of the detector.
        network: File of a network of the scene from ``fusewatch train``; None: without.
        progress: See `pipeline.training.commissioning.commission`.

    Raises:
        RecordingError: No recording has a stream of the scene, or one cannot be read.
        ModelError: There is too little to learn from, or the network does not fit.
    """
    settings = settings or DetectorSettings()
    torch.set_num_threads(deployment.fusion.threads)  # more only wait for each other
    streams = streams_of(deployment, scene, recordings)
    windows = windows_of(deployment, scene, recordings, settings, from_s, to_s)
    model, report = commission(
        scene,
        windows,
        settings,
        streams=streams,
        network=None if network is None else _verdict(network),
        progress=progress,
    )
    save_model(model, output)
    return report


def _verdict(file: Path) -> NetworkVerdict:
    try:
        return verdict_of(load_network(file, task="scene"))
    except ModelError as error:
        raise error.at(str(file)) from error


def streams_of(deployment: Deployment, scene: str, recordings: Sequence[Path]) -> list[StreamInfo]:
    """The scene's streams as the recordings have them, in the scene's order."""
    known: dict[str, StreamInfo] = {}
    for path in recordings:
        with Recording(path) as recording:
            known.update(recording.streams)
    wanted = deployment.scenes[scene].streams
    found = [known[name] for name in wanted if name in known]
    if not found:
        raise RecordingError(
            f"no stream of scene {scene!r} is recorded; there "
            + (f"are {', '.join(sorted(known))}" if known else "is none at all"),
            where=", ".join(str(p) for p in recordings),
            fix=f"the scene has {', '.join(wanted)}: make the names agree",
        )
    return found


def windows_of(
    deployment: Deployment,
    scene: str,
    recordings: Sequence[Path],
    settings: DetectorSettings,
    from_s: float | None = None,
    to_s: float | None = None,
) -> Iterator[Window]:
    """Windows of one scene, cut as the live engine cuts them, pictures made small."""

    def prepare(sample: Sample) -> Sample:
        return prepare_picture(sample, settings.picture_cells)

    for path in recordings:
        scenes = [Scene(scene, aligner_of(deployment, scene))]
        streams = {scene: deployment.scenes[scene].streams}
        engine = Engine(scenes, streams, scorer=None, prepare=prepare)
        for arrival in arrivals_of([path], start_of([path]), from_s, to_s):
            yield from drive(engine, arrival).windows
