"""Context by a long short-term memory (Hochreiter and Schmidhuber 1997; gates of Gers 2000)."""

from __future__ import annotations

from typing import Literal

from torch import nn

from pipeline.models.contexts.base import MemorySettings
from pipeline.models.contexts.recurrent import Recurrent


class LstmSettings(MemorySettings):
    """Options of the long short-term memory."""

    type: Literal["lstm"] = "lstm"
    """Kind of context."""

    def build(self, width: int) -> Recurrent:
        """Make the network."""
        return Recurrent(nn.LSTMCell(width, self.hidden), 2, width, self.hidden)


PLUGIN = LstmSettings
