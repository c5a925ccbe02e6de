"""Settings of the synthetic site."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from pipeline.core.sample import Modality
from pipeline.core.settings import Settings
from pipeline.sources.base import SourceSettings
from pipeline.sources.synthetic.faults import FAULTS, PRETENCES
from pipeline.sources.synthetic.strange import STRANGE
from pipeline.sources.synthetic.things import THINGS


class Kind(StrEnum):
    """Kinds of anomaly, as in the evaluation."""

    V = "V"  # an object that was never seen here
    A = "A"  # a sound that was never heard here
    S = "S"  # a sensor that is broken
    X1 = "X1"  # motion without its sound
    X2 = "X2"  # a sound without its cause
    X3 = "X3"  # a sensor that changes without a cause
    X4 = "X4"  # one modality shifted in time


VARIANTS: dict[Kind, tuple[str, ...]] = {
    Kind.V: THINGS,
    Kind.A: STRANGE,
    Kind.S: FAULTS,
    Kind.X1: ("walk",),
    Kind.X2: ("steps", "door"),
    Kind.X3: PRETENCES,
    Kind.X4: ("video", "audio", "sensor"),
}
"""What each kind comes in; X4 names the modality that is shifted."""

NEEDS: dict[Kind, frozenset[Modality]] = {
    Kind.V: frozenset({Modality.VIDEO}),
    Kind.A: frozenset({Modality.AUDIO}),
    Kind.S: frozenset({Modality.SENSOR}),
    Kind.X1: frozenset({Modality.VIDEO, Modality.AUDIO}),
    Kind.X2: frozenset({Modality.VIDEO, Modality.AUDIO}),
    Kind.X3: frozenset({Modality.SENSOR}),
    Kind.X4: frozenset(),
}

LONGEST_S = 7.0


class AnomalySettings(Settings):
    """One anomaly at a given time."""

    kind: Kind
    """V unseen object, A unseen sound, S sensor fault, X1 motion without its sound, X2 sound
    without its cause, X3 sensor change without its cause, X4 one modality shifted in time."""

    at_s: float
    """When it begins, scene seconds."""

    duration_s: float = Field(default=5.0, ge=2.0, le=120.0)
    """How long it lasts, seconds."""

    variant: str | None = None
    """Which sort of this kind; none: drawn."""

    @model_validator(mode="after")
    def _known_variant(self) -> Self:
        if self.variant is not None and self.variant not in VARIANTS[self.kind]:
            known = ", ".join(VARIANTS[self.kind])
            raise ValueError(f"{self.kind} has no variant {self.variant!r}; write one of: {known}")
        return self


class ScheduleSettings(Settings):
    """Anomalies again and again."""

    every_s: float = Field(ge=4.0)
    """From one to the next, seconds."""

    kinds: tuple[Kind, ...] | None = Field(default=None, min_length=1)
    """Which kinds, in turn; none: all that the streams allow."""

    first_s: float | None = None
    """When the first may begin, scene seconds; none: after one `every_s`."""

    duration_s: float | None = Field(default=None, ge=2.0)
    """How long each lasts, seconds; none: 4 to 7, drawn."""

    slack_s: float | None = Field(default=None, ge=0.0)
    """How much later than its turn each may begin, so that X1 to X3 find a quiet moment
    and X4 a busy one, seconds; none: a quarter of `every_s`."""

    again_after: int | None = Field(default=None, ge=1)
    """After so many the same ones come again, in the same order; none: each is drawn anew."""

    @property
    def begin_s(self) -> float:
        """`first_s`, resolved."""
        return self.every_s if self.first_s is None else self.first_s

    @property
    def longest_s(self) -> float:
        """Longest duration that can be drawn."""
        return self.duration_s or min(LONGEST_S, max(0.5 * self.every_s, 2.0))

    @property
    def spread_s(self) -> float:
        """`slack_s`, resolved."""
        return self.every_s / 4 if self.slack_s is None else self.slack_s

    @model_validator(mode="after")
    def _room_for_each(self) -> Self:
        if self.longest_s + self.spread_s > self.every_s:
            raise ValueError("duration_s plus slack_s must not be longer than every_s")
        return self


class SiteSettings(SourceSettings):
    """The synthetic site, but for the plug-in's own `type` and `build`."""

    type: str = "scene"
    """Kind of source."""

    video: str | None = "site-camera"
    """Name of the camera's stream; null: no camera."""

    audio: str | None = "site-microphone"
    """Name of the microphone's stream; null: no microphone."""

    sensor: str | None = "site-sensors"
    """Name of the sensors' stream; null: no sensors."""

    place: int = 1
    """Which site: view, room, colours, furniture, the machine's build and sound."""

    seed: int = 1
    """What happens there: visits, load, weather, noise, and how anomalies turn out."""

    size: tuple[int, int] = (640, 360)
    """Width and height of a frame, pixels."""

    fps: float = Field(default=10.0, gt=0.0, le=120.0)
    """Frames a second."""

    audio_hz: int = Field(default=16_000, ge=4_000, le=96_000, multiple_of=100)
    """Audio samples a second."""

    audio_chunk_ms: int = Field(default=100, ge=10, le=1_000, multiple_of=10)
    """Length of an audio chunk, milliseconds."""

    sensor_hz: float = Field(default=10.0, gt=0.0, le=1_000.0)
    """Sensor readings a second."""

    jpeg_quality: int | None = Field(default=85, ge=1, le=100)
    """Quality of the JPEG frames; null: raw frames."""

    start: Literal["now"] | AwareDatetime = "now"
    """Site time of scene second 0, ISO 8601 with a zone; now: `from_s` is when it is opened."""

    from_s: float = 0.0
    """Where in the world to begin, scene seconds."""

    duration_s: float | None = Field(default=None, gt=0.0)
    """Seconds until the source ends; none: it never does."""

    speed: Literal["max"] | float = Field(default=1.0)
    """Scene seconds per second; ``max`` or 0: as fast as it is read."""

    day_start_h: float = Field(default=10.0, ge=0.0, lt=24.0)
    """Hour of the day at scene second 0."""

    day_length_s: float = Field(default=86_400.0, ge=60.0)
    """Seconds that a whole day takes; shorter than 86400 for a day in a hurry."""

    anomalies: Literal["none"] | tuple[AnomalySettings, ...] | ScheduleSettings = "none"
    """What goes wrong: nothing, a list of ``{kind, at_s, duration_s}``, or a schedule
    ``{every_s, kinds, first_s}``."""

    @property
    def modalities(self) -> frozenset[Modality]:
        """Modalities that have a stream."""
        named = (
            (Modality.VIDEO, self.video),
            (Modality.AUDIO, self.audio),
            (Modality.SENSOR, self.sensor),
        )
        return frozenset(modality for modality, name in named if name is not None)

    @property
    def pace(self) -> float | None:
        """Scene seconds per second; None for as fast as it is read."""
        return None if self.speed in {"max", 0.0} else float(self.speed)

    @property
    def start_ns(self) -> int | None:
        """Site time of scene second 0; None when it is the opening that decides."""
        if self.start == "now":
            return None
        since = self.start - datetime(1970, 1, 1, tzinfo=UTC)
        return since // timedelta(microseconds=1) * 1_000

    def stream_names(self) -> tuple[str, ...]:
        """Names of the streams: camera, microphone, sensors, as far as there are."""
        return tuple(n for n in (self.video, self.audio, self.sensor) if n is not None)

    def possible(self, kind: Kind) -> bool:
        """Whether the streams can show this kind of anomaly."""
        enough = kind is not Kind.X4 or len(self.modalities) > 1
        return enough and self.modalities >= NEEDS[kind]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        names = self.stream_names()
        if not names:
            raise ValueError("name at least one of video, audio and sensor")
        if len(set(names)) < len(names):
            raise ValueError("video, audio and sensor must have different names")
        if min(self.size) < 32 or max(self.size) > 4096:
            raise ValueError("size must lie between 32 and 4096 pixels each way")
        if self.pace is not None and self.pace < 0:
            raise ValueError("speed must not be negative")
        for kind in self._named_kinds():
            if not self.possible(kind):
                raise ValueError(f"anomaly {kind} needs streams that are switched off")
        return self

    def _named_kinds(self) -> tuple[Kind, ...]:
        if isinstance(self.anomalies, ScheduleSettings):
            return self.anomalies.kinds or ()
        if self.anomalies == "none":
            return ()
        return tuple(a.kind for a in self.anomalies)
