"""Dealing samples out: what is learnt from, what ends the learning, what is judged by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from pydantic import Field

from pipeline.core.errors import ConfigError
from pipeline.core.settings import Settings
from pipeline.training.labelled_folder import Split


class SplitSettings(Settings):
    """How samples are dealt out where the folder does not say what they are for."""

    test_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of each class that is judged by, at least one sample."""

    held_out_share: float = Field(default=0.15, gt=0, lt=1)
    """Share of the rest of each class that tells when learning should end, at least one."""


def deal_out(
    labels: Sequence[str], splits: Sequence[Split | None], settings: SplitSettings, seed: int
) -> dict[Split, list[int]]:
    """Say what each sample is for, class by class.

    What is not said is drawn: the test when no sample is marked for it, then what is held out
    when none is marked for that.

    Args:
        labels: Class of each sample.
        splits: What it is for, if that was said.
        settings: The shares.
        seed: Of the draw.

    Returns:
        Positions of the samples for each purpose, growing.

    Raises:
        ConfigError: Fewer than two classes, or a class has too few samples.
    """
    classes = sorted(set(labels))
    if len(classes) < 2:
        raise ConfigError(
            f"a classifier needs two classes or more, here is {', '.join(classes) or 'none'}",
            fix="put the samples of each class into a folder of its name",
        )
    random = np.random.default_rng(seed)
    drawn = {
        split: share
        for split, share in (
            (Split.TEST, settings.test_share),
            (Split.HELD_OUT, settings.held_out_share),
        )
        if split not in splits
    }
    found: dict[Split, list[int]] = {split: [] for split in Split}
    for name in classes:
        rows = [row for row, label in enumerate(labels) if label == name]
        for row in rows:
            if splits[row] in {Split.TEST, Split.HELD_OUT}:
                found[Split(splits[row] or "")].append(row)
        pool = [row for row in rows if splits[row] in {None, Split.TRAIN}]
        _deal(name, list(random.permutation(pool)), drawn, found)
    return {split: sorted(rows) for split, rows in found.items()}


def _deal(
    name: str, pool: Iterable[int], drawn: Mapping[Split, float], found: dict[Split, list[int]]
) -> None:
    left = [int(row) for row in pool]
    if len(left) <= len(drawn):
        raise ConfigError(
            f"class {name!r} has {len(left)} samples to learn from that can be read; "
            f"at least {len(drawn) + 1} are needed"
        )
    for split, share in drawn.items():
        spare = len(left) - len(drawn) + list(drawn).index(split)
        count = min(max(1, round(share * len(left))), spare)
        found[split] += left[:count]
        left = left[count:]
    found[Split.TRAIN] += left
