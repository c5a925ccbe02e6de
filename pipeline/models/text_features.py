"""What the lines of a log say: counts of hashed n-grams, and each line by itself.

Numbers count as one word, so that a line with another reading in it is the same line, and the
time at its head is left out: the name of a month or a day is no news. The
hash is CRC-32: the same on every machine and in every process.
"""

from __future__ import annotations

import itertools
import re
import zlib

import numpy as np
import numpy.typing as npt

from pipeline.core.window import Slice, TextSlice
from pipeline.models.features import StreamFeatures
from pipeline.recording.line_times import without_time

_WORD = re.compile(r"[^\W\d_]+|\d[\d.,:]*|[^\w\s]")
_LINE_DIMS = 64
_COUNT_DIMS = 16
_MAX_LINES = 64
_MAX_CHARS = 1000
LINES = "number of lines"
"""The column that holds the logarithm of one more than that."""


class TextFeatures:
    """Extractor of a text stream. ``P`` is 1, ``d`` is 17, ``e`` is 64."""

    labels: tuple[str, ...] = ("log",)
    columns: tuple[str, ...] = (*("wording",) * _COUNT_DIMS, LINES)
    tolerances: tuple[float, ...] = (0.0,) * (_COUNT_DIMS + 1)
    relative_columns: tuple[int, ...] = ()
    log_columns: tuple[int, ...] = ()
    common_columns: tuple[int, ...] = ()
    item_dims = _LINE_DIMS
    level_column: int | None = None
    places_order: float | None = None
    item_neighbours: int | None = 1  # one line like it is enough for a line to be known

    def __init__(self, min_coverage: float, *, timeless: bool) -> None:
        self._min_coverage = min_coverage
        self._timeless = timeless

    def extract(self, part: Slice) -> StreamFeatures | None:
        """Features ``(1, 17)`` and one item per line (the last 64); None when not alive."""
        if not isinstance(part, TextSlice) or part.coverage < self._min_coverage:
            return None
        lines = part.lines[-_MAX_LINES:]
        items = np.zeros((len(lines), _LINE_DIMS), np.float32)
        for row, line in zip(items, lines, strict=True):
            row[:] = line_vector(without_time(line) if self._timeless else line)
        counts = items.sum(axis=0).reshape(-1, _COUNT_DIMS).sum(axis=0)
        number = np.log1p(np.float32(len(part.lines)))
        places = np.append(counts, number).astype(np.float32)[None]
        return StreamFeatures(places, np.ones(1, np.bool_), items)


def line_vector(line: str) -> npt.NDArray[np.float32]:
    """A line as signed hashed counts of words and word pairs, length 1, float32 ``(64,)``."""
    words = ["0" if w[0].isdigit() else w for w in _WORD.findall(line[:_MAX_CHARS].lower())]
    vector = np.zeros(_LINE_DIMS, np.float32)
    for gram in (*words, *(f"{a} {b}" for a, b in itertools.pairwise(words))):
        code = zlib.crc32(gram.encode())
        vector[code % _LINE_DIMS] += 1.0 if code & 0x8000_0000 else -1.0
    norm = float(np.sqrt((vector**2).sum()))
    return vector / np.float32(norm) if norm else vector
