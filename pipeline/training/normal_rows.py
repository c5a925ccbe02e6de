"""The features of a scene's normal windows, kept in stretches of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace

import numpy as np
import torch

from pipeline.core.errors import ModelError
from pipeline.core.sample import Modality, StreamInfo
from pipeline.core.window import Window
from pipeline.models.cycle import Rhythm, daily
from pipeline.models.features import StreamFeatures
from pipeline.models.normalise import drift_of, wander_of
from pipeline.models.running_level import learn_level
from pipeline.models.settings import DetectorSettings
from pipeline.models.stream_density import collect
from pipeline.models.video_features import VideoFeatures
from pipeline.models.video_places import beside
from pipeline.models.video_quality import average_picture
from pipeline.training.stream_data import Indices, StreamData, nothing_yet

_LEAST_WINDOWS = 5  # in a stretch that is held out as one


def _sharing(features: StreamFeatures, before: Sequence[StreamFeatures]) -> StreamFeatures:
    """The same, with the views that the window before has too held only once."""
    held = {view: view for view in before[-1].views} if before else {}
    return replace(features, views=tuple(held.get(view, view) for view in features.views))


class NormalRows:
    """Takes windows one at a time and keeps their features, never their frames.

    Windows belong to blocks of `DetectorSettings.block_s` on the grid. Once more than
    `max_windows` are kept, every other block is let go, and from then on only every other
    one is taken in, so that long recordings stay evenly represented.
    """

    def __init__(
        self, scene: str, settings: DetectorSettings, streams: Sequence[StreamInfo] | None = None
    ) -> None:
        self.scene = scene
        self.taken = 0
        self.length_ns = 0
        self.hop_ns = 0
        self._settings = settings
        self._data = [nothing_yet(s, settings) for s in streams or ()]
        self._indices: list[int] = []
        self._stride = 1
        self._blind = 0

    @property
    def kept(self) -> int:
        """Windows kept."""
        return len(self._indices)

    @property
    def streams(self) -> list[StreamData]:
        """Features per stream."""
        return self._data

    def copy(self) -> NormalRows:
        """The same windows by themselves: what is learnt from them changes nothing here."""
        other = copy(self)
        other._data = [data.copy() for data in self._data]
        other._indices = list(self._indices)
        return other

    def open(self, streams: Sequence[StreamInfo]) -> None:
        """Take in these streams too, in this order, from now on; those seen already go on."""
        known = {data.info.name: data for data in self._data if data.features}
        named = [s.name for s in streams]
        others = [data for data in self._data if data.info.name not in named]
        self._data = [known.get(s.name) or nothing_yet(s, self._settings) for s in streams]
        self._data.extend(others)

    def add(self, window: Window) -> Mapping[str, StreamFeatures] | None:
        """Take in one window; one in which no stream was seen, as in a gap, is no normal time.

        Returns:
            What each stream that was seen showed; None when the window is not kept.

        Raises:
            ModelError: Windows of another length or out of order.
        """
        self._check(window)
        if self._block(window.index) % self._stride:
            # Not looked into, so what is there at all counts for seen.
            self.taken += any(part.coverage > 0 for part in window.slices.values())
            return None
        seen: dict[str, StreamFeatures] = {}
        for data in self._data:
            part = window.slices.get(data.info.name)
            features = None if part is None else data.extractor.extract(part)
            if part is not None and features is not None:
                seen[data.info.name] = features
                data.features.append(_sharing(features, data.features))
                data.measures.append(data.inspector.measure(part))
                data.view.add(average_picture(part))
                data.seen_in.append(window.index)
        if not seen:
            self._blind += 1
            return None
        self.taken += 1
        self._indices.append(window.index)
        if len(self._indices) > self._settings.max_windows:
            self._thin()
        return seen

    def finish(self) -> list[StreamData]:
        """The streams that can be learnt.

        Raises:
            ModelError: Too few windows, or no stream was ever seen.
        """
        least = self._settings.min_windows
        if self._blind and not self.kept:
            raise ModelError("no stream was seen for long enough to learn it", where=self.scene)
        if self.kept < least:
            seconds = least * self.hop_ns / 1e9
            raise ModelError(
                f"{self.kept} windows are too few to learn from, at least {least} are needed",
                where=self.scene,
                fix=f"record at least {seconds:.0f} s of normal; 20 minutes make a good start"
                if seconds
                else "record for longer",
            )
        usable = [d for d in self._data if len(d.features) >= least]
        for data in usable:
            data.windows = np.searchsorted(self._indices, data.seen_in).astype(np.int64)
            self._follow_time(data)
        if not usable:
            raise ModelError("no stream was seen for long enough to learn it", where=self.scene)
        return usable

    def _follow_time(self, data: StreamData) -> None:
        """Learn what changes with time: the cycle of the day, and what moves slowly."""
        longest_s = self._settings.drift_hours * 3600.0
        learnt_s = (self._indices[-1] - self._indices[0] + 1) * self.hop_ns / 1e9
        data.rhythm = self._rhythm(data)
        if data.rhythm is not None:
            data.running, data.features = learn_level(data.features)
        rows = collect(data.features)
        seen = rows.places, rows.present, data.extractor.log_columns
        if data.info.modality is Modality.SENSOR:
            longest_s = max(longest_s, learnt_s)
            data.wander = wander_of(*seen, rows.times_s, data.rhythm, self._overlap, longest_s)
        else:
            data.drift = drift_of(*seen, longest_s / learnt_s, rows.times_s, data.rhythm)
        if isinstance(grid := data.extractor, VideoFeatures) and data.drift is not None:
            near = beside(rows.places, rows.present, grid.rows, grid.cols)
            data.drift = torch.maximum(data.drift, near)

    @property
    def _overlap(self) -> int:
        """Windows that show the same moment."""
        return max(1, self.length_ns // max(self.hop_ns, 1))

    def _rhythm(self, data: StreamData) -> Rhythm | None:
        """The rhythm that a sensor stream may follow."""
        if data.info.modality is not Modality.SENSOR:
            return None
        first_s, last_s = (data.features[at].start_ns / 1e9 for at in (0, -1))
        return daily(first_s, last_s, self.hop_ns / 1e9)

    def folds(self, parts: int | None = None) -> Indices:
        """Part of each kept window, ``(kept,)``; as many parts as the settings say, or `parts`."""
        # Of windows longer than a block all would overlap a part: several make a stretch.
        several = -(-_LEAST_WINDOWS * self.length_ns // self._block_ns)
        blocks = (
            np.array([self._block(i) for i in self._indices]) // self._stride // max(1, several)
        )
        # Number the blocks that exist: gaps and thinning must not empty a part.
        _, order = np.unique(blocks, return_inverse=True)
        count = int(order.max()) + 1
        folds = parts or self._settings.folds
        if count < 2 * folds:
            return self.in_a_row(folds)
        return (order.ravel() % folds).astype(np.int64)

    def in_a_row(self, parts: int | None = None) -> Indices:
        """Part of each kept window when every part is one piece of time, ``(kept,)``."""
        found = np.arange(self.kept) * (parts or self._settings.folds) // self.kept
        return found.astype(np.int64)

    def split(self, fold_of: Indices, fold: int) -> tuple[Indices, Indices]:
        """Windows to learn from and to judge; those that overlap a judged one are in neither."""
        indices = np.array(self._indices)
        judge = np.flatnonzero(fold_of == fold)
        reach = self._overlap - 1
        near = np.zeros(len(indices), np.bool_)
        for shift in range(-reach, reach + 1):
            near |= np.isin(indices, indices[judge] + shift)
        return np.flatnonzero(~near), judge

    def indices(self) -> Indices:
        """Index of each kept window on the scene's grid, ``(kept,)``."""
        return np.array(self._indices, np.int64)

    def end_ns(self) -> Indices:
        """End of each kept window, ``(kept,)``."""
        return np.array(self._indices, np.int64) * self.hop_ns + self.length_ns

    def _block(self, index: int) -> int:
        return index * self.hop_ns // self._block_ns

    @property
    def _block_ns(self) -> int:
        return round(self._settings.block_s * 1e9)

    def _thin(self) -> None:
        self._stride *= 2
        keep = {i for i in self._indices if self._block(i) % self._stride == 0}
        self._indices = [i for i in self._indices if i in keep]
        for data in self._data:
            rows = [n for n, i in enumerate(data.seen_in) if i in keep]
            data.features = [data.features[n] for n in rows]
            data.measures = [data.measures[n] for n in rows]
            data.seen_in = [data.seen_in[n] for n in rows]

    def _check(self, window: Window) -> None:
        if not self.length_ns:
            self._begin(window)
        if window.end_ns - window.start_ns != self.length_ns:
            raise ModelError(
                f"windows of {self.length_ns / 1e9} s and of "
                f"{(window.end_ns - window.start_ns) / 1e9} s cannot be learnt together",
                where=self.scene,
            )
        if self._indices and window.index <= self._indices[-1]:
            raise ModelError(
                f"window {window.index} comes after window {self._indices[-1]}",
                where=self.scene,
                fix="give each recording once; of files without a time of day say by `fusewatch "
                "import --start` when each was, or import their folder as one",
            )

    def _begin(self, window: Window) -> None:
        if window.index <= 0 or window.start_ns % window.index:
            raise ModelError(
                f"window {window.index} does not lie on a grid from the epoch", where=self.scene
            )
        self.length_ns = window.end_ns - window.start_ns
        self.hop_ns = window.start_ns // window.index
        if not self._data:
            infos = [part.info for part in window.slices.values()]
            self._data = [nothing_yet(i, self._settings) for i in infos]
