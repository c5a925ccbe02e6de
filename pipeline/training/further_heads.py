"""The heads of a classifier beside the one that tells the class: what each learns of a sample.

A regression head learns the columns of the folder's table that it names, an anomaly head which
classes are normal, a clustering head groups samples without being told anything. All look at
the mean of a sample's fused vectors over the windows that were seen, ``(B, F)``, and are trained
together with the class (`JointLoss`).

Clusters are placed once a third of the training is done, as before there is little to group by,
and once more when it is over. Their loss falls as they grow surer, rightly or not, so it does
not take part in telling when to end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.core.errors import ConfigError
from pipeline.models.fusion_model import FusionModel
from pipeline.models.heads.anomaly import AnomalyHead
from pipeline.models.heads.base import Head
from pipeline.models.heads.clustering import ClusteringHead
from pipeline.models.heads.regression import RegressionHead
from pipeline.training import metrics
from pipeline.training.class_metrics import mutual_information
from pipeline.training.examples import Examples

_CHUNK = 64


@dataclass(frozen=True, slots=True)
class FurtherHeads:
    """The further heads of a network.

    Attributes:
        network: Has them.
        names: Theirs, in order.
        normal: Classes that are normal, for anomaly heads.
    """

    network: FusionModel
    names: tuple[str, ...]
    normal: frozenset[str]

    def check(self, samples: Examples) -> None:
        """See that there is something to learn.

        Raises:
            ConfigError: A column that no sample has, classes that are all normal or none, or
                fewer samples than clusters.
        """
        for name, head in self._heads():
            target = self._target(head, samples)
            if isinstance(head, RegressionHead) and target is not None:
                _refuse_unknown(name, head, target)
            if isinstance(head, AnomalyHead) and target is not None and (target > 0).all():
                raise ConfigError(
                    f"the head {name!r} has no normal sample to learn from",
                    where="normal",
                    fix="name the classes that are normal: normal: [CLASS, ...]",
                )
            if isinstance(head, ClusteringHead) and len(samples) < len(head.centres):
                raise ConfigError(
                    f"{len(samples)} samples for the {len(head.centres)} clusters of {name!r}",
                    where=f"network.heads.{name}.clusters",
                    fix="ask for fewer clusters",
                )

    @torch.no_grad()
    def begin(self, train: Examples) -> None:
        """Learn scales and the centre of what is normal, before training."""
        features = self._over(train)
        for _, head in self._heads():
            target = self._target(head, train)
            if isinstance(head, RegressionHead) and target is not None:
                head.fit_scale(target)
            if isinstance(head, AnomalyHead) and target is not None:
                head.fit_centre(features[target == 0])

    @torch.no_grad()
    def place_clusters(self, train: Examples) -> None:
        """Place the centres where the samples lie now; leaves the network's mode alone."""
        found = [head for _, head in self._heads() if isinstance(head, ClusteringHead)]
        if found:
            training = self.network.training
            self.network.eval()
            features = self._over(train)
            self.network.train(training)
            for head in found:
                head.fit_centres(features)

    @torch.no_grad()
    def end(self, train: Examples) -> None:
        """Say what is usual, once the network does not change any more."""
        self.place_clusters(train)
        features = self._over(train)
        for _, head in self._heads():
            target = self._target(head, train)
            if isinstance(head, AnomalyHead) and target is not None:
                head.fit_scale(features[target == 0])

    def losses(self, features: Tensor, part: Examples, clusters: bool) -> dict[str, Tensor]:
        """Loss per head.

        Args:
            features: Fused vectors ``(B, T, F)``.
            part: The samples they are of.
            clusters: Whether clusters take part.
        """
        mean = sample_vectors(features, part.present)
        return {
            name: head.loss(mean, self._target(head, part))
            for name, head in self._heads()
            if clusters or not isinstance(head, ClusteringHead)
        }

    @torch.no_grad()
    def figures(self, examples: Examples) -> dict[str, dict[str, float]]:
        """How well each head answers for samples, by name; NaN where it cannot be told."""
        self.network.eval()
        features = self._over(examples)
        return {name: self._figures(head, features, examples) for name, head in self._heads()}

    def _figures(self, head: Head, features: Tensor, examples: Examples) -> dict[str, float]:
        told = head.predict(features)
        target = self._target(head, examples)
        labels = [sample.label for sample in examples.samples]
        if isinstance(head, ClusteringHead):
            groups = told.argmax(dim=-1).tolist()
            return {
                "clusters in use": float(len(set(groups))),
                "information shared with the class": mutual_information(labels, groups),
            }
        if target is None:
            return {}
        if isinstance(head, AnomalyHead):
            return {"AUROC": metrics.auroc((target > 0).numpy(), told.numpy())}
        return _number_figures(head.outputs, target, told)

    def _heads(self) -> list[tuple[str, Head]]:
        return [(name, self.network.head(name)) for name in self.names]

    def _target(self, head: Head, examples: Examples) -> Tensor | None:
        if isinstance(head, RegressionHead):
            missing = float("nan")
            rows = [[s.numbers.get(n, missing) for n in head.outputs] for s in examples.samples]
            return torch.tensor(rows, dtype=torch.float32)
        if isinstance(head, AnomalyHead):
            return torch.tensor([int(s.label not in self.normal) for s in examples.samples])
        return None

    def _over(self, examples: Examples) -> Tensor:
        """Vector of each sample, ``(N, F)``."""
        found = []
        for part in examples.parts(_CHUNK):
            features = self.network(part.inputs, part.present)
            found.append(sample_vectors(features, part.present))
        return torch.cat(found)


def sample_vectors(features: Tensor, present: Tensor) -> Tensor:
    """Mean over the windows that were seen: ``(B, T, F)`` and ``(B, T, M)`` to ``(B, F)``."""
    seen = present.any(dim=-1, keepdim=True)  # (B, T, 1)
    kept = torch.where(seen, features, torch.zeros_like(features))
    return kept.sum(dim=1) / seen.sum(dim=1).clamp(min=1)


def _refuse_unknown(name: str, head: RegressionHead, target: Tensor) -> None:
    for column, known in zip(head.outputs, torch.isfinite(target).any(dim=0).tolist(), strict=True):
        if not known:
            raise ConfigError(
                f"no sample has a number {column!r}, which the head {name!r} is to learn",
                where=f"network.heads.{name}.outputs",
                fix=f"give labels.csv a column {column!r}",
            )


def _number_figures(names: Sequence[str], target: Tensor, told: Tensor) -> dict[str, float]:
    """Mean error, and share of the variance explained, per number."""
    found: dict[str, float] = {}
    for column, name in enumerate(names):
        known = torch.isfinite(target[:, column])
        true, said = target[known, column].double(), told[known, column].double()
        error, spread = (true - said).square().sum(), (true - true.mean()).square().sum()
        found[f"{name}: mean error"] = float((true - said).abs().mean())
        found[f"{name}: R2"] = float(1 - error / spread) if float(spread) > 0 else float(np.nan)
    return found
