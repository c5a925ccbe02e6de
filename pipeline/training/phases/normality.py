"""Phase 3: what belongs together at this site, learnt from its normal alone.

The network tells which stream of a window, if any, was swapped in from another time nearby or is
shifted by a few seconds, see `pipeline.training.odd_runs`. That trains what joins the streams
(fusion and context) and a head that names the odd one; encoders and mappers know the streams
from the phases before and stay as they are, unless `encoder_rate` lets them learn along. As they
do not change, each window is then embedded once, which makes a step cheap.

Held out are blocks of normal time, as in every phase; they decide when to stop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from pipeline.core.errors import ModelError
from pipeline.models.fusion_model import FusionModel, FusionModelSettings
from pipeline.models.heads.classification import ClassificationHead, ClassificationSettings
from pipeline.models.network_verdict import NONE, SWAPPED
from pipeline.models.odd_settings import OddSettings
from pipeline.training import metrics
from pipeline.training.loop import LoopSettings
from pipeline.training.odd_runs import Runs
from pipeline.training.phases.base import Ground, Phase, PhaseSettings
from pipeline.training.prepared import SECOND_NS, Rows
from pipeline.training.retrieval import embed_rows

_JUDGED = 6  # batches of held-out runs per look
_LEAST_STARTS = 8


class NormalitySettings(PhaseSettings):
    """Options of normality; those of the swaps are as in `OddSettings`."""

    teaches: ClassVar[tuple[str, ...]] = (SWAPPED,)

    type: Literal["normality"] = "normality"
    """Kind of phase."""

    loop: LoopSettings = LoopSettings(steps=400, weight_decay=0.05, evaluate_every=40, patience=4)
    """Steps, step size, early stopping."""

    batch: int = Field(default=16, ge=4, multiple_of=4)
    """Runs of windows per step, four from each neighbourhood; each is swapped several times."""

    encoder_rate: float = Field(default=0.0, ge=0, le=1)
    """Share of the step size with which encoders and mappers are trained; 0: not at all."""

    noise: float = Field(default=1.0, ge=0)
    """Noise put on the vectors of streams in training, standard units. Encoders know the windows
    they have learnt from, and the less of it the sooner the rest learns only that: held-out loss
    on half an hour of a synthetic site was 0.51 with 0.3 and 0.48 with 1."""

    windows: int = Field(default=8, ge=1, le=64)
    """Windows in a row that are looked at when the network is used, the judged one included."""

    run_s: float = Field(default=12.0, gt=0)
    """Length of a run, seconds."""

    near_s: float = Field(default=200.0, gt=0)
    """What is swapped in comes from no further away, seconds."""

    shifted: float = Field(default=0.3, ge=0, le=1)
    """Share of swaps from the same run, shifted by `shift_s`."""

    shift_s: tuple[float, float] = (1.5, 4.0)
    """Least and most of a shift, seconds."""

    def build(self, ground: Ground) -> Normality:
        """Make the phase.

        Raises:
            ModelError: Fewer than two streams, too little normal that shows all of them, or the
                network lacks the head.
        """
        return Normality(self, ground)

    def swaps(self) -> OddSettings:
        """How runs are drawn and swapped; noise is put on the vectors instead."""
        return OddSettings(
            runs=self.batch,
            noise=0.0,
            run_s=self.run_s,
            near_s=self.near_s,
            shifted=self.shifted,
            shift_s=self.shift_s,
        )


def with_swap_head(settings: FusionModelSettings, streams: Sequence[str]) -> FusionModelSettings:
    """The network with the head that normality teaches, where it does not have it."""
    head = ClassificationSettings(classes=(NONE, *streams))
    return settings.model_copy(update={"heads": {SWAPPED: head} | settings.heads})


class Normality(Phase):
    """Trains fusion, context and the head `SWAPPED`; encoders too if they are to learn along."""

    def __init__(self, settings: NormalitySettings, ground: Ground) -> None:
        model = ground.model
        if len(model.names) < 2:
            raise ModelError(
                "normality needs two streams or more", fix="leave the phase 'normality' out"
            )
        self._rate = settings.encoder_rate
        self._asked = _Asked(settings, ground)
        self.network = self._asked
        self._gentle = {id(p) for part in self._asked.gentle for p in part.parameters()}
        self._learn = _runs(settings, ground, ground.split.learn, "learnt from")
        self._held = _runs(settings, ground, ground.split.held, "held out")

    def loss(self, step: int, generator: Generator) -> Tensor:
        """Cross-entropy of naming what was swapped."""
        del step
        return self._learn.loss(self._asked, generator)

    @torch.no_grad()
    def held_out(self) -> float:
        """The same on held-out runs, always with the same swaps."""
        return float(F.cross_entropy(*self._judged()))

    @torch.no_grad()
    def figures(self) -> dict[str, float]:
        """How well it tells what was swapped in held-out runs.

        Named rightly is the mean share over *none* and each stream, however often each occurs
        (which of two streams was swapped cannot be told); AUROC is that of any swap against
        none; the doubt lost is the share of the loss of one who knows how often each occurs.
        """
        self.network.eval()
        logits, truths = self._judged()
        right = (logits.argmax(dim=1) == truths).float()
        named = [float(right[truths == one].mean()) for one in range(logits.shape[1])]
        known = 1 - float(F.cross_entropy(logits, truths)) / self._held.chance(_draws())
        sure = -logits.log_softmax(dim=1)[:, 0]
        return {
            "swaps named rightly": sum(named) / len(named),
            "swaps named rightly by chance": 1 / len(named),
            "swap AUROC": metrics.auroc((truths > 0).numpy(), sure.double().numpy()),
            "doubt lost about swaps": known,
        }

    def rate(self, parameter: nn.Parameter) -> float:
        """Encoders and mappers learn slowly."""
        return self._rate if id(parameter) in self._gentle else 1.0

    def _judged(self) -> tuple[Tensor, Tensor]:
        generator = _draws()
        found = [self._held.answers(self._asked, generator) for _ in range(_JUDGED)]
        return torch.cat([logits for logits, _ in found]), torch.cat([truth for _, truth in found])


class _Asked(nn.Module):
    """The scene's network as `Runs` asks it; windows are told by their position.

    Attributes:
        gentle: Encoders and mappers, if they are trained.
    """

    def __init__(self, settings: NormalitySettings, ground: Ground) -> None:
        super().__init__()
        model = ground.model
        self._noise, self._ground = settings.noise, ground
        self.fusion, self.context, self.head = model.fusion, model.context, _head(model)
        learns = settings.encoder_rate > 0
        self.gentle = nn.ModuleList([model.encoders, model.mappers] if learns else [])
        self._known = None if learns else embed_rows(model, ground.normal, _every(ground))[0]

    def embed(self, components: Sequence[Tensor]) -> Tensor:
        """Positions of windows, per stream ``(B,)``, to their vectors ``(B, M, Z)``, on the CPU."""
        rows = components[0]
        if self._known is None:
            batch = self._ground.placed(self._ground.normal.batch(rows.numpy()))
            z = self._ground.model.embed(*batch).cpu()
        else:
            z = self._known[rows]
        return z + self._noise * torch.randn(z.shape) if self.training else z

    def forward(self, z: Tensor, present: Tensor) -> Tensor:
        """Logits of *none* and of each stream, ``(B, T, 1 + M)``, on the CPU."""
        device = next(self.head.parameters()).device
        told = self._ground.model.fuse(z.to(device), present.to(device))
        return self.head.logits(told).cpu()


def _every(ground: Ground) -> Rows:
    return torch.arange(len(ground.normal)).numpy()


def _head(model: FusionModel) -> ClassificationHead:
    if SWAPPED not in model.head_names:
        raise ModelError(f"the network has no head {SWAPPED!r}")
    head = model.head(SWAPPED)
    if not isinstance(head, ClassificationHead) or head.outputs != (NONE, *model.names):
        raise ModelError(
            f"the head {SWAPPED!r} does not name the streams of the scene",
            fix="leave the head out: it is added for them",
        )
    return head


def _runs(settings: NormalitySettings, ground: Ground, rows: Rows, what: str) -> Runs:
    normal = ground.normal
    chosen = torch.zeros(len(normal), dtype=torch.bool)
    chosen[torch.from_numpy(rows)] = True
    usable = chosen & normal.present.all(dim=1)
    positions = [torch.arange(len(normal))] * len(ground.model.names)
    hop_s = normal.hop_ns / SECOND_NS
    runs = Runs(settings.swaps(), positions, normal.index, usable.numpy(), hop_s)
    if len(runs.starts) < _LEAST_STARTS:
        raise ModelError(
            f"too little normal time that shows all streams could be {what}: {len(runs.starts)} "
            f"runs of {settings.run_s:g} s without a gap, at least {_LEAST_STARTS} are needed",
            fix="record for longer, a larger block_s, or leave the phase 'normality' out",
        )
    return runs


def _draws() -> Generator:
    """What held-out runs are drawn by: the same each time."""
    return torch.Generator().manual_seed(0)


PLUGIN = NormalitySettings
