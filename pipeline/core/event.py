"""Events: what an alarm publishes.

An event is one alarm's life: it is *raised* once, *updated* any number of times, *cleared*
once. Each phase is published with the same id and a growing revision, so ``(id, revision)``
is the idempotency key for every sink. The id depends on the scene, the alarm and the start
alone: a replay or a restart gives the same id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from pipeline.core.explanation import Explanation

HEALTH_PREFIX = "health-"
"""How ids of events begin that tell of the equipment and not of the scene."""

TEST_PREFIX = f"{HEALTH_PREFIX}test-"
"""How ids of events begin that somebody sent to see whether they arrive."""


class Phase(StrEnum):
    """Where in its life an event is."""

    RAISED = "raised"
    UPDATED = "updated"
    CLEARED = "cleared"


class Severity(StrEnum):
    """How rare and how long, in four steps."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class ModalityScore(msgspec.Struct, frozen=True):
    """What one stream, or the streams jointly, contributed.

    Attributes:
        p: p-value against the scene's normal; small is anomalous.
        share: Part of the score it explains, 0 to 1.
        note: What was unusual, in words; may be empty.
    """

    p: float
    share: float
    note: str = ""


class Heard(msgspec.Struct, frozen=True):
    """A detector that would have raised the alarm by itself.

    Attributes:
        score: Its highest score, ``-log10 p``.
        note: What it said then, in words; may be empty.
    """

    score: float
    note: str = ""


class Account(msgspec.Struct, frozen=True):
    """Loss ledger of one stream as the fusion node knew it."""

    captured: int = 0
    delivered: int = 0
    spooled: int = 0
    dropped: dict[str, int] = {}


class Evidence(msgspec.Struct, frozen=True):
    """Files that show what happened, relative to the deployment's evidence folder.

    Attributes:
        snapshot: The picture as it was when the event was raised.
        clip: Video with sound.
        sound: Sound.
        explained: The snapshot's camera with a box around what is unusual.
        spectrogram: Picture of the sound with the unusual band and time marked.
        channels: Picture of the unusual channels, expected against seen.
        recording: All streams around the event, the scores and the event itself (MCAP).
    """

    snapshot: str = ""
    clip: str = ""
    sound: str = ""
    explained: str = ""
    spectrogram: str = ""
    channels: str = ""
    recording: str = ""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One published phase of one alarm.

    Attributes:
        id: Deterministic, see `event_id`.
        revision: 0 for *raised*, then growing by one.
        scene: Scene it belongs to.
        alarm: Name of the alarm within the scene.
        phase: raised, updated or cleared.
        severity: Step of rarity and length reached so far.
        start_ns: Site time at which the anomaly began.
        end_ns: End of the last window that belongs to it so far.
        p: Smallest p-value so far.
        score: Highest anomaly score so far (``-log10 p``).
        summary: One sentence a person understands.
        modalities: Contribution per detector at the peak.
        clock_uncertainty_ns: Largest uncertainty of any stream used.
        incomplete: Streams that were missing at the peak.
        degraded: Streams that saw badly at the peak, and why ("dark", "frozen", "clipped").
        ledger: Account per stream of its scene, as it was known then.
        evidence: Snapshot, clip and sound.
        explanation: Why the peak is anomalous: who, where, what was expected; None when the
            scorer did not say.
        withheld: Why it does not go to the sinks, in words: somebody said that what is like it
            is normal here, or snoozed the scene, or it follows from another event. Said when it
            is handed on, not when it is found.
        cause: Id of the event that it follows from, when it is withheld for that.
        incident: Id of the first event of its incident, see `pipeline.detection.incidents`;
            empty while it is alone.
        scenes: Scenes of that incident so far, in the order in which they joined.
        heard: Detectors that were over the alarm's threshold by themselves, for as long as an alarm
            takes, at any time of it; see `pipeline.detection.listening`. None: an older fusewatch
            wrote it, which did not listen, or it tells of the equipment.
        widened: How many times further apart than set the windows were that were scored last,
            as the fusion node could not keep up; 1, and not written: as set.
    """

    id: str
    revision: int
    scene: str
    alarm: str
    phase: Phase
    severity: Severity
    start_ns: int
    end_ns: int
    p: float
    score: float
    summary: str
    modalities: Mapping[str, ModalityScore] = {}
    clock_uncertainty_ns: int = 0
    incomplete: tuple[str, ...] = ()
    degraded: Mapping[str, str] = {}
    ledger: Mapping[str, Account] = {}
    evidence: Evidence = Evidence()
    explanation: Explanation | None = None
    withheld: str = ""
    cause: str = ""
    incident: str = ""
    scenes: tuple[str, ...] = ()
    heard: Mapping[str, Heard] | None = None
    widened: int = 1

    @property
    def key(self) -> str:
        """Idempotency key of this phase."""
        return f"{self.id}.{self.revision}"

    @property
    def health(self) -> bool:
        """Whether it tells of the equipment and not of the scene; counts against no budget."""
        return self.id.startswith(HEALTH_PREFIX)


def subjects(detectors: Iterable[str]) -> set[str]:
    """What detectors speak of: their stream, or, between streams, they themselves."""
    return {name.partition(":")[2] or name for name in detectors}


# Made when the module is, as everywhere: msgspec (0.22) learns a type when it is first asked to
# decode one, and two threads that ask at once end the process.
_EVENT_DECODER = msgspec.json.Decoder(Event)


def event_id(scene: str, alarm: str, start_ns: int) -> str:
    """Deterministic id of the event that `alarm` of `scene` raised at `start_ns`."""
    digest = hashlib.sha256(f"{scene}\0{alarm}\0{start_ns}".encode()).hexdigest()
    return digest[:20]


def to_json(event: Event) -> bytes:
    """The event as canonical JSON: the same event always gives the same bytes.

    ``key`` is in it, so that every receiver can tell a repeat by one field.
    """
    told = {name: getattr(event, name) for name in event.__struct_fields__}
    if event.widened == 1:  # as nearly always: events look as they did before there was that
        del told["widened"]
    if event.heard is None:
        del told["heard"]
    return msgspec.json.encode(told | {"key": event.key}, order="sorted")


def from_json(data: bytes | str) -> Event:
    """Read an event back.

    Raises:
        msgspec.DecodeError: The data is not an event.
    """
    try:
        return _EVENT_DECODER.decode(data)
    except UnicodeDecodeError as error:  # msgspec lets it pass
        raise msgspec.DecodeError(f"not UTF-8: {error.reason}") from error
