"""Raw scores of synthetic sites, kept on disk: what comes after them can be varied in seconds.

A table is what `SceneModel.score` says of every window of a part, before any calibration. Of
a site there are the held-out normal that calibrates, the fresh normal, the part with
anomalies (see `tests.benchmarks.synthetic_sites`), and as many further hours of normal as are
asked for. Those are rendered and scored a piece at a time and only their scores are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from pipeline.core.window import Window
from pipeline.models.checkpoint import load_model, save_model
from pipeline.models.scene_model import SceneModel
from pipeline.sources.synthetic.reel import Reel
from pipeline.training.commissioning import commission
from pipeline.training.labels import Label
from tests.benchmarks.synthetic_sites import (
    A_HOP,
    HOPS,
    RATE_HZ,
    SCENE,
    Part,
    Recorded,
    Site,
    moment,
    recorded,
)

Floats = npt.NDArray[np.float64]
Tell = Callable[[str], None]

LATER_S = 1800
PIECE_S = 120
BATCH = 16


@dataclass(frozen=True, slots=True)
class Table:
    """Scores of windows that follow one another.

    Attributes:
        end_ns: End of each window, ``(n,)``.
        scores: Raw scores, ``(n, D)``.
    """

    end_ns: npt.NDArray[np.int64]
    scores: Floats


class Kept:
    """Tables of one site in a folder; each is made when it is first asked for.

    Args:
        site: The site.
        sites: Folder of rendered sites.
        folder: Folder of tables.
        tell: Called with a line when something that takes minutes begins.
    """

    def __init__(self, site: Site, sites: Path, folder: Path, tell: Tell) -> None:
        self._site = site
        self._sites = sites
        self._folder = folder / site.name
        self._tell = tell

    @property
    def names(self) -> tuple[str, ...]:
        """Sub-detectors, the columns of all tables."""
        return self._model.names

    @property
    def labels(self) -> tuple[Label, ...]:
        """What is wrong in the part with anomalies."""
        return recorded(self._site, Part.WRONG, self._sites, self._tell).labels

    def held(self) -> Table:
        """Held-out normal, which calibrates."""
        return Table(self._model.held.end_ns, self._model.held.scores)

    def part(self, part: Part) -> Table:
        """A part of the site."""
        return self._table(
            part.value, lambda: recorded(self._site, part, self._sites, self._tell).windows()
        )

    def later(self, number: int) -> Table:
        """The half hour of normal of this number, from 0, after all parts."""
        begin_s = len(Part) * self._site.part_s + number * LATER_S
        return self._table(f"later-{number}", lambda: _quiet(self._site, begin_s, LATER_S))

    @cached_property
    def _model(self) -> SceneModel:
        file = self._folder / "site.model"
        if not file.exists():
            self._tell(f"commissioning {self._site.name}")
            train = recorded(self._site, Part.TRAIN, self._sites, self._tell)
            self._folder.mkdir(parents=True, exist_ok=True)
            save_model(commission(SCENE, train.windows())[0], file)
        return load_model(file)

    def _table(self, name: str, windows: Callable[[], Iterable[Window]]) -> Table:
        file = self._folder / f"{name}.npz"
        if not file.exists():
            self._tell(f"scoring {name} of {self._site.name}")
            made = _scored(self._model, windows())
            np.savez(file, end_ns=made.end_ns, scores=made.scores)
        with np.load(file) as found:
            return Table(found["end_ns"], found["scores"])


def _scored(model: SceneModel, windows: Iterable[Window]) -> Table:
    ends: list[int] = []
    rows = [np.zeros((0, len(model.names)))]
    left, past = iter(windows), model.past()
    while some := list(islice(left, BATCH)):
        ends += [w.end_ns for w in some]
        seen = [model.features(w) for w in some], [w.index for w in some]
        rows.append(model.score(*seen, past, torch.device("cpu")).scores)
    return Table(np.array(ends, np.int64), np.concatenate(rows))


def _quiet(site: Site, first_s: int, length_s: int) -> Iterator[Window]:
    """Windows of a normal that is rendered a piece at a time."""
    reel = Reel(site.settings(Part.NORMAL))
    for begin_s in range(first_s, first_s + length_s, PIECE_S):
        # Windows that begin in this piece, the last of them ending in the next.
        yield from _piece(reel, begin_s, PIECE_S * RATE_HZ + (HOPS - 1) * A_HOP).windows()


def _piece(reel: Reel, begin_s: int, count: int) -> Recorded:
    moments = [moment(reel, begin_s * RATE_HZ + row) for row in range(count)]
    pictures, sound, readings = (np.stack(one) for one in zip(*moments, strict=True))
    return Recorded(begin_s, reel.infos(), (), pictures, sound, readings)
