"""Learn the odd one out of a scene, and how far it can be trusted.

The normal time is dealt out to parts. A few networks learn from all parts but one, stop when
they get no better at that one, and judge it: these are the scores that calibrate. So the part
also chose where to stop; that is one of ten choices, and moves scores by less than two networks
differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from pipeline.models.odd import OddOneOut, leading, odd_scores, widths_of
from pipeline.models.odd_network import OddNetwork
from pipeline.models.odd_settings import OddSettings
from pipeline.models.past import Past
from pipeline.models.patterns import Pattern, patterns_of
from pipeline.training.cross_fit import Embedded, Progress
from pipeline.training.loop import LoopSettings, run_loop
from pipeline.training.normal_rows import NormalRows
from pipeline.training.odd_runs import Runs
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
        histories: How the training of each network went that judges all streams.
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
    lesson = _Lesson(rows, embedded, settings, tell)
    if len(embedded.values) < 2 or not lesson.enough():
        return None
    every, *fewer = patterns_of(len(embedded.values))
    whole = lesson.learn("network", settings.members, [every], seed)
    spare = lesson.learn(
        "spare", settings.spares if fewer else 0, fewer, seed + len(whole.networks)
    )
    odd = OddOneOut(settings, lesson.widths, tuple(whole.networks), tuple(spare.networks))
    held = np.hstack([whole.held, spare.held]) if spare.networks else whole.held
    chance = lesson.runs(settings.parts - 1, [every])[1].chance(_draws())
    return OddLearnt(odd, held, tuple(whole.histories), chance)


@dataclass(frozen=True, slots=True)
class _Learnt:
    """Networks that judge the same sets of streams, see `OddLearnt`."""

    held: Array
    networks: list[OddNetwork] = field(default_factory=list)
    histories: list[History] = field(default_factory=list)


class _Lesson:
    """What there is to learn from; arguments as of `learn_odd`."""

    def __init__(
        self, rows: NormalRows, embedded: Embedded, settings: OddSettings, tell: Progress
    ) -> None:
        self.widths = widths_of(settings, [one.shape[1] for one in embedded.values])
        self._rows, self._seen, self._settings, self._tell = rows, embedded.seen, settings, tell
        self._components = leading(embedded.values, self.widths)

    def enough(self) -> bool:
        """Whether there is enough normal that shows all streams."""
        if self._rows.kept * self._rows.hop_ns / 1e9 < self._settings.least_s:
            return False
        every = patterns_of(len(self.widths))[:1]
        found = [self.runs(part, every) for part in range(self._settings.parts)]
        return min(len(one.starts) for runs in found for one in runs) >= _LEAST_STARTS

    def runs(self, part: int, patterns: Sequence[Pattern]) -> list[Runs]:
        """Runs to learn from and to judge by when a part is left out."""
        split = self._rows.split(self._rows.folds(self._settings.parts), part)
        whole = self._seen.all(dim=1).numpy()
        hop_s = self._rows.hop_ns / 1e9
        found = []
        for chosen in split:
            usable = np.zeros(self._rows.kept, np.bool_)
            usable[chosen] = whole[chosen]
            indices = self._rows.indices()
            found.append(Runs(self._settings, self._components, indices, usable, hop_s, patterns))
        return found

    def learn(self, name: str, count: int, patterns: Sequence[Pattern], seed: int) -> _Learnt:
        """Learn `count` networks per part that judge the sets of streams in `patterns`."""
        found = _Learnt(np.full((self._rows.kept, sum(map(len, patterns))), np.nan))
        for part in range(self._settings.parts) if count else ():
            runs = self.runs(part, patterns)
            judged = []
            for _ in range(count):
                number = len(found.networks)
                stage = f"fusion, {name} {number + 1}"
                network, history = _train(
                    self._settings, self.widths, runs, seed + number, stage, self._tell
                )
                judged.append(self._judge(network, patterns))
                found.networks.append(network)
                found.histories.append(history)
            judge = self._rows.split(self._rows.folds(self._settings.parts), part)[1]
            found.held[judge] = np.mean(judged, axis=0)[judge]
        return found

    def _judge(self, network: OddNetwork, patterns: Sequence[Pattern]) -> Array:
        """Scores of all windows by one network, ``(n, D)``; NaN as in `odd_scores`."""
        past = Past(self._settings.windows, self.widths)
        indices = self._rows.indices().tolist()
        found = []
        for low in range(0, len(indices), _CHUNK):
            part = slice(low, low + _CHUNK)
            rows = [one[part] for one in self._components]
            known, shown = past.extend(indices[part], rows, self._seen[part])
            found.append(odd_scores(network, known, shown, patterns))
        return np.asarray(torch.cat(found).double().numpy(), np.float64)


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
