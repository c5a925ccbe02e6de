"""Phase 4: labelled events teach the whole network, gently.

An anomaly head and a classification head learn together (`JointLoss`) from labelled windows and
normal ones, with the windows before each as context. Half of a batch is normal, the other half
shows labelled events, each kind as often as any other, so that a rare kind is not drowned.
Encoders and mappers, which know the scene from the phases before, are trained with a fraction of
the heads' step size, because labels are few (Howard and Ruder 2018, "Universal Language Model
Fine-tuning", section 3.2, discriminative fine-tuning). Streams are left out at random, the
strong ones more often, see `pipeline.training.modality_dropout`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from pipeline.core.errors import ModelError
from pipeline.models.fusion_model import Batch, FusionModel, FusionModelSettings
from pipeline.models.heads.anomaly import AnomalyHead, AnomalySettings
from pipeline.models.heads.classification import ClassificationHead, ClassificationSettings
from pipeline.training import metrics
from pipeline.training.labelled import LabelledScene
from pipeline.training.labelled_runs import LabelledRuns, Pool, pools_of
from pipeline.training.phases.base import Ground, Phase, PhaseSettings
from pipeline.training.prepared import DataSettings, Rows

ANOMALY, KIND = "anomaly", "kind"  # names of the heads
_HELD = 128  # held-out runs of a kind that are judged


class FineTuneSettings(PhaseSettings):
    """Options of fine-tuning."""

    needs_labels: ClassVar[bool] = True
    teaches: ClassVar[tuple[str, ...]] = (ANOMALY, KIND)

    type: Literal["fine_tune"] = "fine_tune"
    """Kind of phase."""

    run: int = Field(default=4, ge=1)
    """Windows in a row that the context looks at, the judged one included."""

    encoder_rate: float = Field(default=0.1, ge=0, le=1)
    """Share of the step size with which encoders and mappers are trained; 0: not at all."""

    held: DataSettings = DataSettings()
    """Which blocks of the labelled time are held out."""

    def build(self, ground: Ground) -> FineTune:
        """Make the phase.

        Raises:
            ModelError: No labels, too little to hold out, or the network lacks a head for them.
        """
        return FineTune(self, ground)


def with_heads(settings: FusionModelSettings, kinds: tuple[str, ...]) -> FusionModelSettings:
    """The network with the heads that fine-tuning teaches, where it does not have them.

    Raises:
        ModelError: There is but one kind.
    """
    if len(kinds) < 2:
        raise ModelError(
            f"all labelled events are of the kind {kinds[0]!r}: there are no kinds to tell apart",
            fix="label another kind too, or leave the phase 'fine_tune' out",
        )
    heads = {ANOMALY: AnomalySettings(), KIND: ClassificationSettings(classes=kinds)}
    return settings.model_copy(update={"heads": heads | settings.heads})


class FineTune(Phase):
    """Trains the whole network with the heads `ANOMALY` and `KIND`."""

    def __init__(self, settings: FineTuneSettings, ground: Ground) -> None:
        if ground.labelled is None:
            raise ModelError("fine-tuning needs labelled events", fix="give --labels FILE")
        self._settings, self._ground, model = settings, ground, ground.model
        self._anomaly, self._kind = _heads(model, ground.labelled.kinds)
        self._dropout = ground.dropout.build(len(model.names)).to(_device(model))
        self.network = nn.ModuleList([model, self._dropout])
        gentle = [*model.encoders.parameters(), *model.mappers.parameters()]
        self._gentle = {id(parameter) for parameter in gentle}
        split = ground.labelled.scene.split(settings.held)
        self._learn = _runs(ground, ground.split.learn, split.learn, settings.run)
        self._held = _runs(ground, ground.split.held, split.held, settings.run)
        _refuse_blind(self._learn, "learnt from")
        _refuse_blind(self._held, "held out")
        self._judged = self._held.judged(_HELD)
        self._fix_centre()

    def loss(self, step: int, generator: Generator) -> Tensor:
        """Joint loss of a batch, some streams left out."""
        del step
        drawn = self._learn.draw(self._settings.batch, generator)
        z, present = self._embed(self._ground.changed(drawn.batch, generator))
        kind = drawn.kind.to(z.device)
        self._dropout.observe(self._alone(z.detach(), present, kind))
        return self._joint(z, self._dropout.draw(present, generator), kind)

    @torch.no_grad()
    def held_out(self) -> float:
        """Joint loss of held-out runs, every kind weighing the same."""
        losses = []
        for drawn in self._judged:
            z, present = self._embed(drawn.batch)
            losses.append(float(self._joint(z, present, drawn.kind.to(z.device))))
        return float(np.mean(losses))

    @torch.no_grad()
    def figures(self) -> dict[str, float]:
        """Held-out AUROC of the anomaly score, and the mean share of a kind named rightly."""
        self.network.eval()
        scores, truth, right = [], [], []
        for drawn in self._judged:
            features = self._ground.model.fuse(*self._embed(drawn.batch))[:, -1]
            scores.append(self._anomaly.predict(features).cpu().numpy())
            truth.append(drawn.kind.numpy() > 0)
            named = self._kind.predict(features).argmax(dim=1).cpu()
            right.append(float((named == drawn.kind).float().mean()))
        auroc = metrics.auroc(np.concatenate(truth), np.concatenate(scores))
        return {"anomaly AUROC": auroc, "kinds named rightly": float(np.mean(right))}

    def rate(self, parameter: nn.Parameter) -> float:
        """Encoders and mappers learn slowly."""
        return self._settings.encoder_rate if id(parameter) in self._gentle else 1.0

    def _embed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Runs in Z, ``(B, T, M, Z)``, and what is present."""
        inputs, present = self._ground.placed(batch)
        flat = {name: values.flatten(0, 1) for name, values in inputs.items()}
        z = self._ground.model.embed(flat, present.flatten(0, 1))
        return z.reshape(*present.shape, -1), present

    def _joint(self, z: Tensor, present: Tensor, kind: Tensor) -> Tensor:
        features = self._ground.model.fuse(z, present)[:, -1]
        losses = {
            ANOMALY: self._anomaly.loss(features, (kind > 0).long()),
            KIND: self._kind.loss(features, kind),
        }
        summed: Tensor = self._ground.model.joint_loss(losses)
        return summed

    @torch.no_grad()
    def _alone(self, z: Tensor, present: Tensor, kind: Tensor) -> Tensor:
        """Cross-entropy of each stream when it is the only one, ``(M,)``; NaN: never there."""
        found = []
        for stream in range(present.shape[2]):
            only = torch.zeros_like(present)
            only[..., stream] = present[..., stream]
            features = self._ground.model.fuse(z, only)[:, -1]
            here = only[:, -1, stream]
            loss = self._kind.loss(features, kind, here)
            found.append(torch.where(here.any(), loss, torch.nan))
        return torch.stack(found)

    def finish(self) -> None:
        """Let the anomaly score of normal runs be about 1."""
        self._anomaly.fit_scale(self._normal())

    def _fix_centre(self) -> None:
        """Let the anomaly head's centre be what the network makes of normal runs now."""
        self._anomaly.fit_centre(self._normal())

    @torch.no_grad()
    def _normal(self) -> Tensor:
        """Features of normal runs that are learnt from, ``(n, F)``."""
        self._ground.model.eval()
        normal = self._learn.judged(_HELD)[0]
        return self._ground.model.fuse(*self._embed(normal.batch))[:, -1]


def _heads(model: FusionModel, kinds: tuple[str, ...]) -> tuple[AnomalyHead, ClassificationHead]:
    missing = [name for name in (ANOMALY, KIND) if name not in model.head_names]
    if missing:
        raise ModelError(f"the network has no head {missing[0]!r}")
    anomaly, kind = model.head(ANOMALY), model.head(KIND)
    if not isinstance(anomaly, AnomalyHead) or not isinstance(kind, ClassificationHead):
        raise ModelError(f"the heads {ANOMALY!r} and {KIND!r} are of another type")
    if kind.outputs != kinds:
        raise ModelError(
            f"the head {KIND!r} tells {', '.join(kind.outputs)}; labelled are {', '.join(kinds)}",
            fix="leave the head out: it is added for the kinds that are labelled",
        )
    return anomaly, kind


def _runs(ground: Ground, normal: Rows, labelled: Rows, length: int) -> LabelledRuns:
    """Runs of the normal windows and of the labelled ones."""
    scene: LabelledScene | None = ground.labelled
    pools = [] if scene is None else pools_of(scene, labelled, length)
    # Where normal and labelled windows are of the same time, what one holds out the other has.
    if scene is not None and not np.isin(ground.normal.index, scene.scene.index).any():
        runs = ground.normal.runs(normal, length)
        pools += [Pool(ground.normal, 0, runs)] if len(runs) else []
    return LabelledRuns(pools)


def _refuse_blind(runs: LabelledRuns, what: str) -> None:
    if 0 not in runs.kinds or len(runs.kinds) < 2:
        lacking = "an event" if 0 in runs.kinds else "normal time"
        raise ModelError(
            f"nothing of the labelled time that shows {lacking} could be {what}",
            fix="more labelled time, or a smaller block_s",
        )


def _device(model: FusionModel) -> torch.device:
    return next(model.parameters()).device


PLUGIN = FineTuneSettings
