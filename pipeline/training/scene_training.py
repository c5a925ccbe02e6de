"""Training the network of a scene: phase after phase, with what was found before and after.

The network learns the usual size of its inputs, then each phase trains it in turn; what a phase
leaves is where the next begins. A phase's state is kept in a file of its own, so a run that was
cut off goes through the finished phases at once and on with the one it was in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import structlog
import torch
from pydantic import BeforeValidator, Field, SerializeAsAny, field_validator

from pipeline.core.errors import ModelError
from pipeline.core.sample import StreamInfo
from pipeline.core.settings import Settings
from pipeline.models.fusion_model import FusionModel, FusionModelSettings
from pipeline.models.kinds import of_kind
from pipeline.training.augment import AugmentSettings
from pipeline.training.labelled import LabelledScene
from pipeline.training.loop import run_loop
from pipeline.training.modality_dropout import DropoutSettings
from pipeline.training.phases.alignment import AlignmentSettings
from pipeline.training.phases.base import PHASES, Ground, Phase, PhaseSettings
from pipeline.training.phases.fine_tune import FineTuneSettings, with_heads
from pipeline.training.phases.normality import NormalitySettings, with_swap_head
from pipeline.training.phases.self_supervision import SelfSupervisionSettings
from pipeline.training.prepared import (
    DataSettings,
    PreparedScene,
    Progress,
    Rows,
    split_normal,
)
from pipeline.training.retrieval import Retrieval, retrieval
from pipeline.training.scene_training_folder import begin, fingerprint, state_file
from pipeline.training.training_state import History

log = structlog.get_logger(__name__)

PhaseField = Annotated[SerializeAsAny[PhaseSettings], BeforeValidator(of_kind(PHASES))]
_APART_S = 1.5


class SceneTrainingSettings(Settings):
    """How the network of a scene is made and trained."""

    task: Literal["scene"] = "scene"
    """What is trained: the network of a scene."""

    network: FusionModelSettings = FusionModelSettings()
    """What the network is made of."""

    phases: tuple[PhaseField, ...] = Field(
        default=(
            SelfSupervisionSettings(),
            AlignmentSettings(),
            NormalitySettings(),
            FineTuneSettings(),
        ),
        min_length=1,
    )
    """What it learns, in order. Phases that need labels are left out when there are none."""

    data: DataSettings = DataSettings()
    """How much of the normal time is kept, and what of it is held out."""

    augment: AugmentSettings = AugmentSettings()
    """How windows are changed."""

    dropout: DropoutSettings = DropoutSettings()
    """How often streams are left out, where a phase joins them."""

    seed: int = Field(default=0, ge=0)
    """First weights; also added to the seed of each phase."""

    @field_validator("network")
    @classmethod
    def _taught(cls, network: FusionModelSettings) -> FusionModelSettings:
        """Refuse heads that no phase teaches; those of a phase may be given options."""
        taught = (*NormalitySettings.teaches, *FineTuneSettings.teaches)
        for name in network.heads:
            if name not in taught:
                raise ValueError(
                    f"no phase teaches the head {name!r}: take it out, or call it one of "
                    f"{', '.join(taught)}; further heads are learnt by 'task: classifier'"
                )
        return network


@dataclass(frozen=True, slots=True)
class PhaseOutcome:
    """What one phase did.

    Attributes:
        kind: Its type.
        before: Held-out loss before it.
        after: Held-out loss after it, of the weights that remain.
        history: What its loop found.
        figures_before: What else held-out data said before.
        figures: And after.
    """

    kind: str
    before: float
    after: float
    history: History
    figures_before: dict[str, float]
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class SceneTraining:
    """What came out of training a scene.

    Attributes:
        model: The network.
        streams: Its streams, in order.
        length_ns: Length of the windows.
        hop_ns: Distance of two windows.
        windows: Windows learnt from, held out, and labelled.
        parameters: Numbers that were learnt.
        phases: What each phase did.
        learnt: First and last index, on the grid, of each stretch of windows learnt from.
        looks_back: Windows in a row that the swap task is asked about, the last one included;
            None when the network was not last trained on it.
        retrieval_before: Between the streams on held-out normal, untrained.
        retrieval: And trained.
    """

    model: FusionModel
    streams: tuple[StreamInfo, ...]
    length_ns: int
    hop_ns: int
    windows: tuple[int, int, int]
    parameters: int
    phases: tuple[PhaseOutcome, ...]
    learnt: tuple[tuple[int, int], ...]
    looks_back: int | None
    retrieval_before: tuple[Retrieval, ...]
    retrieval: tuple[Retrieval, ...]


def build_network(
    settings: SceneTrainingSettings, streams: Sequence[StreamInfo], kinds: tuple[str, ...] = ()
) -> FusionModel:
    """The untrained network, with the heads that its phases teach.

    Args:
        settings: How it is made and trained.
        streams: Its streams.
        kinds: Kinds of labelled events to tell apart; none: nothing is labelled.

    Raises:
        ModelError: There is nothing to tell apart.
    """
    wanted = [phase for phase in settings.phases if kinds or not phase.needs_labels]
    taught = {name for phase in wanted for name in phase.teaches}
    heads = {name: head for name, head in settings.network.heads.items() if name in taught}
    network = settings.network.model_copy(update={"heads": heads})
    if any(isinstance(phase, FineTuneSettings) for phase in wanted):
        network = with_heads(network, kinds)
    if any(isinstance(phase, NormalitySettings) for phase in wanted):
        network = with_swap_head(network, [info.name for info in streams])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return FusionModel(network, streams)


def train_scene(
    model: FusionModel,
    streams: Sequence[StreamInfo],
    normal: PreparedScene,
    settings: SceneTrainingSettings,
    *,
    labelled: LabelledScene | None = None,
    folder: Path | None = None,
    resume: bool = False,
    progress: Progress,
    clock: Callable[[], float] = time.monotonic,
) -> SceneTraining:
    """Train a network of a scene.

    Args:
        model: From `build_network`.
        streams: Its streams, in order.
        normal: Its normal windows.
        settings: How.
        labelled: Windows with labelled events.
        folder: Where the state of the run is kept; None: nowhere.
        resume: Go on with the run whose state lies there.
        progress: Told the phase, the steps done, and the most there can be.
        clock: Seconds; only differences count.

    Returns:
        What came out.

    Raises:
        ModelError: The data is not enough, or the state is of another run.
        ModelFileError: The state cannot be read or written.
    """
    split = split_normal(normal, settings.data)
    model.fit_scale(normal.batch(split.learn).inputs)
    if folder is not None:
        begin(folder, fingerprint(settings, model, normal, labelled), resume)
    augment = settings.augment.build(model)
    ground = Ground(model, normal, split, augment, settings.dropout, labelled)
    before = retrieval(model, normal, split.held, _APART_S)
    outcomes = []
    wanted = _wanted(settings, labelled)
    for number, phase in enumerate(wanted):
        state = None if folder is None else state_file(folder, number)
        seeded = _seeded(phase, settings.seed, number)
        outcomes.append(_run(seeded, ground, state, progress, clock))
    return SceneTraining(
        model,
        tuple(streams),
        normal.length_ns,
        normal.hop_ns,
        (len(split.learn), len(split.held), 0 if labelled is None else len(labelled.scene)),
        sum(p.numel() for p in model.parameters()),
        tuple(outcomes),
        _learnt(normal, split.learn, labelled),
        wanted[-1].windows if isinstance(wanted[-1], NormalitySettings) else None,
        tuple(before),
        tuple(retrieval(model, normal, split.held, _APART_S)),
    )


def _wanted(settings: SceneTrainingSettings, labelled: LabelledScene | None) -> list[PhaseSettings]:
    wanted = [p for p in settings.phases if labelled is not None or not p.needs_labels]
    if not wanted:
        raise ModelError("every phase needs labels", fix="give --labels FILE")
    return wanted


def _learnt(
    normal: PreparedScene, rows: Rows, labelled: LabelledScene | None
) -> tuple[tuple[int, int], ...]:
    """Stretches of windows, by first and last index, that the network may know by heart."""
    index = normal.index[rows]
    if labelled is not None:
        index = np.union1d(index, labelled.scene.index)
    parts = np.split(index, np.flatnonzero(np.diff(index) > 1) + 1)
    return tuple((int(part[0]), int(part[-1])) for part in parts)


def _seeded(phase: PhaseSettings, seed: int, number: int) -> PhaseSettings:
    """The phase with a seed of its own: two of a kind shall not draw the same batches."""
    own = int(np.random.SeedSequence((seed, phase.loop.seed, number)).generate_state(1)[0])
    return phase.model_copy(update={"loop": phase.loop.model_copy(update={"seed": own})})


def _run(
    settings: PhaseSettings,
    ground: Ground,
    state: Path | None,
    progress: Progress,
    clock: Callable[[], float],
) -> PhaseOutcome:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.loop.seed)
        phase = settings.build(ground)
    before, figures_before = _judged(phase)
    history = run_loop(
        phase.network,
        phase.loss,
        phase.held_out,
        settings.loop,
        progress=lambda _, done, total: progress(settings.type, done, total),
        start=before,
        resume=state,
        rate=phase.rate,
        clock=clock,
    )
    phase.finish()
    after, figures = _judged(phase)
    log.info("phase done", phase=settings.type, before=round(before, 3), after=round(after, 3))
    return PhaseOutcome(settings.type, before, after, history, figures_before, figures)


@torch.no_grad()
def _judged(phase: Phase) -> tuple[float, dict[str, float]]:
    phase.network.eval()
    return phase.held_out(), phase.figures()
