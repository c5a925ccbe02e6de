"""What a trained network says of the normal that a scene is commissioned from.

Windows are embedded as they come, so that no frame is kept. The scores of windows that the
network has not learnt from calibrate it; of the others it says nothing, as it knows them by
heart. So commissioned from the recording it was trained on, only the blocks held out then count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.core.errors import ModelError
from pipeline.core.sample import Modality, StreamInfo
from pipeline.core.window import Window
from pipeline.models.encoders.base import Prepared
from pipeline.models.features import StreamFeatures
from pipeline.models.network_verdict import NetworkVerdict
from pipeline.models.scene_model import SceneModel
from pipeline.models.settings import DetectorSettings
from pipeline.models.stream_likeness import differences

Array = npt.NDArray[np.float64]

_CHUNK = 64
_CPU = torch.device("cpu")


class NetworkRows:
    """Takes windows one at a time and keeps the network's vectors of them.

    Args:
        network: The network.
        settings: Of the detector that it shall be part of.
    """

    def __init__(self, network: NetworkVerdict, settings: DetectorSettings) -> None:
        self.network = network
        self._settings = settings
        self._waiting: list[Mapping[str, Prepared]] = []
        self._indices: list[int] = []
        self._z: list[Tensor] = []
        self._seen: list[Tensor] = []

    def add(self, window: Window, features: Mapping[str, StreamFeatures]) -> None:
        """Take in one window.

        Args:
            window: The window.
            features: What the detector made of the streams that it saw.

        Raises:
            ModelError: It is not such a window as the network was trained on.
        """
        if not self._indices:
            self._check(window)
        self._indices.append(window.index)
        parts = {name: self.network.prepare(window.slices[name], f) for name, f in features.items()}
        self._waiting.append({name: part for name, part in parts.items() if part is not None})
        if len(self._waiting) == _CHUNK:
            self._embed()

    def held(self, kept: npt.NDArray[np.int64]) -> Array:
        """Scores of the windows of these indices, growing, ``(kept, M)``.

        They are NaN where not all streams were seen, now and before, and where the network
        learnt from it.

        Raises:
            ModelError: Too few windows are left to calibrate by.
        """
        self._embed()
        at = np.searchsorted(self._indices, kept)
        z, seen = torch.cat(self._z)[at], torch.cat(self._seen)[at]
        past, found = self.network.past(), []
        for low in range(0, len(kept), _CHUNK):
            part = slice(low, low + _CHUNK)
            found.append(self.network.scores(z[part], seen[part], kept[part].tolist(), past))
        scores = np.asarray(torch.cat(found).numpy(), np.float64)
        scores[~self.network.unknown(kept)] = np.nan
        self._refuse_few(int(np.isfinite(scores).all(axis=1).sum()))
        return scores

    def _embed(self) -> None:
        if self._waiting:
            z, seen = self.network.embed(self._waiting, _CPU)
            self._z.append(z)
            self._seen.append(seen)
            self._waiting = []

    def _refuse_few(self, judged: int) -> None:
        least = self._settings.min_windows
        if judged < least:
            raise ModelError(
                f"only {judged} windows show all streams of the network and are new to it, at "
                f"least {least} are needed to calibrate it",
                fix="commission from more normal than it was trained on, or train it with a "
                "smaller data.held_every",
            )

    def _check(self, window: Window) -> None:
        memo = self.network.memo
        grid = window.end_ns - window.start_ns, window.start_ns // max(window.index, 1)
        if grid != (memo.length_ns, memo.hop_ns):
            raise _unlike("windows", _seconds(grid), _seconds((memo.length_ns, memo.hop_ns)))
        live = {part.info.name: part.info for part in window.slices.values()}
        for known in self.network.saved.streams:
            self._check_stream(known, live)

    def _check_stream(self, known: StreamInfo, live: Mapping[str, StreamInfo]) -> None:
        if known.name not in live:
            raise ModelError(
                f"the network knows stream {known.name!r}, which is not there",
                where=known.name,
                fix="name the streams as they were, or train the network again",
            )
        cells = self.network.memo.picture_cells, self._settings.picture_cells
        if known.modality is Modality.VIDEO and cells[0] != cells[1]:
            raise ModelError(
                f"the network sees pictures of {cells[0]} cells, the detector of {cells[1]}",
                where=known.name,
                fix=f"write picture_cells: {cells[0]} in the file of --detector",
            )
        for what, learnt, now in differences(known, live[known.name], self._settings):
            raise _unlike(what, now, learnt, known.name)


def with_network(model: SceneModel, rows: NetworkRows) -> SceneModel:
    """A commissioned model in which a trained network speaks too.

    Args:
        model: The model, without a network.
        rows: What the network saw of the windows that the model was commissioned from.

    Raises:
        ModelError: Too few windows are left to calibrate it by.
    """
    indices = (model.held.end_ns - model.length_ns) // model.hop_ns
    scores = np.hstack([model.held.scores, rows.held(indices)])
    return replace(model, network=rows.network, held=replace(model.held, scores=scores))


def _seconds(grid: Sequence[int]) -> str:
    return f"{grid[0] / 1e9:g} s every {grid[1] / 1e9:g} s"


def _unlike(what: str, now: object, learnt: object, where: str = "") -> ModelError:
    return ModelError(
        f"{what}: {now}, but the network learnt {learnt}",
        where=where,
        fix="set it as it was, or train the network again",
    )
