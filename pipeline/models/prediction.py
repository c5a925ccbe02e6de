"""One stream predicted from others: does what it shows belong to what they show?

Ridge regression from the embeddings of the others to the stream's own. What counts is not the
residual, which is large whenever anything unusual happens, but how much less likely the stream
is given the others than on its own:

    score = log t(y | mean, C_own) - log t(y | prediction, C_given)

the negative pointwise mutual information of the two (Fano, 1961, *Transmission of Information*,
chapter 2) with multivariate t densities (Lange, Little and Taylor, 1989, *Robust statistical
modeling using the t distribution*, section 2): under Gaussian ones, what is rare but ordinary
scores as high as what does not fit. In normal time the others help, and the score is negative.
It grows when the stream is what one expects of it, but not now.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.models.products import row_by_row
from pipeline.models.shrinkage import ledoit_wolf

_PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)  # shares of the inputs' variance; inputs are white
_PARTS = 4
_STRETCHES = 16  # neighbours in time are alike: parts are made of whole stretches
_FREEDOM = 30.0  # degrees of freedom of the t densities
_CLIP = 8.0  # standard units; what is further is told by the stream's own detectors


@dataclass(frozen=True, slots=True)
class Prediction:
    """One stream given others.

    Attributes:
        source_mean: Mean of the others' embeddings, ``(F,)``.
        target_mean: Mean of the stream's own, ``(E,)``.
        weights: Ridge regression, ``(F, E)``.
        own: Inverse covariance of the stream on its own, ``(E, E)``.
        given: Inverse covariance of what the others leave open, ``(E, E)``.
        gain: Half the difference of the covariances' log determinants, ``()``.
    """

    source_mean: Tensor
    target_mean: Tensor
    weights: Tensor
    own: Tensor
    given: Tensor
    gain: Tensor

    def scores(self, sources: Tensor, target: Tensor) -> Tensor:
        """How little the stream fits the others, ``(B,)``.

        Args:
            sources: Embeddings of the others, side by side, ``(B, F)``.
            target: The stream's own, ``(B, E)``.
        """
        away = target.clamp(-_CLIP, _CLIP) - self.target_mean
        rest = away - self._away(sources)
        tails = torch.log1p(_square(rest, self.given) / _FREEDOM) - torch.log1p(
            _square(away, self.own) / _FREEDOM
        )
        return (_FREEDOM + target.shape[1]) / 2 * tails + self.gain

    def expected(self, sources: Tensor) -> Tensor:
        """What the others lead one to expect of the stream, ``(B, F)`` to ``(B, E)``."""
        return self.target_mean + self._away(sources)

    def _away(self, sources: Tensor) -> Tensor:
        """How far from its mean the stream should be, ``(B, F)`` to ``(B, E)``."""
        return row_by_row(sources.clamp(-_CLIP, _CLIP) - self.source_mean, self.weights)


def _square(rows: Tensor, inverse: Tensor) -> Tensor:
    return (row_by_row(rows, inverse) * rows).sum(dim=1)


def fit_prediction(sources: Tensor, target: Tensor) -> Prediction:
    """Learn to predict a stream from others.

    The penalty is the one whose predictions of windows left out are best, and the covariance
    of the residual is that of those predictions: residuals of windows that were learnt from
    are too small.

    Args:
        sources: Embeddings of the others, side by side, in the order of time, ``(n, F)``.
        target: The stream's own in the same windows, ``(n, E)``.
    """
    inputs, outputs = sources.clamp(-_CLIP, _CLIP), target.clamp(-_CLIP, _CLIP)
    source_mean, target_mean = inputs.mean(dim=0), outputs.mean(dim=0)
    inputs, outputs = inputs - source_mean, outputs - target_mean
    part = torch.arange(len(inputs)) * _STRETCHES // len(inputs) % _PARTS
    tried = [_left_out(inputs, outputs, part, penalty) for penalty in _PENALTIES]
    rest = min(tried, key=lambda r: float(r.square().mean(dim=0).clamp_min(1e-12).log().sum()))
    penalty = next(p for p, r in zip(_PENALTIES, tried, strict=True) if r is rest)
    weights = _ridge(inputs.T @ inputs, inputs.T @ outputs, penalty * len(inputs))
    own, given = ledoit_wolf(outputs[None])[1][0], ledoit_wolf(rest[None])[1][0]
    gain = (torch.logdet(given) - torch.logdet(own)) / 2
    # The file holds rows in order; the last bit of a product depends on how they lie in memory.
    return Prediction(
        source_mean,
        target_mean,
        weights.contiguous(),
        torch.linalg.inv(own).contiguous(),
        torch.linalg.inv(given).contiguous(),
        gain,
    )


def _left_out(inputs: Tensor, outputs: Tensor, part: Tensor, penalty: float) -> Tensor:
    """Residuals of predictions by the other parts, ``(n, E)``."""
    rest = torch.zeros_like(outputs)
    for number in range(_PARTS):
        out = part == number
        kept, known = inputs[~out], outputs[~out]
        weights = _ridge(kept.T @ kept, kept.T @ known, penalty * len(kept))
        rest[out] = outputs[out] - inputs[out] @ weights
    return rest


def _ridge(square: Tensor, cross: Tensor, penalty: float) -> Tensor:
    """Weights ``(F, E)`` from the inputs' products ``(F, F)`` and theirs with the outputs."""
    raised = square + penalty * torch.eye(len(square), dtype=square.dtype)
    weights: Tensor = torch.linalg.solve(raised, cross)
    return weights


def relations(streams: int) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Which stream is predicted from which: from all others, and from each other one alone.

    The pairs go on when a stream is away, and tell which two disagree.
    """
    found: list[tuple[int, tuple[int, ...]]] = []
    for of in range(streams):
        others = tuple(other for other in range(streams) if other != of)
        if len(others) > 1:
            found.append((of, others))
        found.extend((of, (other,)) for other in others)
    return tuple(found)
