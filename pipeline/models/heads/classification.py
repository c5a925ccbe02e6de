"""Classification head: a small network and cross-entropy, with weights for rare classes."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.models.heads.base import Head, HeadSettings


class ClassificationSettings(HeadSettings):
    """Options of the classification."""

    type: Literal["classification"] = "classification"
    """Kind of head."""

    classes: tuple[str, ...] = Field(min_length=2)
    """Names of the classes."""

    weights: tuple[float, ...] = ()
    """Weight of each class in the loss; empty: all alike until `balance` says otherwise."""

    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of the layer's numbers left out in training."""

    @model_validator(mode="after")
    def _one_weight_each(self) -> Self:
        if self.weights and len(self.weights) != len(self.classes):
            raise ValueError(f"{len(self.weights)} weights for {len(self.classes)} classes")
        if any(weight < 0 for weight in self.weights) or len(set(self.classes)) < len(self.classes):
            raise ValueError("weights may not be negative, names of classes not repeat")
        return self

    def build(self, width: int) -> ClassificationHead:
        """Make the network."""
        return ClassificationHead(self, width)


class ClassificationHead(Head):
    """``(B, F)`` to probabilities ``(B, K)``."""

    likelihood: ClassVar[str] = "categorical"
    weights: Tensor

    def __init__(self, settings: ClassificationSettings, width: int) -> None:
        super().__init__()
        self.outputs = settings.classes
        self.net = nn.Sequential(
            nn.Linear(width, settings.hidden),
            nn.GELU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.hidden, len(settings.classes)),
        )
        weights = settings.weights or (1.0,) * len(settings.classes)
        self.register_buffer("weights", torch.tensor(weights))

    @torch.no_grad()
    def balance(self, target: Tensor) -> None:
        """Weigh classes by the inverse of how often they occur in ``(n,)``; never seen: 0."""
        count = torch.bincount(target.flatten(), minlength=len(self.weights)).float()
        seen = (count > 0).sum().clamp(min=1)
        weights = count.sum() / (seen * count.clamp(min=1))
        self.weights.copy_(torch.where(count > 0, weights, torch.zeros_like(weights)))

    def loss(self, features: Tensor, target: Tensor | None, mask: Tensor | None = None) -> Tensor:
        """Weighted cross-entropy; `target` holds class numbers ``(B,)``."""
        if target is None:
            return features.sum() * 0.0
        usable = target if mask is None else torch.where(mask, target, 0)
        losses = F.cross_entropy(self.logits(features), usable, reduction="none")
        weights = self.weights[usable]
        if mask is not None:
            weights = weights * mask
        # Relative to the weight in the batch, as torch does; a batch without any counts nothing.
        total = weights.sum()
        return (losses * weights).sum() / torch.where(total > 0, total, 1.0)

    def logits(self, features: Tensor) -> Tensor:
        """Scores before the softmax, ``(B, K)``."""
        scores: Tensor = self.net(features)
        return scores

    def predict(self, features: Tensor) -> Tensor:
        """Probabilities ``(B, K)``."""
        return torch.softmax(self.logits(features), dim=-1)


PLUGIN = ClassificationSettings
