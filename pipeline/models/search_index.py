"""An index of moments: a vector of each window of each stream, and how alike they are.

A vector is scaled to length one and kept as float16; of a stream that was not seen it is all
zeros. So two windows are as alike in a stream as the cosine of their vectors says, and alike in
all as the weighted mean over the streams that the query saw. Where a window lacks such a stream
it counts as 0, neither alike nor unlike: a moment seen by half never comes before one that is
alike in everything.

The search is exact: each window is compared. A query reads the blocks of its streams once,
chunk by chunk, 2 bytes a number. A camera, a microphone and eight sensors have 299 numbers a
window: 3 GB for the 5 million windows that a month has at a hop of 0.5 s. One core compares a
million such windows in 0.4 s, hardly more than the bare product of as many float32 numbers
takes (``python -m tests.benchmarks.search``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.core.errors import ModelError

Vector = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float32]

_CHUNK = 16_384  # rows: a block of 32 numbers as float32 is then 2 MB and stays in the cache
_SMALLEST = 1e-9


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One recording in an index, told apart by its name and its first second.

    Attributes:
        name: Name of its file.
        size: Its bytes; another number means that it has changed since.
        origin_ns: Site time of its second 0.
        rows: Windows taken from it.
    """

    name: str
    size: int
    origin_ns: int
    rows: int


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What windows of an index have in common; those of two that differ cannot be compared.

    Attributes:
        scene: Name of the scene.
        embedder: What made the vectors: ``model`` or ``encoder``, and its digest.
        length_ns: Length of a window.
        hop_ns: Step of the grid; window *k* starts at ``k * hop_ns``.
    """

    scene: str
    embedder: str
    length_ns: int
    hop_ns: int


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for.

    Attributes:
        vectors: Per stream a vector of length one, ``(E,)``.
        weights: What each of these streams counts.
    """

    vectors: Mapping[str, Vector]
    weights: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class SearchIndex:
    """Windows of recordings of one scene.

    Attributes:
        about: What they have in common.
        parts: The recordings, in the order of their rows.
        numbers: Index of each window on the grid, int64 ``(n,)``.
        p: Calibrated p-value of each window, float64 ``(n,)``; NaN where it is not known.
        blocks: Per stream the vectors, float16 ``(n, E)``; may lie on the disk.
    """

    about: About
    parts: tuple[Part, ...]
    numbers: Tensor
    p: Tensor
    blocks: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def starts_ns(self) -> npt.NDArray[np.int64]:
        """Start of each window, ``(n,)``."""
        return np.asarray(self.numbers.numpy() * self.about.hop_ns)

    def part_of(self, row: int) -> Part:
        """The recording that a row was taken from."""
        ends = np.cumsum([part.rows for part in self.parts])
        return self.parts[int(np.searchsorted(ends, row, side="right"))]

    def query(self, row: int, weights: Mapping[str, float]) -> Query:
        """The query that looks for windows like one of the index.

        Args:
            row: The window.
            weights: The streams to go by and what each counts; 0 is not gone by.

        Raises:
            ModelError: None of the streams was seen in that window.
        """
        asked = [name for name, weight in weights.items() if weight > 0]
        held = {n: self.blocks[n][row].float().numpy() for n in asked if n in self.blocks}
        seen = {name: vector for name, vector in held.items() if vector.any()}
        if not seen:
            raise ModelError(
                f"the moment shows nothing of {', '.join(asked)}",
                where=self.about.scene,
                fix="ask for another stream with --streams, or for another moment",
            )
        return Query(seen, {name: weights[name] for name in seen})

    def likeness(self, query: Query) -> Floats:
        """How alike each window is to what is looked for, -1 to 1, float32 ``(n,)``."""
        total = sum(query.weights.values())
        found = torch.zeros(len(self), dtype=torch.float32)
        for name in query.vectors.keys() & self.blocks.keys():
            block = self.blocks[name]
            share = torch.from_numpy(query.vectors[name] * np.float32(query.weights[name] / total))
            for at in range(0, len(block), _CHUNK):
                found[at : at + _CHUNK] += block[at : at + _CHUNK].float() @ share
        return found.numpy()

    def by_stream(self, row: int, query: Query) -> dict[str, float]:
        """How alike one window is, per stream that both saw."""
        found: dict[str, float] = {}
        for name, vector in query.vectors.items():
            if name in self.blocks and (held := self.blocks[name][row].float().numpy()).any():
                found[name] = float(held @ vector)
        return found

    def without(self, left_out: Part) -> SearchIndex:
        """The index without one of its recordings."""
        kept = [part != left_out for part in self.parts]
        rows = torch.from_numpy(np.repeat(kept, [part.rows for part in self.parts]))
        return replace(
            self,
            parts=tuple(part for part in self.parts if part != left_out),
            numbers=self.numbers[rows],
            p=self.p[rows],
            blocks={name: block[rows] for name, block in self.blocks.items()},
        )


def joined(indexes: Sequence[SearchIndex]) -> SearchIndex:
    """Indexes made by one embedder, as one."""
    widths = {name: block.shape[1] for one in indexes for name, block in one.blocks.items()}
    return SearchIndex(
        about=indexes[0].about,
        parts=tuple(part for index in indexes for part in index.parts),
        numbers=torch.cat([index.numbers for index in indexes]),
        p=torch.cat([index.p for index in indexes]),
        blocks={
            n: torch.cat([_block(i, n, width) for i in indexes]) for n, width in widths.items()
        },
    )


def _block(index: SearchIndex, stream: str, width: int) -> Tensor:
    """The vectors of a stream; all unseen when the index does not have it."""
    found = index.blocks.get(stream)
    return torch.zeros((len(index), width), dtype=torch.float16) if found is None else found


def unit(vector: npt.ArrayLike) -> Vector:
    """The vector at length one; one without any length is all zeros, as if not seen."""
    values = np.asarray(vector, np.float32)
    length = float(np.linalg.norm(values))
    return values / np.float32(length) if length > _SMALLEST else np.zeros_like(values)


class IndexBuilder:
    """Takes the windows of one recording, in order, and makes their index.

    Args:
        about: What they have in common.
        widths: Numbers in a vector of each stream.
    """

    def __init__(self, about: About, widths: Mapping[str, int]) -> None:
        self._about = about
        self._widths = dict(widths)
        self._numbers: list[int] = []
        self._p: list[float] = []
        self._vectors: dict[str, list[npt.NDArray[np.float16]]] = {name: [] for name in widths}

    def __len__(self) -> int:
        return len(self._numbers)

    def add(
        self, number: int, vectors: Mapping[str, npt.ArrayLike], p: float = float("nan")
    ) -> None:
        """Take in the window of a grid number; a stream that is not named was not seen."""
        self._numbers.append(number)
        self._p.append(p)
        for name, width in self._widths.items():
            vector = unit(vectors.get(name, np.zeros(width)))
            self._vectors[name].append(vector.astype(np.float16))

    def finish(self, name: str, size: int, origin_ns: int) -> SearchIndex:
        """The index of what was taken in, as the recording of this name."""
        blocks = {
            stream: torch.from_numpy(
                np.stack(rows) if rows else np.zeros((0, self._widths[stream]), np.float16)
            )
            for stream, rows in self._vectors.items()
        }
        part = Part(name, size, origin_ns, len(self))
        numbers = torch.tensor(self._numbers, dtype=torch.int64)
        p = torch.tensor(self._p, dtype=torch.float64)
        return SearchIndex(self._about, (part,), numbers, p, blocks)
