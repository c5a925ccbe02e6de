"""Options of the odd one out, see `pipeline.models.odd`."""

from __future__ import annotations

from pydantic import Field

from pipeline.core.settings import Settings
from pipeline.models.contexts.base import ContextField
from pipeline.models.contexts.gru import GruSettings
from pipeline.models.fusions.base import FusionField
from pipeline.models.fusions.softmax_gate import SoftmaxGateSettings


class OddSettings(Settings):
    """What the network is made of and how it is learnt. All of it can be told by YAML."""

    fusion: FusionField = SoftmaxGateSettings()
    """How the streams of a window are joined."""

    context: ContextField = GruSettings(hidden=64)
    """How windows in a row are joined."""

    windows: int = Field(default=8, ge=1, le=64)
    """Windows in a row that are looked at, the one that is judged included."""

    dims: int = Field(default=16, ge=1)
    """Principal components of each stream that are looked at."""

    hidden: int = Field(default=64, ge=4)
    """Width of each stream's own layer."""

    width: int = Field(default=32, ge=4)
    """Numbers per stream in the shared space Z."""

    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Share of numbers left out in training."""

    noise: float = Field(default=0.3, ge=0)
    """Noise put on the components in training, standard units."""

    parts: int = Field(default=2, ge=2)
    """Parts of the normal; each judges networks that learnt from the others, which tells how far
    they can be trusted."""

    members: int = Field(default=2, ge=1)
    """Networks per part, which differ in their first weights; their mean is steadier."""

    spares: int = Field(default=2, ge=0)
    """Networks per part that judge what is left while streams are missing; 0: nothing does."""

    steps: int = Field(default=400, ge=1)
    """Most steps of training per network."""

    learning_rate: float = Field(default=2e-3, gt=0)
    """Largest step size."""

    weight_decay: float = Field(default=0.05, ge=0)
    """Pull of weights towards zero."""

    runs: int = Field(default=16, ge=4, multiple_of=4)
    """Runs of windows in a batch, four from each neighbourhood."""

    run_s: float = Field(default=12.0, gt=0)
    """Length of a run, seconds."""

    near_s: float = Field(default=200.0, gt=0)
    """What is swapped in comes from no further away, seconds: otherwise slow changes of light
    or temperature would tell it, which is not what is to be learnt."""

    shifted: float = Field(default=0.3, ge=0, le=1)
    """Share of swaps from the same run, shifted by `shift_s`."""

    shift_s: tuple[float, float] = (1.5, 4.0)
    """Least and most of a shift, seconds."""

    least_s: float = Field(default=450.0, gt=0)
    """With less normal than this nothing is learnt: a network would only know it by heart."""
