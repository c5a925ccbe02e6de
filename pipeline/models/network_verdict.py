"""What the trained network of a scene says of its windows: is one stream from another time?

A network from ``fusewatch train`` that ends with the phase `normality` can tell which of its
streams, if any, was swapped in from another time or is shifted. As for the odd one out,

    score of stream i = log P(i was swapped | window) - log P(none was | window)

It sees the windows themselves, through its encoders, where the odd one out sees a few principal
components. It speaks when all its streams are seen, now and in every window that it looks back
on: a stream that has just come back, among others that had been there, would be the odd one to it.

It knows its own normal by heart: windows that it has learnt from look more normal to it than what
is live, and must not calibrate it. So its file says which they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.core.errors import ModelError
from pipeline.core.sample import Modality
from pipeline.core.window import Slice
from pipeline.models.encoders.base import Prepared
from pipeline.models.encoders.frozen_features import FrozenFeatures
from pipeline.models.features import StreamFeatures
from pipeline.models.heads.classification import ClassificationHead
from pipeline.models.network_file import SavedNetwork
from pipeline.models.past import Past

NETWORK = "network"
SWAPPED = "swapped"  # name of the head
NONE = "(none)"  # its first class; the others are the streams

_AGAIN = "train it with the phase 'normality' last, without --labels"


class Memo(msgspec.Struct, frozen=True):
    """What the file of a network remembers for it.

    Attributes:
        length_ns: Length of the windows.
        hop_ns: Distance of two windows.
        picture_cells: Cells that its pictures had.
        windows: Windows in a row that it looks at, the judged one included.
        learnt: First and last index, on the grid, of each stretch of windows it learnt from.
    """

    length_ns: int
    hop_ns: int
    picture_cells: int
    windows: int
    learnt: tuple[tuple[int, int], ...]


msgspec.json.Decoder(Memo)  # so that msgspec knows it, see pipeline.core.event


@dataclass(frozen=True, slots=True)
class NetworkVerdict:
    """A trained network, ready to judge.

    Attributes:
        saved: The network.
        memo: What it must know beside its weights.
    """

    saved: SavedNetwork
    memo: Memo

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of its streams, in order, ``(M,)``."""
        return self.saved.network.names

    @property
    def names(self) -> tuple[str, ...]:
        """Its sub-detectors, ``network/<stream>``."""
        return tuple(f"{NETWORK}/{name}" for name in self.streams)

    def past(self) -> Past:
        """An empty memory of the windows before the one that is judged."""
        return Past(self.memo.windows, [self.saved.network.width] * len(self.streams))

    def prepare(self, part: Slice, features: StreamFeatures | None = None) -> Prepared | None:
        """What it sees of one stream in a window.

        Args:
            part: The stream's slice.
            features: What a detector made of it, which spares an encoder of such features to
                make them once more.

        Returns:
            None when too little is seen, or when the stream is none of its own.
        """
        if part.info.name not in self.streams:
            return None
        network = self.saved.network
        encoder = network.encoder(part.info.name)
        # The detector may read lines with their time where the network does not, or the other way.
        if (
            features is None
            or not isinstance(encoder, FrozenFeatures)
            or part.info.modality is Modality.TEXT
            or features.places.shape != encoder.shape
        ):
            return network.prepare_stream(part)
        return encoder.prepared(features)

    @torch.no_grad()
    def embed(
        self, windows: Sequence[Mapping[str, Prepared]], device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Vectors ``(B, M, Z)``, zero where not seen, and what was seen, bool ``(B, M)``.

        Args:
            windows: What `prepare` gave, by stream.
            device: Where the network is.
        """
        batch = self.saved.network.batch(windows, device)
        return self.saved.network.embed(*batch), batch.present

    @torch.no_grad()
    def scores(self, z: Tensor, seen: Tensor, indices: Sequence[int], past: Past) -> Tensor:
        """Scores of windows, float64 ``(B, M)``.

        NaN where not all streams were seen, now and before.

        Args:
            z: Their vectors ``(B, M, Z)``.
            seen: Which streams each window shows, bool ``(B, M)``.
            indices: Index of each window on the scene's grid, growing ``(B,)``.
            past: The windows before them; takes them in.
        """
        rows, shown = past.extend(indices, list(z.unbind(dim=1)), seen)
        told = self.saved.network.fuse(torch.stack(rows, dim=2), shown)[:, -1]  # (B, F)
        logits = self._head.logits(told)
        odds = (logits[:, 1:] - logits[:, :1]).double()
        whole = shown.flatten(1).all(dim=1, keepdim=True)  # (B, 1)
        return torch.where(whole, odds, torch.nan)

    def unknown(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Windows of which it has learnt no part, nor of those it looks back on, ``(n,)``."""
        overlap = -(-self.memo.length_ns // self.memo.hop_ns) - 1
        fresh = np.ones(len(indices), np.bool_)
        for first, last in self.memo.learnt:
            after = last + overlap + self.memo.windows - 1
            fresh &= (indices < first - overlap) | (indices > after)
        return fresh

    def to(self, device: torch.device) -> NetworkVerdict:
        """The same on `device`."""
        network = deepcopy(self.saved.network).to(device).eval()
        return replace(self, saved=replace(self.saved, network=network))

    @property
    def _head(self) -> ClassificationHead:
        head = self.saved.network.head(SWAPPED)
        if not isinstance(head, ClassificationHead):
            raise ModelError(f"the head {SWAPPED!r} is of another type", fix=_AGAIN)
        return head


def verdict_of(saved: SavedNetwork) -> NetworkVerdict:
    """What a network can say.

    Raises:
        ModelError: It has not learnt what belongs together, or went on learning other things.
    """
    if SWAPPED not in saved.network.head_names or "learnt" not in saved.memo:
        raise ModelError("the network does not tell which stream was swapped", fix=_AGAIN)
    try:
        memo = msgspec.convert(saved.memo, Memo)
    except msgspec.ValidationError as error:
        raise ModelError(
            f"what the network remembers cannot be used: {error}", fix=_AGAIN
        ) from error
    return NetworkVerdict(saved, memo)
