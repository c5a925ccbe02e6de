"""The model of one scene: its streams, what they show together, its calibration scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from pipeline.core.errors import ModelError
from pipeline.core.sample import StreamInfo
from pipeline.core.window import Window
from pipeline.models.encoders.base import Prepared
from pipeline.models.features import StreamFeatures
from pipeline.models.network_verdict import NetworkVerdict
from pipeline.models.normal_bank import NormalBank
from pipeline.models.odd import OddOneOut
from pipeline.models.packing import on_device
from pipeline.models.past import Past, ScenePast
from pipeline.models.quality import Quality
from pipeline.models.running_level import RunningLevels
from pipeline.models.scene_standing import SceneStanding
from pipeline.models.settings import DetectorSettings
from pipeline.models.stream_likeness import differences
from pipeline.models.stream_model import StreamModel, Surprise
from pipeline.models.together import Together

Array = npt.NDArray[np.float64]
Features = Mapping[str, StreamFeatures]

_LEAST_REACH = 0.5
"""Share of a window by which a row of them must be longer than one to be heard together. In tables
of readings, judged by ten or twenty rows at each row, four windows say nearly the same."""

OWN_LEAST = 0.5
"""Least weight of a stream's own evidence, however little it saw."""


@dataclass(frozen=True, slots=True)
class Held:
    """Scores of normal windows by detectors that had not seen them.

    Attributes:
        scores: float64 ``(n, D)``; NaN where a sub-detector could not see.
        end_ns: End of each window, int64 ``(n,)``, growing.
    """

    scores: Array
    end_ns: npt.NDArray[np.int64]


class Seen(NamedTuple):
    """What windows of a scene show.

    Attributes:
        scores: Raw sub-detector scores ``(B, D)``, NaN where not seen.
        places: Per window the surprise of each place ``(P,)`` by stream that was seen.
        embeddings: Per window the whitened principal components ``(E,)`` of these streams.
    """

    scores: Array
    places: list[dict[str, Array]]
    embeddings: list[dict[str, torch.Tensor]]


@dataclass(frozen=True, slots=True)
class SceneModel:
    """Everything learnt about a scene.

    Attributes:
        scene: Name of the scene it was learnt from.
        settings: How it was learnt.
        streams: One model per stream.
        together: Evidence between the streams.
        odd: The network that tells which stream comes from another time; None when it was not
            asked for, or there was too little to learn it from.
        length_ns: Length of the windows it was learnt from.
        hop_ns: Their hop.
        held: Calibration scores.
        created_by: Program and version that made it.
        digest: Content hash of the file it was read from; empty before it was saved.
        network: What a trained network of the scene says beside all that; None: there is none.
        bank: Moments of its normal, to compare with; None: not wanted, or an older file.
        learnt_end_ns: End of each window learnt, ``(k,)``; None: as of `held`, or an older file.
    """

    scene: str
    settings: DetectorSettings
    streams: tuple[StreamModel, ...]
    together: Together
    odd: OddOneOut | None
    length_ns: int
    hop_ns: int
    held: Held
    created_by: str = ""
    digest: str = field(default="", compare=False)
    network: NetworkVerdict | None = None
    bank: NormalBank | None = None
    learnt_end_ns: npt.NDArray[np.int64] | None = None

    @property
    def lasting_windows(self) -> int:
        """Windows in a row that are heard together: 1 where their row is hardly longer than one."""
        count = self.settings.lasting_windows
        return count if (count - 1) * self.hop_ns >= _LEAST_REACH * self.length_ns else 1

    @property
    def names(self) -> tuple[str, ...]:
        """Sub-detectors, ``<detector>/<what>``, in the order of the columns of scores."""
        alone = (name for s in self.streams for name in s.names)
        streams = [s.info.name for s in self.streams]
        odd = () if self.odd is None else self.odd.names(streams)
        network = () if self.network is None else self.network.names
        return (*alone, *self.together.names(streams), *odd, *network)

    @property
    def known_end_ns(self) -> npt.NDArray[np.int64]:
        """End of each window it was learnt from or calibrated by, int64, growing."""
        if self.learnt_end_ns is None:
            return self.held.end_ns
        return np.union1d(self.learnt_end_ns, self.held.end_ns)

    def features(self, window: Window) -> dict[str, StreamFeatures]:
        """Features of the streams that can be seen well enough in `window`."""
        found: dict[str, StreamFeatures] = {}
        for stream in self.streams:
            part = window.slices.get(stream.info.name)
            seen = None if part is None else stream.extractor.extract(part)
            if part is not None and seen is not None:
                if self.network is not None:
                    seen = replace(seen, prepared=self.network.prepare(part, seen))
                found[stream.info.name] = seen
        return found

    def past(self) -> ScenePast:
        """An empty memory, for windows to be scored in a row."""
        odd = Past(1, ()) if self.odd is None else self.odd.past()
        return ScenePast(odd, None if self.network is None else self.network.past())

    def running(self) -> RunningLevels:
        """Levels of the last hours as learning left them, for windows to be scored in a row."""
        known = {s.info.name: s.density.running for s in self.streams}
        return RunningLevels({n: one for n, one in known.items() if one is not None})

    def standing(self) -> SceneStanding:
        """What stands still before the cameras: nothing yet, for windows to be scored in a row."""
        known = {s.info.name: s.density.objects for s in self.streams}
        backgrounds = {n: one.background for n, one in known.items() if one is not None}
        return SceneStanding(backgrounds, self.hop_ns)

    def quality(self, window: Window, features: Features) -> dict[str, Quality]:
        """How well each of the streams with features saw in `window`."""
        return {
            s.info.name: s.quality(window.slices[s.info.name])
            for s in self.streams
            if s.info.name in features
        }

    def exponents(self, quality: Mapping[str, Quality]) -> Array | None:
        """Weight of each sub-detector by the streams it needs, ``(D,)``; None: all are 1.

        Evidence between streams counts as far as the worst of them can be trusted: what
        cannot see cannot contradict. A stream's own evidence counts in full while it sees
        half as well as ever, so that one stuck channel is found as before, and never less
        than half: the limits are those of the site's own normal, so to be beyond them is
        unusual in itself, and a camera that somebody covered must not fall silent.
        """
        weights = np.array(
            [quality[s.info.name].weight if s.info.name in quality else 1.0 for s in self.streams]
        )
        if (weights == 1.0).all():
            return None
        own = [
            np.full(len(s.names), min(1.0, OWN_LEAST + weight))
            for s, weight in zip(self.streams, weights, strict=True)
        ]
        between = [weights[list(needed)].min() for needed in self.together.needs(len(weights))]
        odd_needs = () if self.odd is None else self.odd.needs()
        odd = [weights[list(needed)].min() for needed in odd_needs]
        return np.concatenate([*own, between, odd, self._network_exponents(weights)])

    def _network_exponents(self, weights: Array) -> list[float]:
        """Those of the network's sub-detectors: that of the worst of its streams."""
        if self.network is None:
            return []
        names = self.network.streams
        seen = [w for s, w in zip(self.streams, weights, strict=True) if s.info.name in names]
        return [float(min(seen))] * len(names)

    def score(
        self,
        windows: Sequence[Features],
        indices: Sequence[int],
        past: ScenePast,
        device: torch.device,
    ) -> Seen:
        """Score windows of this scene together.

        Args:
            windows: Features of each window.
            indices: Index of each on the scene's grid, growing.
            past: The windows before them; takes them in.
            device: Where the model is.
        """
        surprises: dict[str, tuple[list[int], Surprise]] = {}
        for stream in self.streams:
            name = stream.info.name
            rows = [i for i, window in enumerate(windows) if name in window]
            if rows:
                surprises[name] = rows, stream.score([windows[i][name] for i in rows], device)
        places: list[dict[str, Array]] = [{} for _ in windows]
        shown: list[dict[str, torch.Tensor]] = [{} for _ in windows]
        for name, (rows, surprise) in surprises.items():
            for at, row in enumerate(rows):
                places[row][name] = surprise.places[at]
                shown[row][name] = surprise.raw.embedding[at]
        embeddings, seen = self._embeddings(len(windows), surprises, device)
        found = [self.together.scores(embeddings, seen, self.settings)]
        if self.odd is not None:
            found.append(self.odd.scores(embeddings, seen, indices, past.odd))
        if self.network is not None and past.network is not None:
            z, there = self.network.embed([_prepared(window) for window in windows], device)
            found.append(self.network.scores(z, there, indices, past.network))
        between = np.asarray(torch.cat(found, dim=1).cpu().numpy(), np.float64)
        return Seen(self.table(len(windows), surprises, between), places, shown)

    def table(
        self,
        count: int,
        surprises: Mapping[str, tuple[list[int], Surprise]],
        between: Array,
    ) -> Array:
        """Scores of all sub-detectors, ``(count, D)``, NaN where not seen.

        Args:
            count: Number of windows.
            surprises: Per stream the windows that saw it and what was seen.
            between: Scores between streams, ``(count, d)``.
        """
        blocks: list[Array] = []
        for stream in self.streams:
            block = np.full((count, len(stream.names)), np.nan)
            if stream.info.name in surprises:
                rows, surprise = surprises[stream.info.name]
                block[rows] = stream.sub_scores(surprise)
            blocks.append(block)
        return np.concatenate([*blocks, between], axis=1)

    def _embeddings(
        self,
        count: int,
        surprises: Mapping[str, tuple[list[int], Surprise]],
        device: torch.device,
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Per stream ``(count, E)``, zero where not seen, and what was seen ``(count, M)``."""
        seen = torch.zeros((count, len(self.streams)), dtype=torch.bool, device=device)
        embeddings: list[torch.Tensor] = []
        for number, stream in enumerate(self.streams):
            whole = torch.zeros((count, stream.density.width), dtype=torch.float64, device=device)
            if stream.info.name in surprises:
                rows, surprise = surprises[stream.info.name]
                seen[rows, number] = True
                whole[rows] = surprise.raw.embedding
            embeddings.append(whole)
        return embeddings, seen

    def check(self, info: StreamInfo) -> None:
        """See that a live stream is like the one that was learnt.

        Raises:
            ModelError: It is unknown to the model, or differs in what its features need.
        """
        known = {s.info.name: s.info for s in self.streams}.get(info.name)
        if known is None:
            raise ModelError(
                f"the model of scene {self.scene!r} does not know stream {info.name!r}",
                where=info.name,
                fix="commission the scene again with this stream, or take it out of the scene",
            )
        for what, learnt, live in differences(known, info, self.settings):
            raise ModelError(
                f"{what} is {live}, but the model of scene {self.scene!r} learnt {learnt}",
                where=info.name,
                fix="set the stream as it was, or commission the scene again",
            )

    def to(self, device: torch.device) -> SceneModel:
        """The same model with its tensors on `device`."""
        streams = tuple(replace(s, density=on_device(s.density, device)) for s in self.streams)
        odd = None if self.odd is None else self.odd.to(device)
        network = None if self.network is None else self.network.to(device)
        together = self.together.to(device)
        return replace(self, streams=streams, together=together, odd=odd, network=network)


def _prepared(features: Features) -> dict[str, Prepared]:
    """What a network sees of a window, by stream."""
    return {name: one.prepared for name, one in features.items() if one.prepared is not None}
