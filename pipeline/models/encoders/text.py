"""Encoder of log lines: hashed n-grams and a small Transformer.

A line is a bag of its words and of the pieces of three letters in them, each hashed to a row of
a learned table (Bojanowski et al. 2017, "Enriching Word Vectors with Subword Information"), so
that a word never seen before is near to words like it. Numbers are one word: a line with
another reading in it is the same line. The lines of a window look at each other; one more token
stands for the window itself and is there when no line came, because silence also says something.
"""

from __future__ import annotations

import re
import zlib
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.core.sample import Modality, StreamInfo
from pipeline.core.window import Slice, TextSlice
from pipeline.models.attention import SelfAttention
from pipeline.models.encoders.base import Encoder, EncoderSettings, Tokens

_WORD = re.compile(r"[^\W\d_]+|\d[\d.,:]*|[^\w\s]")
_MAX_CHARS = 1000
_HEADS = 4
_EXTRAS = 2  # columns before the n-grams: seconds since the line before, number of lines


class TextEncoderSettings(EncoderSettings):
    """Options of the text encoder."""

    type: Literal["text"] = "text"
    """Kind of encoder."""

    width: int = Field(default=48, ge=8, le=4096, multiple_of=_HEADS)
    """Numbers per token."""

    lines: int = Field(default=16, ge=1, le=256)
    """Most lines of a window that are read; of more, the last."""

    grams: int = Field(default=64, ge=8, le=1024)
    """Most n-grams of a line that are read; of more, some are left out evenly."""

    buckets: int = Field(default=1024, ge=16, le=1_000_000)
    """Rows of the table that n-grams are hashed to."""

    layers: int = Field(default=1, ge=1, le=24)
    """Layers of attention."""

    modalities: ClassVar[frozenset[Modality]] = frozenset({Modality.TEXT})

    def build(self, info: StreamInfo) -> TextEncoder:
        """Make the network of one log."""
        return TextEncoder(self, info)


class TextEncoder(Encoder):
    """``(B, lines, 2 + grams)`` to a token for the window and one per line.

    A row of the input holds the logarithm of seconds since the line before, the logarithm of
    the number of lines, and the buckets of its n-grams. The first row of a window without any
    line holds the number alone.
    """

    def __init__(self, settings: TextEncoderSettings, info: StreamInfo) -> None:
        super().__init__()
        self.settings, self.name = settings, info.name
        self.shape = (settings.lines, _EXTRAS + settings.grams)
        self.width = settings.width
        self.places = ("the window", *(f"line {i + 1}" for i in range(settings.lines)))
        self.table = nn.Parameter(torch.randn(settings.buckets, self.width) / self.width**0.5)
        self.extras = nn.Linear(_EXTRAS, self.width)
        self.window = nn.Parameter(0.1 * torch.randn(1, 1, self.width))
        self.enter = nn.Sequential(nn.LayerNorm(self.width), nn.Linear(self.width, self.width))
        self.layers = nn.ModuleList(
            SelfAttention(self.width, _HEADS, 2 * self.width) for _ in range(settings.layers)
        )
        self.finish = nn.LayerNorm(self.width)

    def forward(self, inputs: Tensor) -> Tokens:
        """Tokens of the window and of its lines; the window's is present when it was watched."""
        known = torch.isfinite(inputs)
        clean = torch.where(known, inputs, torch.zeros_like(inputs))
        extras = self.extras(clean[..., :_EXTRAS])  # (B, L, D)
        lines = self.enter(self._bags(clean[..., _EXTRAS:], known[..., _EXTRAS:])) + extras
        present = torch.cat([known[:, :1, 1], known[..., _EXTRAS:].any(dim=-1)], dim=1)
        tokens = torch.cat([self.window + extras[:, :1], lines], dim=1)  # (B, 1 + L, D)
        for layer in self.layers:
            tokens = layer(tokens, present[:, None])
        return Tokens(self.finish(tokens) * present[..., None], present)

    def _bags(self, grams: Tensor, known: Tensor) -> Tensor:
        """Mean of the rows of each line's n-grams: ``(B, L, G)`` to ``(B, L, D)``."""
        buckets = grams.long().clamp(0, len(self.table) - 1).flatten(0, 1)
        weights = known.flatten(0, 1).to(self.table.dtype)
        weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1)
        bags = F.embedding_bag(buckets, self.table, per_sample_weights=weights, mode="sum")
        return bags.reshape(*grams.shape[:2], -1)

    def prepare(self, part: Slice) -> npt.NDArray[np.float32] | None:
        """Rows of the last lines, ``(lines, 2 + grams)``; None when the log was not alive."""
        if not isinstance(part, TextSlice) or part.coverage < self.settings.min_coverage:
            return None
        rows = np.full(self.shape, np.nan, np.float32)
        number = np.log1p(len(part.lines))
        rows[0, 1] = number
        first = max(0, len(part.lines) - len(rows))
        gaps = np.diff(part.timestamps_ns, prepend=part.timestamps_ns[:1]) / 1e9
        for row, line, gap in zip(rows, part.lines[first:], gaps[first:], strict=False):
            buckets = self._buckets(line)
            row[:_EXTRAS] = np.log1p(max(gap, 0.0)), number
            row[_EXTRAS : _EXTRAS + len(buckets)] = buckets
        return rows

    def _buckets(self, line: str) -> npt.NDArray[np.int64]:
        grams = line_grams(line) or [" "]  # an empty line is a line
        codes = np.array([zlib.crc32(gram.encode()) for gram in grams], np.int64)
        keep = min(len(codes), self.settings.grams)
        chosen = codes[np.arange(keep) * len(codes) // keep]
        return np.asarray(chosen % self.settings.buckets, np.int64)


def line_grams(line: str) -> list[str]:
    """Words of a line and the pieces of three letters in them, with marks at their ends."""
    grams = []
    for word in _WORD.findall(line[:_MAX_CHARS].lower()):
        marked = "<0>" if word[0].isdigit() else f"<{word}>"
        grams.append(marked)
        grams += [marked[i : i + 3] for i in range(len(marked) - 2) if len(marked) > 3]
    return grams


PLUGIN = TextEncoderSettings
