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
    SecretStr,
    SerializeAsAny,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pipeline.alignment.sync_watch_settings import SyncWatchSettings
from pipeline.config.feedback import FeedbackSettings
from pipeline.config.http_settings import HttpSettings
from pipeline.config.retention import RetentionSettings
from pipeline.core.ranges import Range
from pipeline.core.settings import Settings
from pipeline.detection.alarm import AlarmSettings, readable_budget
from pipeline.detection.incident_settings import IncidentSettings
from pipeline.detection.inhibition_settings import InhibitionSettings
from pipeline.detection.recalibration_settings import RecalibrationSettings
from pipeline.detection.sight_settings import SightSettings
from pipeline.sinks.base import SinkSettings
from pipeline.sources.base import SourceSettings
from pipeline.sources.privacy_settings import QUALITY, BlurSettings, Privacy, Zone
from pipeline.sources.small_settings import SmallSettings
from pipeline.transport.limits import LimitSettings
from pipeline.transport.spool_settings import SpoolSettings

NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"


class StreamSettings(Settings):
    """How one stream is carried and aligned. Every stream has these; naming one overrides."""

    on_full: Literal["drop_oldest", "drop_newest", "block"] = "drop_oldest"
    """What gives way when the send buffer is full."""

    latency_ms: float = 0.0
    """Subtracted from each stamp: the device's known delay between event and stamp, as
    ``fusewatch sync test`` finds it. It goes with what the stamp means: find it anew after that
    has changed (``stamp`` in ``fusewatch recording info``, ``fusewatch_stream_stamp``)."""

    dejitter: bool = True
    """Smooth stamps by a fitted rate and phase (streams of a nominal rate only)."""

    interpolation: Literal["linear", "previous", "none"] | None = None
    """How sensor readings are put on the window's grid; not given: linear for streams of a
    rate, previous for others."""

    channel_interpolation: dict[str, Literal["linear", "previous", "none"]] = {}
    """Interpolation of single channels, by channel name."""

    channel_range: dict[str, Range] = {}
    """Least and greatest value that a channel can have, by channel name: ``heat: [-40, 125]``. A
    reading beyond is taken for none, and told as a sensor out of range when it stays."""

    max_gap_s: float = Field(default=5.0, gt=0)
    """A sensor cell further from its readings than this is missing, seconds."""

    grid_hz: float | None = Field(default=None, gt=0)
    """Grid of frames or sensor cells in a window; none: the stream's own rate."""

    jpeg_quality: int | None = Field(default=None, ge=1, le=100)
    """Send raw frames as JPEG of this quality; none: the link decides (85 when encrypted)."""

    small: SmallSettings | None = None
    """Send smaller pictures than there are, and keep the full ones on the capture node for a while,
    for the evidence of events; none: send them as they are."""

    mask: dict[str, Zone] = {}
    """Zones of the picture that nobody is to see, by name: corners ``[x, y]`` as shares (0 to 1) of
    its width and height. Blackened on the capture node; ``fusewatch mask`` shows where they lie."""

    blur: BlurSettings | None = None
    """What is made coarse in the picture on the capture node; none: nothing."""

    privacy: Literal["features"] | None = None
    """features: of this sound only band levels leave the capture node, as readings in dB, four
    a second; none: the sound itself."""


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


class RecordSettings(Settings):
    """Record everything that arrives at the fusion node."""

    folder: Path = Path("recordings")
    """Where the MCAP files go."""

    max_file_mb: float = Field(default=1024.0, gt=0)
    """Begin a new file at this size, MiB."""

    max_file_s: float | None = Field(default=None, gt=0)
    """Begin a new file after this long, seconds; none: only at its size."""

    max_total_gb: float = Field(default=20.0, gt=0)
    """Delete the oldest files beyond this total, GiB; the open file counts at its full size."""

    max_age_days: float | None = Field(default=None, gt=0)
    """Delete files that were last written longer ago, days; none: keep them for the total."""

    @model_validator(mode="after")
    def _one_fits(self) -> Self:
        if self.max_file_mb > self.max_total_gb * 1024:
            raise ValueError("one file of max_file_mb is larger than max_total_gb")
        return self


class FusionSettings(Settings):
    """The fusion node."""

    listen: str = "tcp://127.0.0.1:7710"
    """Address for capture nodes. Clock probes use the same port on UDP."""

    alert: str | None = None
    """Address of the alert node as seen from here; none: ``alert.listen``."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models run."""

    threads: int = Field(default=1, ge=1)
    """CPU threads of torch."""

    credit_mb: float = Field(default=32.0, gt=0)
    """Bytes a capture node may have under way, MiB."""

    max_message_mb: float = Field(default=32.0, gt=0)
    """Largest message accepted, MiB."""

    max_streams: int = Field(default=256, ge=1)
    """Most streams one node may announce."""

    limits: LimitSettings = LimitSettings()
    """What else one node may ask."""

    record: RecordSettings | None = None
    """Record what arrives; none: do not."""

    store: SecretStr | None = None
    """URL of a database that several fusion nodes share (``postgresql+psycopg://...``), so that
    one can take over when another is gone; none: a file in the data folder."""

    standby: bool = False
    """With ``store``: while another fusion node fuses one of the scenes, wait for it to be gone
    instead of ending with an error."""

    evidence_s: float = Field(default=5.0, ge=0)
    """Seconds kept before and after the start of an event as clip and sound."""

    inhibition: InhibitionSettings = InhibitionSettings()
    """Whether what follows from dead equipment is sent while that is so."""
    full_wait_s: float = Field(default=10.0, ge=0)
    """Longest that an event that is over waits for full pictures of its clip, seconds; what has not
    come by then is shown by the small ones. Of streams that are sent ``small`` only."""

    evidence_mb: float = Field(default=256.0, ge=8.0)
    """Most that is kept of one event before clip and recording are made of it, MiB; pictures may
    take three quarters. What is beyond is left out and counted."""

    http: str | None = "127.0.0.1:0"
    """Address for /livez, /readyz and /metrics; port 0: any free one; none: off. One that other
    machines can reach needs ``security.http``."""

    @model_validator(mode="after")
    def _stands_by_for_somebody(self) -> Self:
        if self.standby and self.store is None:
            raise ValueError("'standby' needs a 'store' that the fusion nodes share")
        return self


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
