"""The shape of a deployment: nodes, streams, scenes, fusion, alert, security.

Paths are relative to the deployment file unless absolute. Names are the keys of their
mapping, so they are unique by construction.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import (
    Field,
    SerializeAsAny,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pipeline.alignment.sync_watch_settings import SyncWatchSettings
from pipeline.config.engine_settings import EngineSettings
from pipeline.config.feedback import FeedbackSettings
from pipeline.config.fusion_settings import FusionSettings
from pipeline.config.http_settings import HttpSettings
from pipeline.config.retention import RetentionSettings
from pipeline.config.stream_settings import StreamSettings
from pipeline.core.settings import Settings
from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.budget_text import readable_budget
from pipeline.detection.incident_settings import IncidentSettings
from pipeline.detection.recalibration_settings import RecalibrationSettings
from pipeline.detection.sight_settings import SightSettings
from pipeline.sinks.base import SinkSettings
from pipeline.sources.base import SourceSettings
from pipeline.sources.privacy_settings import QUALITY, Privacy
from pipeline.transport.limits import LimitSettings
from pipeline.transport.spool_settings import SpoolSettings

NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"


class CaptureSettings(Settings):
    """One capture node."""

    sources: list[SerializeAsAny[SourceSettings]] = Field(min_length=1)
    """What the node reads."""

    fusion: str | None = None
    """Address of the fusion node as seen from here; none: ``fusion.listen``."""

    buffer_mb: float = Field(default=64.0, gt=0)
    """Samples kept until the fusion node has committed them, MiB."""

    max_message_mb: float = Field(default=32.0, gt=0)
    """Largest message sent, MiB; a larger sample is dropped and counted."""

    spool: SpoolSettings | None = None
    """Keep on disk what waits long for the fusion node; none: by its defaults where that is on
    another machine, otherwise do not. ``{}``: by its defaults anyway."""

    http: str | None = "127.0.0.1:0"
    """Address for /livez, /readyz and /metrics; port 0: any free one; none: off. One that other
    machines can reach needs ``security.http``."""


class SceneSettings(Settings):
    """Streams that observe one place or machine, and what to do when it is not normal."""

    streams: list[str] = Field(min_length=1)
    """Streams that are fused."""

    window_s: float = Field(default=2.0, gt=0)
    """Length of a window, seconds."""

    hop_s: float = Field(default=0.5, gt=0)
    """Step from one window to the next, seconds."""

    latency_s: float = Field(default=1.0, ge=0)
    """Longest wait for a stream that is behind the first, seconds."""

    lateness_s: float = Field(default=0.0, ge=0)
    """How far out of order samples of one stream may come, seconds."""

    idle_s: float = Field(default=3.0, gt=0)
    """A stream silent for this long no longer holds windows back, seconds."""

    model: Path | None = None
    """Model file made by ``fusewatch commission``; none: align and record only."""

    text_encoder: Path | None = None
    """Folder of a CLIP or CLAP model, by which ``fusewatch search --text`` reads words."""

    alarm: AlarmSettings = AlarmSettings()
    """When scores become an event."""

    sync_watch: SyncWatchSettings = SyncWatchSettings()
    """Whether streams that drift apart in time are told as an event."""

    sight: SightSettings = SightSettings()
    """When a stream that cannot see is told as an event."""

    recalibrate: RecalibrationSettings = RecalibrationSettings()
    """How far scores may follow slow changes of what is normal."""

    def with_budget(self, budget: str) -> Self:
        """The same scene with this budget of false alarms, unless it has one of its own."""
        if "budget" in self.alarm.model_fields_set:
            return self
        alarm = self.alarm.model_copy(update={"budget": budget})
        return self.model_copy(update={"alarm": alarm})


class AlertSettings(Settings):
    """The alert node."""

    listen: str = "tcp://127.0.0.1:7711"
    """Address for events from the fusion node."""

    sinks: list[SerializeAsAny[SinkSettings]] = []
    """Where events go."""

    limits: LimitSettings = LimitSettings()
    """What the fusion node, and whoever else reaches the address, may ask."""

    http: str | None = "127.0.0.1:0"
    """Address for /livez, /readyz and /metrics; port 0: any free one; none: off. One that other
    machines can reach needs ``security.http``."""


class DashboardSettings(Settings):
    """The web page that shows the deployment."""

    listen: str = "127.0.0.1:7780"
    """``HOST:PORT`` to listen on; other than this machine only with a certificate."""

    hosts: list[str] = []
    """Further names by which browsers reach it, as they stand in their address line."""

    certificate: Path | None = None
    """PEM file of the certificate, for TLS."""

    private_key: Path | None = None
    """PEM file of its key."""

    http: str | None = "127.0.0.1:0"
    """Address for /livez, /readyz and /metrics; port 0: any free one; none: off."""


class SecuritySettings(Settings):
    """Keys and encryption."""

    curve: Literal["auto", "on", "off"] = "auto"
    """CURVE encryption; auto: on for every address that is not this machine."""

    keys: Path = Path("keys")
    """Folder of key files, made by ``fusewatch keys create``."""

    http: HttpSettings | None = None
    """Token and certificate, for ``http`` addresses that other machines can reach."""


class Deployment(Settings):
    """A whole deployment."""

    name: str = Field(pattern=NAME)
    """Name of the deployment."""

    data: Path = Path("data")
    """Folder for the store, evidence and state."""

    budget: str | None = None
    """False alarms that each scene may spend, as ``COUNT/PERIOD`` (``2/week``), unless its own
    ``alarm`` says otherwise; none: 2/day."""

    nodes: dict[str, CaptureSettings] = Field(min_length=1)
    """Capture nodes by name."""

    streams: dict[str, StreamSettings] = {}
    """Options of single streams, by stream name."""

    engine: EngineSettings = EngineSettings()
    """Where the fusion runs: one process here, or the workers of a cluster."""

    scenes: dict[str, SceneSettings] = Field(min_length=1)
    """Scenes by name."""

    incidents: IncidentSettings = IncidentSettings()
    """Which events of several scenes belong together."""

    fusion: FusionSettings = FusionSettings()
    """The fusion node."""

    alert: AlertSettings = AlertSettings()
    """The alert node."""

    dashboard: DashboardSettings | None = None
    """A web page that shows all this; ``{}``: on this machine only; none: no page."""

    security: SecuritySettings = SecuritySettings()
    """Keys and encryption."""

    retention: RetentionSettings = RetentionSettings()
    """How long each kind of data is kept."""

    feedback: FeedbackSettings = FeedbackSettings()
    """How far answers of people may go in holding events back."""

    @field_validator("nodes", "scenes")
    @classmethod
    def _names(cls, value: dict[str, object]) -> dict[str, object]:
        for name in value:
            if not re.match(NAME, name):
                raise ValueError(f"name {name!r} may hold a-z, 0-9, '-' and '_' only")
        return value

    @field_validator("budget")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        return None if value is None else readable_budget(value)

    @field_validator("scenes")
    @classmethod
    def _by_the_shared_budget(
        cls, scenes: dict[str, SceneSettings], known: ValidationInfo
    ) -> dict[str, SceneSettings]:
        shared = known.data.get("budget")  # not there when it is wrong, which is told by itself
        return {n: s if shared is None else s.with_budget(shared) for n, s in scenes.items()}

    @model_validator(mode="after")
    def _spools_apart(self) -> Self:
        folders = [n.spool.folder for n in self.nodes.values() if n.spool and n.spool.folder]
        if len(set(folders)) < len(folders):
            raise ValueError("two nodes have one spool folder: give each its own")
        return self

    def stream(self, name: str) -> StreamSettings:
        """Options of a stream, the defaults where none are given."""
        return self.streams.get(name, StreamSettings())

    def privacy(self, name: str) -> Privacy:
        """What is taken out of a stream before it goes on."""
        stream = self.stream(name)
        return Privacy(
            stream.mask,
            stream.blur,
            features=stream.privacy == "features",
            jpeg_quality=stream.jpeg_quality or QUALITY,
        )
