"""Training a scene's network: recordings in, a network file and a report out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from nodes.commission import windows_of
from nodes.recorded_streams import OneForm, streams_of
from nodes.replay import start_of
from pipeline.config.deployment import Deployment
from pipeline.core.sample import Modality, StreamInfo
from pipeline.core.window import Window
from pipeline.models.fusion_model import FusionModel, FusionModelSettings
from pipeline.models.network_file import SavedNetwork, save_network
from pipeline.models.settings import DetectorSettings
from pipeline.training.labelled import LabelledScene, kinds_of, label_scene
from pipeline.training.labels import Label, read_labels
from pipeline.training.phases.fine_tune import KIND
from pipeline.training.prepared import PreparedScene, prepare_scene
from pipeline.training.scene_training import (
    SceneTraining,
    SceneTrainingSettings,
    build_network,
    train_scene,
)

Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True)
class SceneRecordings:
    """What a scene is trained on.

    Attributes:
        deployment: The deployment.
        scene: Which of its scenes.
        normal: Recordings of normal time, one run each, oldest first.
        labels: Labels file; None: nothing is labelled.
        labelled: Recordings of the run that the labels speak of; empty: the normal ones, whose
            labelled windows are then not learnt as normal.
        from_s: Second of each normal recording to begin at.
        to_s: Second of each normal recording to end at.
    """

    deployment: Deployment
    scene: str
    normal: Sequence[Path]
    labels: Path | None = None
    labelled: Sequence[Path] = ()
    from_s: float | None = None
    to_s: float | None = None


def train_scene_network(
    recordings: SceneRecordings,
    settings: SceneTrainingSettings,
    folder: Path,
    *,
    resume: bool = False,
    progress: Progress,
) -> SceneTraining:
    """Train the network of a scene.

    Args:
        recordings: What it is trained on.
        settings: How.
        folder: Where the state of the run is kept.
        resume: Go on with the run whose state lies there.
        progress: Told the stage, what is done, and how much there is (None: not known).

    Raises:
        RecordingError: A recording has no stream of the scene, cannot be read, or has a stream in
            another form than others.
        ConfigError: The labels cannot be read.
        ModelError: There is too little to learn from.
    """
    torch.set_num_threads(recordings.deployment.fusion.threads)
    labels, origin_ns = _labels(recordings)
    span_s = recordings.from_s, recordings.to_s
    streams = streams_of(recordings.deployment, recordings.scene, recordings.normal, *span_s)
    form = OneForm(
        recordings.deployment.scenes[recordings.scene].streams, _sized(settings.network, streams)
    )
    form.see(recordings.normal, *span_s)
    form.see(recordings.labelled)
    kinds = kinds_of(labels) if labels else ()
    model = build_network(settings, streams, kinds)
    normal, labelled = _prepared(recordings, settings, model, labels, origin_ns, progress)
    model.to(_device(recordings.deployment))
    return train_scene(
        model,
        streams,
        normal,
        settings,
        labelled=labelled,
        folder=folder,
        resume=resume,
        progress=progress,
    )


def save_trained(trained: SceneTraining, scene: str, path: Path) -> None:
    """Write the network's file.

    Raises:
        ModelFileError: It cannot be written.
    """
    save_network(saved_network(trained, scene), path)


def saved_network(trained: SceneTraining, scene: str) -> SavedNetwork:
    """The network with what its file must remember."""
    kinds: tuple[str, ...] = ()
    if KIND in trained.model.head_names:
        kinds = trained.model.head(KIND).outputs
    memo: dict[str, object] = {
        "scene": scene,
        "length_ns": trained.length_ns,
        "hop_ns": trained.hop_ns,
        "picture_cells": _picture_cells(trained.model.settings, trained.streams),
    }
    if trained.looks_back is not None:  # it can speak for alarms
        memo |= {"windows": trained.looks_back, "learnt": trained.learnt}
    return SavedNetwork(trained.model, trained.streams, "scene", kinds, memo)


def _prepared(
    recordings: SceneRecordings,
    settings: SceneTrainingSettings,
    model: FusionModel,
    labels: Sequence[Label],
    origin_ns: int,
    progress: Progress,
) -> tuple[PreparedScene, LabelledScene | None]:
    span = recordings.from_s, recordings.to_s
    windows = _windows(recordings, recordings.normal, settings, *span)
    normal = prepare_scene(model, windows, settings.data, progress)
    if not labels:
        return normal, None
    if not recordings.labelled:
        labelled = label_scene(normal, labels, origin_ns, kinds_of(labels))
        return normal.only(labelled.normal_rows), labelled
    windows = _windows(recordings, recordings.labelled, settings)
    shown = prepare_scene(model, windows, settings.data, progress)
    return normal, label_scene(shown, labels, origin_ns, kinds_of(labels))


def _windows(
    recordings: SceneRecordings,
    files: Sequence[Path],
    settings: SceneTrainingSettings,
    from_s: float | None = None,
    to_s: float | None = None,
) -> Iterator[Window]:
    streams = streams_of(recordings.deployment, recordings.scene, files)
    sized = _sized(settings.network, streams)
    return windows_of(recordings.deployment, recordings.scene, files, sized, from_s, to_s)


def _sized(network: FusionModelSettings, streams: Sequence[StreamInfo]) -> DetectorSettings:
    return DetectorSettings(picture_cells=_picture_cells(network, streams))


def _picture_cells(network: FusionModelSettings, streams: Sequence[StreamInfo]) -> int:
    """The most cells that an encoder of pictures asks for; kinds that ask for none get most."""
    most = 1024
    asked = [
        getattr(network.encoder(info), "picture_cells", most)
        for info in streams
        if info.modality is Modality.VIDEO
    ]
    return max(asked, default=DetectorSettings().picture_cells)


def _labels(recordings: SceneRecordings) -> tuple[list[Label], int]:
    if recordings.labels is None:
        return [], 0
    origin_ns = start_of(recordings.labelled or recordings.normal)
    return read_labels(recordings.labels, origin_ns), origin_ns


def _device(deployment: Deployment) -> torch.device:
    wanted = deployment.fusion.device != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if wanted else "cpu")
