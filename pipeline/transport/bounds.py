"""Bounds of what the messages of the link to the fusion node may hold."""

from __future__ import annotations

from typing import Annotated

import msgspec

from pipeline.core.codec import MAX_NAME

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
Time = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]
Words = Annotated[str, msgspec.Meta(max_length=500)]
