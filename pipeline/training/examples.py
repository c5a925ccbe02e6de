"""Labelled samples as a network sees them, all in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pipeline.core.errors import ConfigError
from pipeline.models.encoders.base import Prepared
from pipeline.models.fusion_model import FusionModel
from pipeline.training.labelled_folder import LabelledFolder, LabelledSample, Unusable
from pipeline.training.sample_reading import SampleReader

STAGE = "reading"


@dataclass(frozen=True, slots=True)
class Examples:
    """Samples of one or more windows each.

    Attributes:
        samples: Which they are, ``(N,)``.
        inputs: Per stream ``(N, T, *shape)``; a sample of fewer windows has nothing in the rest.
        present: Which streams are there, bool ``(N, T, M)``.
        labels: Number of the class of each, ``(N,)``; -1 for a class that is not known.
    """

    samples: tuple[LabelledSample, ...]
    inputs: dict[str, Tensor]
    present: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, rows: Tensor | Sequence[int]) -> Examples:
        """Some of them, in this order."""
        chosen = torch.as_tensor(rows, dtype=torch.long)
        samples = tuple(self.samples[row] for row in chosen.tolist())
        inputs = {name: values[chosen] for name, values in self.inputs.items()}
        return Examples(samples, inputs, self.present[chosen], self.labels[chosen])

    def parts(self, count: int) -> Iterator[Examples]:
        """All of them, so many at a time."""
        for first in range(0, len(self), count):
            yield self.at(range(first, min(first + count, len(self))))

    def showing(self, present: Tensor) -> Examples:
        """The same with other streams there, bool ``(N, T, M)``."""
        return replace(self, present=present)


def read_examples(
    folder: LabelledFolder,
    reader: SampleReader,
    network: FusionModel,
    classes: Sequence[str],
    progress: Callable[[str, int, int | None], None],
) -> tuple[Examples, list[Unusable]]:
    """Read all samples of a folder and prepare them for a network.

    Args:
        folder: The folder.
        reader: Reads one sample.
        network: Prepares windows.
        classes: Names of the classes, in the order of their numbers.
        progress: Told how many samples are read.

    Returns:
        The samples of which anything can be used; and what cannot.

    Raises:
        ConfigError: No sample can be used.
    """
    unusable: list[Unusable] = []
    samples: list[LabelledSample] = []
    rows: list[list[Mapping[str, Prepared]]] = []
    for count, sample in enumerate(folder.samples, start=1):
        windows, bad = reader.read(sample)
        prepared = [network.prepare(window) for window in windows]
        unusable += bad
        if any(prepared):
            samples.append(sample)
            rows.append(list(prepared))
        elif not bad:
            unusable.append(Unusable(sample.name, "too little of it can be seen or heard"))
        progress(STAGE, count, len(folder.samples))
    if not samples:
        reason = f" ({unusable[0].path}: {unusable[0].reason})" if unusable else ""
        raise ConfigError(f"no sample can be used{reason}", where=str(folder.root))
    return _stacked(samples, rows, network, classes), unusable


def _stacked(
    samples: Sequence[LabelledSample],
    rows: Sequence[Sequence[Mapping[str, Prepared]]],
    network: FusionModel,
    classes: Sequence[str],
) -> Examples:
    longest = max(len(row) for row in rows)
    nothing: Mapping[str, Prepared] = {}
    flat = [window for row in rows for window in [*row, *([nothing] * (longest - len(row)))]]
    batch = network.batch(flat)
    shape = (len(rows), longest)
    number = {name: place for place, name in enumerate(classes)}
    return Examples(
        tuple(samples),
        {name: values.reshape(*shape, *values.shape[1:]) for name, values in batch.inputs.items()},
        batch.present.reshape(*shape, -1),
        torch.tensor([number.get(sample.label, -1) for sample in samples]),
    )
