"""Scenes that are laid out alike, scored in one go: a window of each, on a GPU.

One window of one scene is hardly any work; asked for one scene after the other, a GPU does
nothing but start. So all that was learnt of ``S`` scenes stands side by side on the device, and
the windows that are ready of any of them are scored together, each with what its own scene
learnt. What comes out are the numbers of `SceneModel.score` but for rounding.

A window fits if all streams can be seen in it, which is nearly always so; any other is scored by
its scene's own model on the processor. There, too, things in pictures are looked for
(`pipeline.models.objects`), and the odd one out where a stream was away in one of the windows
that are looked back on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.models.features import NO_ITEMS, StreamFeatures
from pipeline.models.odd import leading
from pipeline.models.odd_stack import StackedOdd, odd_layout
from pipeline.models.past import ScenePast
from pipeline.models.past_ring import PastRing
from pipeline.models.scene_model import Features, SceneModel, Seen
from pipeline.models.stack_graph import StackGraph, shapes_of
from pipeline.models.stacked_streams import StackedStream, StreamBatch, stream_layout
from pipeline.models.stacked_together import StackedTogether, together_layout
from pipeline.models.stacking import Slots
from pipeline.models.stream_density import collect

Array = npt.NDArray[np.float64]
Layout = tuple[object, ...]

_MOST_GRAPHS = 4  # each keeps the memory of a run
_ITEMS_STEP = 16  # items are filled up to a multiple of it, so that few shapes occur


@dataclass(frozen=True, slots=True)
class Ready:
    """A window to be scored.

    Attributes:
        slot: Number of its scene in the stack.
        features: What its streams show, all of them.
        index: Its index on the scene's grid.
        past: The windows of the scene before it; takes it in.
    """

    slot: int
    features: Features
    index: int
    past: ScenePast


@dataclass(frozen=True, slots=True)
class Raw:
    """What comes off the device.

    Attributes:
        scores: Raw scores of all sub-detectors but those of things, float64 ``(B, D)``.
        places: How rare each place is by stream, ``(B, P)`` each.
        embeddings: By stream, ``(B, E)`` each.
        components: What of them is remembered, ``(B, <= E)`` each.
    """

    scores: Tensor
    places: list[Tensor]
    embeddings: list[Tensor]
    components: list[Tensor]


def scene_layout(model: SceneModel) -> Layout | None:
    """What must be the same for scenes to be stacked; None: this one is scored by itself."""
    if model.network is not None:
        return None
    streams = tuple(stream_layout(stream) for stream in model.streams)
    together = together_layout(model.together, model.settings)
    odd = odd_layout(model.odd)
    if together is None or odd is None or None in streams:
        return None
    return (streams, together, odd)


class SceneStack:
    """Scenes of one `scene_layout`.

    Args:
        models: Their models, on the processor, ``(S,)``.
        device: Where to score.
        dtype: Of what was learnt. Calibrated with 64 bits, scores of 32 differ in the sixth
            digit, for half the memory and time.
    """

    def __init__(
        self,
        models: Sequence[SceneModel],
        device: torch.device,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        self.models = tuple(models)
        self._device, self._dtype = device, dtype
        self._streams = [
            StackedStream(streams, device, dtype)
            for streams in zip(*(model.streams for model in models), strict=True)
        ]
        first = models[0]
        self._together = StackedTogether(
            [model.together for model in models], first.settings, device, dtype
        )
        odds = [model.odd for model in models if model.odd is not None]
        self._odd = StackedOdd(odds, device) if odds else None
        self._graphs: dict[tuple[tuple[int, ...], ...], StackGraph[Raw]] = {}
        self._ring: PastRing | None = None
        if self._odd is not None:
            self._ring = PastRing(len(models), self._odd.length, self._odd.widths, device)

    def fits(self, slot: int, features: Features) -> bool:
        """Whether a window can be scored here."""
        return all(stream.info.name in features for stream in self.models[slot].streams)

    @torch.inference_mode()
    def score(self, windows: Sequence[Ready]) -> Seen:
        """Score windows that fit, at most one of each scene, in the order of their slots."""
        if self._ring is not None:
            numbers, indices = [one.slot for one in windows], [one.index for one in windows]
            self._ring.refill(numbers, indices, [one.past.odd for one in windows])
            self._ring.pushed(numbers, indices)
        slots = slots_of([one.slot for one in windows], self._device)
        raw = self._run(self.upload(windows), slots)
        table = raw.scores.cpu().numpy()
        places = [one.cpu().numpy() for one in raw.places]
        shown = [one.double().cpu() for one in raw.embeddings]
        self._look_back(windows, table, shown, [one.cpu() for one in raw.components])
        names = [[s.info.name for s in self.models[one.slot].streams] for one in windows]
        return Seen(
            self._with_things(windows, table),
            [dict(zip(n, (p[at] for p in places), strict=True)) for at, n in enumerate(names)],
            [dict(zip(n, (e[at] for e in shown), strict=True)) for at, n in enumerate(names)],
        )

    def _run(self, batches: Sequence[StreamBatch], slots: Slots) -> Raw:
        """As `run`; a window of every scene on CUDA as it was recorded."""
        full = isinstance(slots, slice) and len(batches[0].places) == len(self.models)
        if not full or self._device.type != "cuda":
            return self.run(batches, slots)
        shapes = shapes_of(batches)
        if shapes not in self._graphs:
            if len(self._graphs) == _MOST_GRAPHS:
                return self.run(batches, slots)
            memory = [] if self._ring is None else self._ring.rows
            self._graphs[shapes] = StackGraph(lambda b: self.run(b, slots), batches, memory)
        return self._graphs[shapes](batches)

    def run(self, batches: Sequence[StreamBatch], slots: Slots) -> Raw:
        """Everything that is done on the device.

        Args:
            batches: Each stream's features in a window of each scene.
            slots: The scenes.
        """
        pairs = zip(self._streams, batches, strict=True)
        verdicts = [stream.score(batch, slots) for stream, batch in pairs]
        embeddings = [verdict.embedding for verdict in verdicts]
        columns = [verdict.scores for verdict in verdicts]
        columns.append(self._together.scores(embeddings, slots).double())
        components: list[Tensor] = []
        if self._odd is not None and self._ring is not None:
            components = leading(embeddings, self._odd.widths)
            rows = self._ring.push(slots, components)
            columns.append(self._odd.scores(rows, slots))
        places = [verdict.places for verdict in verdicts]
        return Raw(torch.cat(columns, dim=1), places, embeddings, components)

    def upload(self, windows: Sequence[Ready]) -> list[StreamBatch]:
        """Features of windows, by stream, on the device."""
        return [self._batch(number, windows) for number in range(len(self._streams))]

    @property
    def nbytes(self) -> int:
        """Bytes of all that was learnt and is read for a window of each scene."""
        odd = {} if self._odd is None else self._odd.tensors
        own = sum(stream.nbytes for stream in self._streams) + self._together.nbytes
        return own + sum(tensor.nbytes for tensor in odd.values())

    def _batch(self, number: int, windows: Sequence[Ready]) -> StreamBatch:
        """Features of one stream of all windows, on the device."""
        features = [
            one.features[self.models[one.slot].streams[number].info.name] for one in windows
        ]
        rows = collect([_without_items(one) for one in features])
        items, counts = _padded([one.items for one in features])
        return StreamBatch(
            self._moved(rows.places, self._dtype),
            self._moved(rows.present, torch.bool),
            self._moved(items, self._dtype),
            self._moved(counts, torch.int64),
            self._moved(rows.times_s, torch.float64),
        )

    def _moved(self, values: Tensor, dtype: torch.dtype) -> Tensor:
        values = values.to(dtype)
        if self._device.type == "cuda":
            values = values.pin_memory()  # otherwise the copy waits for the device
        return values.to(self._device, non_blocking=True)

    def _look_back(
        self,
        windows: Sequence[Ready],
        table: Array,
        shown: Sequence[Tensor],
        components: Sequence[Tensor],
    ) -> None:
        """Take the windows in, and let those be judged anew that follow one with a stream away.

        Args:
            windows: The windows.
            table: Their scores; changed where they are judged anew.
            shown: Their embeddings by stream, ``(B, E)``.
            components: What of them is remembered by stream, ``(B, <= E)``.
        """
        seen = torch.ones(len(components), dtype=torch.bool)
        for at, one in enumerate(windows):
            odd, past = self.models[one.slot].odd, one.past.odd
            if odd is None:
                return
            if past.whole(one.index):
                past.take(one.index, [part[at] for part in components], seen)
                continue
            here = [part[at : at + 1] for part in shown]
            judged = odd.scores(here, seen[None], [one.index], past)
            table[at, -judged.shape[1] :] = judged[0].numpy()

    def _with_things(self, windows: Sequence[Ready], table: Array) -> Array:
        """The table with what the pictures show, after each camera's own columns."""
        blocks, first = [], 0
        for number, stream in enumerate(self._streams):
            last = first + stream.columns
            blocks.append(table[:, first:last])
            first = last
            if self.models[0].streams[number].density.objects is not None:
                blocks.append(self._things(number, windows))
        return np.concatenate([*blocks, table[:, first:]], axis=1)

    def _things(self, number: int, windows: Sequence[Ready]) -> Array:
        found = []
        for one in windows:
            stream = self.models[one.slot].streams[number]
            seen, density = one.features[stream.info.name], stream.density.objects
            if density is None or not seen.views:
                found.append(np.full(2, np.nan))
            else:
                found.append(density.scores([seen.views], [seen.stood])[0].numpy())
        return np.stack(found)


def slots_of(numbers: Sequence[int], device: torch.device) -> Slots:
    """Neighbours as a slice, whose tensors are not copied; any others by their numbers."""
    if list(numbers) == list(range(numbers[0], numbers[0] + len(numbers))):
        return slice(numbers[0], numbers[0] + len(numbers))
    return torch.tensor(numbers, device=device)


def _without_items(features: StreamFeatures) -> StreamFeatures:
    return replace(features, items=NO_ITEMS)


def _padded(items: Sequence[npt.NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
    """Items of each window filled up, ``(B, I, e)``, and how many each has ``(B,)``."""
    counts = [len(one) for one in items]
    most = -(-max(counts) // _ITEMS_STEP) * _ITEMS_STEP
    width = max((one.shape[1] for one in items if len(one)), default=0)
    filled = np.zeros((len(items), most, width), np.float32)
    for row, one in zip(filled, items, strict=True):
        row[: len(one)] = one
    return torch.from_numpy(filled), torch.tensor(counts)
