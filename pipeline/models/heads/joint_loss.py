"""One loss of many: the heads' losses added with weights that are given or learned.

Learned weights follow Kendall, Gal and Cipolla 2018, "Multi-Task Learning Using Uncertainty to
Weigh Losses", eq. 7 and 10, with ``s = log sigma^2`` as they advise: a squared error counts
``exp(-s) / 2 * L + s / 2``, a cross-entropy ``exp(-s) * L + s / 2``. A task that is noisy gets a
larger ``s``; the second term keeps it from growing without end.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pipeline.core.errors import ModelError
from pipeline.core.settings import Settings
from pipeline.models.heads.base import Head


class JointLossSettings(Settings):
    """How the heads' losses are added."""

    weights: dict[str, float] = {}
    """Weight per head by name; 1 for those not named."""

    learned: bool = False
    """Learn the weights by uncertainty; given ones then multiply what is learned."""

    def build(self, heads: Mapping[str, Head]) -> JointLoss:
        """Make the loss of these heads.

        Raises:
            ModelError: A weight for a head that does not exist, or a negative one.
        """
        for name, weight in self.weights.items():
            if name not in heads:
                raise ModelError(f"a weight for the head {name!r}, which does not exist")
            if weight < 0:
                raise ModelError(f"the weight of the head {name!r} is negative")
        return JointLoss(self, heads)


class JointLoss(nn.Module):
    """Adds losses by name."""

    def __init__(self, settings: JointLossSettings, heads: Mapping[str, Head]) -> None:
        super().__init__()
        self.names = tuple(heads)
        self.given = {name: settings.weights.get(name, 1.0) for name in self.names}
        categorical = [head.likelihood == "categorical" for head in heads.values()]
        self.precision = {
            n: 1.0 if c else 0.5 for n, c in zip(self.names, categorical, strict=True)
        }
        self.log_variance = nn.Parameter(torch.zeros(len(self.names))) if settings.learned else None

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The sum; heads that have no loss in this batch are left out.

        Args:
            losses: Scalar per head, at least one.
        """
        parts = [self._weighed(name, loss) for name, loss in losses.items()]
        return torch.stack(parts).sum()

    def _weighed(self, name: str, loss: Tensor) -> Tensor:
        if self.log_variance is None:
            return self.given[name] * loss
        s = self.log_variance[self.names.index(name)]
        return self.given[name] * (self.precision[name] * torch.exp(-s) * loss + s / 2)
