"""What a classifier was trained on and how well it tells samples, as JSON."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pipeline.models.fusion_model import FusionModel
from pipeline.training.class_metrics import Classified, classified
from pipeline.training.classifier import further_heads, probabilities, told_classes
from pipeline.training.examples import Examples
from pipeline.training.labelled_folder import Unusable
from pipeline.training.training_state import History

_EXAMPLES = 20  # files named per reason


@dataclass(frozen=True, slots=True)
class Judged:
    """What a classifier says of samples.

    Attributes:
        names: Names of the samples.
        truth: Their classes.
        told: The classes told.
        probabilities: Of each class, ``(N, K)``.
        result: How well they were told.
        alone: Accuracy when all but one modality are hidden, by stream, over the samples that
            have it; of a network that has one modality nothing.
        further: Figures of the further heads, by name.
    """

    names: tuple[str, ...]
    truth: tuple[str, ...]
    told: tuple[str, ...]
    probabilities: Tensor
    result: Classified
    alone: dict[str, float]
    further: dict[str, dict[str, float]]


def judge(network: FusionModel, examples: Examples, normal: Sequence[str] = ()) -> Judged:
    """Ask the network for the class of each sample, and its further heads what they know.

    Args:
        network: A trained classifier.
        examples: The samples.
        normal: Classes that are normal, for anomaly heads.
    """
    found = probabilities(network, examples)
    truth = tuple(sample.label for sample in examples.samples)
    told = tuple(told_classes(network, found))
    alone = {}
    for index, name in enumerate(network.names if len(network.names) > 1 else ()):
        shown = torch.zeros_like(examples.present)
        shown[..., index] = examples.present[..., index]
        rows = shown.flatten(1).any(dim=1).nonzero().flatten()
        if len(rows):
            alone[name] = _accuracy(network, examples.showing(shown).at(rows))
    names = tuple(sample.name for sample in examples.samples)
    further = further_heads(network, normal).figures(examples)
    return Judged(names, truth, told, found, classified(truth, told), alone, further)


def _accuracy(network: FusionModel, examples: Examples) -> float:
    told = told_classes(network, probabilities(network, examples))
    return classified([sample.label for sample in examples.samples], told).accuracy


def result_json(judged: Judged) -> dict[str, Any]:
    """Figures of a judgement; what has no meaning is null."""
    result = judged.result
    per_class = {
        str(name): {
            "samples": int(result.confusion[row].sum()),
            "precision": _number(result.precision[row]),
            "recall": _number(result.recall[row]),
            "f1": _number(result.f1[row]),
        }
        for row, name in enumerate(result.classes)
    }
    return {
        "samples": len(judged.names),
        "accuracy": _number(result.accuracy),
        "macro_precision": _number(result.macro_precision),
        "macro_recall": _number(result.macro_recall),
        "macro_f1": _number(result.macro_f1),
        "accuracy_of_the_commonest_class": max(Counter(judged.truth).values()) / len(judged.truth),
        "accuracy_alone": {name: _number(share) for name, share in judged.alone.items()},
        "further": {
            head: {what: _number(value) for what, value in figures.items()}
            for head, figures in judged.further.items()
        },
        "classes": per_class,
        "confusion": {
            "classes": [str(name) for name in result.classes],
            "true_by_told": result.confusion.tolist(),
        },
    }


def history_json(history: History) -> dict[str, Any]:
    """What happened in the training."""
    return {
        "steps": history.steps,
        "best_step": history.best_step,
        "seconds": round(history.seconds, 1),
        "evaluations": [
            {"step": e.step, "loss": e.loss, "held_out": e.held_out} for e in history.evaluations
        ],
    }


def unusable_json(unusable: Sequence[Unusable]) -> list[dict[str, Any]]:
    """What could not be used: how many and which, per reason, the commonest first."""
    counts = Counter(one.reason for one in unusable)
    return [
        {
            "reason": reason,
            "count": count,
            "files": [one.path for one in unusable if one.reason == reason][:_EXAMPLES],
        }
        for reason, count in counts.most_common()
    ]


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
