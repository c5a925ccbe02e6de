"""Learn the odd one out of a scene, and how far it can be trusted.

The normal time is dealt out to parts. A few networks learn from all parts but one, stop when
they get no better at that one, and judge it: these are the scores that calibrate. So the part
also chose where to stop; that is one of ten choices, and moves scores by less than two networks
differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.models.odd import OddNetwork, OddOneOut, leading, odd_scores, widths_of
from pipeline.models.odd_settings import OddSettings
from pipeline.models.past import Past
from pipeline.models.patterns import patterns_of
from pipeline.training.cross_fit import Embedded, Progress
from pipeline.training.loop import LoopSettings, run_loop
from pipeline.training.normal_rows import NormalRows
from pipeline.training.odd_runs import Bools, Ints, Runs
from pipeline.training.training_state import History

Array = npt.NDArray[np.float64]

_LOOKS = 10
_PATIENCE = 4
_JUDGED = 6  # batches of the part left out per look
_LEAST_STARTS = 40
_CHUNK = 512


@dataclass(frozen=True, slots=True)
class OddLearnt:
    """What was learnt.

    Attributes:
        odd: The networks.
        held: Held-out scores ``(kept, D)`` in the order of `OddOneOut.names`, NaN where the
            streams of the pattern were not all seen.
        histories: How the training of each network went.
        chance: Held-out loss of a network that knows only how often each stream is swapped.
    """

    odd: OddOneOut
    held: Array
    histories: tuple[History, ...]
    chance: float

    @property
    def knows(self) -> float:
        """Share of the doubt about which stream is odd that the networks lose, 0 to 1."""
        losses = [one.best.held_out for one in self.histories if one.best.held_out is not None]
        return max(0.0, 1.0 - float(np.mean(losses)) / self.chance)


def learn_odd(
    rows: NormalRows, embedded: Embedded, settings: OddSettings, seed: int, tell: Progress
) -> OddLearnt | None:
    """Learn the odd one out.

    Args:
        rows: The normal windows.
        embedded: All streams in all of them.
        settings: Of the odd one out.
        seed: Where all that is random comes from.
        tell: Progress, see `pipeline.training.commissioning.commission`.

    Returns:
        None when there are not two streams, or too little normal that shows all of them.
    """
    widths = widths_of(settings, [one.shape[1] for one in embedded.values])
    if len(widths) < 2 or rows.kept * rows.hop_ns / 1e9 < settings.least_s:
        return None
    components = leading(embedded.values, widths)
    whole = embedded.seen.all(dim=1).numpy()
    part_of = rows.folds(settings.parts)
    patterns = patterns_of(len(widths))
    held = np.full((rows.kept, sum(map(len, patterns))), np.nan)
    networks: list[OddNetwork] = []
    histories: list[History] = []
    for part in range(settings.parts):
        learn, judge = rows.split(part_of, part)
        runs = [_runs(settings, components, rows, chosen, whole) for chosen in (learn, judge)]
        if min(len(one.starts) for one in runs) < _LEAST_STARTS:
            return None
        judged = []
        for _ in range(settings.members):
            stage = f"fusion, network {len(networks) + 1}"
            network, history = _train(settings, widths, runs, seed + len(networks), stage, tell)
            past = Past(settings.windows, widths)
            judged.append(_judge(network, past, components, embedded.seen, rows.indices()))
            networks.append(network)
            histories.append(history)
        held[judge] = np.mean(judged, axis=0)[judge]
    odd = OddOneOut(settings, widths, tuple(networks))
    return OddLearnt(odd, held, tuple(histories), runs[1].chance(_draws()))


def _runs(
    settings: OddSettings, components: Sequence[Tensor], rows: NormalRows, chosen: Ints, seen: Bools
) -> Runs:
    usable = np.zeros(rows.kept, np.bool_)
    usable[chosen] = True
    return Runs(settings, components, rows.indices(), usable & seen, rows.hop_ns / 1e9)


def _train(
    settings: OddSettings,
    widths: Sequence[int],
    runs: Sequence[Runs],
    seed: int,
    stage: str,
    tell: Progress,
) -> tuple[OddNetwork, History]:
    """Train one network on the first of `runs`, judged by the second."""
    learn, judge = runs
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = OddNetwork(settings, widths)
    loop = LoopSettings(
        steps=settings.steps,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        evaluate_every=max(1, settings.steps // _LOOKS),
        patience=_PATIENCE,
        seed=seed,
    )
    history = run_loop(
        network,
        lambda _, generator: learn.loss(network, generator),
        _held_out(network, judge),
        loop,
        progress=lambda _, done, total: tell(stage, done, total),
    )
    return network, history


def _held_out(network: OddNetwork, judge: Runs) -> Callable[[], float]:
    """Loss on the part left out, by the same batches at every look."""

    def loss() -> float:
        generator = _draws()
        return float(np.mean([judge.loss(network, generator).item() for _ in range(_JUDGED)]))

    return loss


def _draws() -> torch.Generator:
    """What the looks at the part left out are drawn by: the same batches each time."""
    return torch.Generator().manual_seed(0)


def _judge(
    network: OddNetwork, past: Past, components: Sequence[Tensor], seen: Tensor, indices: Ints
) -> Array:
    """Scores of all windows by one network, ``(n, D)``, in the order of `OddOneOut.names`."""
    patterns = patterns_of(len(components))
    found = []
    for low in range(0, len(indices), _CHUNK):
        part = slice(low, low + _CHUNK)
        known, shown = past.extend(
            indices[part].tolist(), [x[part] for x in components], seen[part]
        )
        found.append(odd_scores(network, known, shown, patterns))
    return np.asarray(torch.cat(found).double().numpy(), np.float64)
