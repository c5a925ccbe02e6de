"""The base of every settings model.

Settings are frozen data with a docstring under each field; ``build()`` of a plug-in's
settings makes the runtime object. Unknown keys are refused.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Frozen, strict about keys, described field by field."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        validate_default=True,
    )
