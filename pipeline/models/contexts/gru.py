"""Context by a gated recurrent unit (Cho et al. 2014, "Learning Phrase Representations...")."""

from __future__ import annotations

from typing import Literal

from torch import nn

from pipeline.models.contexts.base import MemorySettings
from pipeline.models.contexts.recurrent import Recurrent


class GruSettings(MemorySettings):
    """Options of the gated recurrent unit."""

    type: Literal["gru"] = "gru"
    """Kind of context."""

    def build(self, width: int) -> Recurrent:
        """Make the network."""
        return Recurrent(nn.GRUCell(width, self.hidden), 1, width, self.hidden)


PLUGIN = GruSettings
