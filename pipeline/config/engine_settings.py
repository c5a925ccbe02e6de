"""Where the fusion of a deployment runs: here, in one process, or on the machines of a cluster."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from pipeline.core.settings import Settings

GROUP = r"^[a-z0-9][a-z0-9_-]{0,62}$"


class EngineSettings(Settings):
    """What runs the fusion of the scenes. All but ``kind`` is for ``ray`` alone."""

    kind: Literal["local", "ray"] = "local"
    """local: one fusion node, by ``fusewatch run`` or ``fusion``; ray: a worker for each group of
    scenes, placed on the machines of a Ray cluster by ``fusewatch cluster up``."""

    address: str = "auto"
    """Address of the Ray cluster (``HOST:6379``); auto: the one this machine is part of."""

    directory: list[str] = []
    """Addresses where capture nodes ask for their worker (``tcp://HOST:7712``); of several the
    next is asked when one does not answer."""

    groups: dict[str, list[str]] = {}
    """Scenes of each worker, by a name of the group; none: made by themselves."""

    group_count: int | None = Field(default=None, ge=1)
    """Without ``groups``: most workers that the scenes are dealt to, evenly; none: as many as can
    be. Scenes that share a capture node always go together."""

    cpus: float = Field(default=1.0, gt=0)
    """CPUs that Ray sets aside for each worker."""

    gpus: float = Field(default=0.0, ge=0)
    """GPUs that Ray sets aside for each worker; 0.25: four share one."""

    evidence: Path | None = None
    """Folder for the evidence of this deployment's events, on storage that all machines mount, also
    those of the page and of the alert node; none: each worker keeps it in ``data``, on its own
    machine."""

    @field_validator("groups")
    @classmethod
    def _names(cls, value: dict[str, list[str]]) -> dict[str, list[str]]:
        for name in value:
            if not re.match(GROUP, name):
                raise ValueError(f"name {name!r} may hold a-z, 0-9, '-' and '_' only")
        return value

    @property
    def is_ray(self) -> bool:
        """Whether the scenes are fused by the workers of a cluster."""
        return self.kind == "ray"
