"""A plain supervised classifier of samples with several modalities.

Encoders, the shared space, a fusion, a context and a head, trained by cross-entropy: the
network of a scene asked the usual question (Baltrusaitis et al. 2019, "Multimodal Machine
Learning", section 6, for its place among others). A sample is one or more windows in a row; each
window is to say the class, and the sample's answer is the mean of their probabilities. Further
heads may learn beside it, see `pipeline.training.further_heads`.

In training, windows are changed a little (`pipeline.training.augment`), and modalities are left
out at random (Neverova et al. 2016, "ModDrop"), so that the network also answers when one is
missing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from pipeline.core.errors import ModelError
from pipeline.core.sample import Modality, StreamInfo
from pipeline.core.settings import Settings
from pipeline.models.contexts.none import NoneSettings
from pipeline.models.fusion_model import FusionModel, FusionModelSettings
from pipeline.models.heads.classification import ClassificationHead, ClassificationSettings
from pipeline.training.augment import Augment, AugmentSettings
from pipeline.training.dealing import SplitSettings
from pipeline.training.examples import Examples
from pipeline.training.further_heads import FurtherHeads
from pipeline.training.loop import LoopSettings, Progress, run_loop
from pipeline.training.sample_parts import ReadingSettings
from pipeline.training.training_state import History

HEAD = "class"
_CHUNK = 64


class ClassHeadSettings(Settings):
    """The head; its classes are those of the folder."""

    hidden: int = Field(default=64, ge=2)
    """Width of its own layer."""

    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of that layer's numbers left out in training."""


class ClassifierSettings(Settings):
    """Options of ``fusewatch train`` for a classifier."""

    task: Literal["classifier"]
    """What is trained."""

    modalities: tuple[Modality, ...] = ()
    """Modalities to look at; empty: all that the folder has."""

    network: FusionModelSettings = FusionModelSettings(context=NoneSettings())
    """Encoders, shared space, fusion, context and further heads by name, with the weights of
    their losses (`joint`); that of the class is called ``class``."""

    head: ClassHeadSettings = ClassHeadSettings()
    """What tells the class."""

    normal: tuple[str, ...] = ()
    """Classes that are normal; an anomaly head learns to tell all others from them."""

    reading: ReadingSettings = ReadingSettings()
    """How files become windows."""

    split: SplitSettings = SplitSettings()
    """How samples are dealt out where the folder does not say what they are for."""

    loop: LoopSettings = LoopSettings()
    """How it is trained. AdamW without `weight_decay` is Adam."""

    augment: AugmentSettings = AugmentSettings()
    """How windows are changed in training."""

    augment_share: float = Field(default=0.5, ge=0, le=1)
    """Share of the samples that are changed. With all of them changed, what only two modalities
    together tell was not found any more."""

    batch: int = Field(default=32, ge=1, le=4096)
    """Samples per step."""

    balance: bool = True
    """Let rare classes count as much as common ones."""

    modality_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of the modalities of a sample left out in training; one always stays."""

    threads: int = Field(default=1, ge=1, le=256)
    """Threads of the processor; networks as small as the default are slower on more."""

    @model_validator(mode="after")
    def _one_class_head(self) -> Self:
        heads = self.network.heads
        if HEAD in heads or any(isinstance(h, ClassificationSettings) for h in heads.values()):
            raise ValueError("one head tells the class: write its options under 'head'")
        return self


def build_network(
    settings: ClassifierSettings, streams: Sequence[StreamInfo], classes: Sequence[str]
) -> FusionModel:
    """The untrained network; its first weights follow from the seed.

    Raises:
        ModelError: An encoder cannot see its stream.
    """
    head = ClassificationSettings(
        classes=tuple(classes), hidden=settings.head.hidden, dropout=settings.head.dropout
    )
    heads = {HEAD: head} | settings.network.heads
    made = settings.network.model_copy(update={"heads": heads})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.loop.seed)
        return FusionModel(made, streams)


def fit_classifier(
    network: FusionModel,
    train: Examples,
    held_out: Examples,
    settings: ClassifierSettings,
    *,
    progress: Progress,
    resume: Path | None = None,
    run: str = "",
) -> History:
    """Train the network, with what was held out ending it.

    Args:
        network: From `build_network`.
        train: What is learnt from.
        held_out: What tells when learning should end.
        settings: How.
        progress: See `run_loop`.
        resume: See `run_loop`.
        run: See `run_loop`.

    Raises:
        ConfigError: A further head has nothing to learn.
        ModelError: A loss is not finite.
        ModelFileError: The training state cannot be used.
    """
    further = further_heads(network, settings.normal)
    further.check(train)
    network.fit_scale(_seen_windows(network, train))
    if settings.balance:
        _head(network).balance(train.labels)
    further.begin(train)
    clusters_from = settings.loop.steps // 3
    augment = settings.augment.build(network)

    def loss(step: int, generator: torch.Generator) -> Tensor:
        if step == clusters_from:
            further.place_clusters(train)
        chosen = torch.randint(len(train), (settings.batch,), generator=generator)
        part = _changed(train.at(chosen), augment, settings.augment_share, generator)
        part = _some_left_out(part, settings.modality_dropout, generator)
        return _loss(network, further, part, clusters=step >= clusters_from)

    def judge() -> float:
        lost = [
            float(_loss(network, further, part, clusters=False)) * len(part)
            for part in held_out.parts(_CHUNK)
        ]
        return math.fsum(lost) / len(held_out)

    history = run_loop(
        network, loss, judge, settings.loop, progress=progress, resume=resume, run=run
    )
    further.end(train)
    return history


def further_heads(network: FusionModel, normal: Sequence[str]) -> FurtherHeads:
    """The heads of a classifier beside the one that tells the class."""
    names = tuple(name for name in network.head_names if name != HEAD)
    return FurtherHeads(network, names, frozenset(normal))


@torch.no_grad()
def probabilities(network: FusionModel, examples: Examples) -> Tensor:
    """Probability of each class per sample, ``(N, K)``."""
    network.eval()
    found = []
    for part in examples.parts(_CHUNK):
        seen = part.present.any(dim=-1)  # (B, T)
        features = network(part.inputs, part.present)  # (B, T, F)
        told = _head(network).predict(features.flatten(0, 1)).reshape(*seen.shape, -1)
        told = torch.where(seen[..., None], told, torch.zeros_like(told))
        found.append(told.sum(dim=1) / seen.sum(dim=1, keepdim=True).clamp(min=1))
    return torch.cat(found)


def _loss(network: FusionModel, further: FurtherHeads, part: Examples, *, clusters: bool) -> Tensor:
    features = network(part.inputs, part.present)  # (B, T, F)
    own = {HEAD: _class_loss(_head(network), features, part)}
    joint: Tensor = network.joint_loss(own | further.losses(features, part, clusters))
    return joint


def _class_loss(head: ClassificationHead, features: Tensor, part: Examples) -> Tensor:
    """Cross-entropy of every window that is seen, each sample counting as one."""
    seen = part.present.any(dim=-1)  # (B, T)
    logits = head.logits(features.flatten(0, 1))
    targets = part.labels[:, None].expand(seen.shape)
    losses = F.cross_entropy(logits, targets.flatten(), reduction="none").reshape(seen.shape)
    weights = head.weights[targets] * seen / seen.sum(dim=1, keepdim=True).clamp(min=1)
    return (losses * weights).sum() / weights.sum().clamp(min=1e-12)


def _changed(
    part: Examples, augment: Augment, share: float, generator: torch.Generator
) -> Examples:
    """Some samples in another light, with another gain, noisier: what they show stays."""
    changed = torch.rand(len(part), generator=generator) < share
    inputs = {}
    for name, values in part.inputs.items():
        copy = augment.stream(name, values.flatten(0, 1), generator).reshape(values.shape)
        rows = changed.reshape(-1, *[1] * (values.ndim - 1))
        inputs[name] = torch.where(rows, copy, values)
    return replace(part, inputs=inputs)


def _some_left_out(part: Examples, share: float, generator: torch.Generator) -> Examples:
    """Leave out modalities of whole samples; a window that would be empty keeps all it has."""
    count, _, streams = part.present.shape
    kept = torch.rand(count, 1, streams, generator=generator) >= share
    left = part.present & kept
    whole = ~left.any(dim=-1, keepdim=True)
    return part.showing(torch.where(whole, part.present, left))


def _seen_windows(network: FusionModel, train: Examples) -> dict[str, Tensor]:
    """Per stream, the windows in which it was seen."""
    return {
        name: train.inputs[name][train.present[..., index]]
        for index, name in enumerate(network.names)
    }


def _head(network: FusionModel) -> ClassificationHead:
    head = network.head(HEAD)
    if not isinstance(head, ClassificationHead):
        raise ModelError(f"its head {HEAD!r} does not tell classes")
    return head


def told_classes(network: FusionModel, found: Tensor) -> list[str]:
    """The likeliest class of each sample, from ``(N, K)``."""
    names = _head(network).outputs
    return [names[place] for place in np.asarray(found.argmax(dim=1)).tolist()]
