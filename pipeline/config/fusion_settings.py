"""The fusion node in a deployment, and what it records."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from pipeline.core.settings import Settings
from pipeline.detection.inhibition_settings import InhibitionSettings
from pipeline.detection.overload_settings import OverloadSettings
from pipeline.transport.limits import LimitSettings


class RecordSettings(Settings):
    """Record everything that arrives at the fusion node."""

    folder: Path = Path("recordings")
    """Where the MCAP files go."""

    max_file_mb: float = Field(default=1024.0, gt=0)
    """Begin a new file at this size, MiB, or at a third of ``max_total_gb`` if that is less."""

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

    decoders: int | None = Field(default=None, ge=0, le=64)
    """Threads that decode pictures beside the one that does the rest; none given: 4 with a GPU,
    else 0, as then the cores have enough to do."""

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
    """Seconds before the start of an event that its clip, sound and recording show, and the window
    that raised it at least. They end when it clears, at the latest 30 s after it was raised, or a
    window's length after where windows are longer."""

    inhibition: InhibitionSettings = InhibitionSettings()
    """Whether what follows from dead equipment is sent while that is so."""

    overload: OverloadSettings = OverloadSettings()
    """What is done when it cannot keep up: windows further apart, before anything is dropped."""

    full_wait_s: float = Field(default=10.0, ge=0)
    """Longest that an event that is over waits for full pictures of its clip, seconds; what has not
    come by then is shown by the small ones. Of streams that are sent ``small`` only."""

    evidence_mb: float = Field(default=256.0, ge=8.0)
    """Most that is kept of one event before clip and recording are made of it, MiB; pictures may
    take three quarters. What is beyond is left out and counted. Where events are
    raised late (by ``min_duration_s``, ``cooldown_s`` or ``window_s``), three quarters of it may be
    held of each stream in memory until they are."""

    http: str | None = "127.0.0.1:0"
    """Address for /livez, /readyz and /metrics; port 0: any free one; none: off. One that other
    machines can reach needs ``security.http``."""

    @model_validator(mode="after")
    def _stands_by_for_somebody(self) -> Self:
        if self.standby and self.store is None:
            raise ValueError("'standby' needs a 'store' that the fusion nodes share")
        return self
