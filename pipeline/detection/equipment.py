"""What the engine tells of the equipment: streams that drift apart, that cannot see, that lose.

`SyncHealth` looks at samples, `SightHealth` at windows and scores, `Silence` and `LedgerHealth`
at arrivals alone; `HopHealth` tells of the fusion node itself, when it cannot keep up.
What they tell is handed out by place among the windows that were cut, so that it makes no
difference how often the engine is asked to collect.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from pipeline.core.arrival import Arrival, StreamOpened
from pipeline.core.event import Event
from pipeline.core.sample import Sample
from pipeline.detection.accounts import Accounts
from pipeline.detection.hop_health import HopHealth
from pipeline.detection.ledger_health import LedgerHealth
from pipeline.detection.sight_health import SightHealth, SightScene
from pipeline.detection.sight_silence import Silence, SilenceSettings, Silent
from pipeline.detection.sync_health import SyncHealth


@dataclass(frozen=True, slots=True)
class SceneOver:
    """All streams of a scene ended: what stands there is over.

    Attributes:
        scene: The scene.
        accounts: Loss ledger then.
    """

    scene: str
    accounts: Accounts


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Something to tell after `place` windows; a silence is judged then."""

    place: int
    told: Event | Silent | SceneOver
    accounts: Accounts


class Equipment:
    """Watches the equipment of all scenes of one engine.

    Args:
        sync: Tells when streams drift apart; None: nobody does.
        sight: What there is to see in each scene; none: nobody tells when it is not seen.
        ledger: Tells when samples are unaccounted for; None: nobody does.

    Attributes:
        sync: Tells when streams drift apart.
        sight: Tells which streams cannot see.
        ledger: Tells when samples are unaccounted for.
        hop: Tells when fewer windows are scored than are to be.
    """

    def __init__(
        self,
        sync: SyncHealth | None = None,
        sight: Mapping[str, SightScene] | None = None,
        ledger: LedgerHealth | None = None,
    ) -> None:
        scenes = sight or {}
        self.sync = sync or SyncHealth({}, {})
        self.ledger = ledger or LedgerHealth()
        self.hop = HopHealth()
        self.sight = SightHealth(scenes)
        self._silence = Silence(
            {n: SilenceSettings(s.streams, s.window_ns, s.waits_ns) for n, s in scenes.items()}
        )
        self._waiting: deque[_Waiting] = deque()

    def restore(self, events: Sequence[Event]) -> None:
        """Take up the events that stand, from all phases ever published, in order."""
        self.sync.restore(events)
        self.sight.restore(events)
        self.ledger.restore(events)
        self.hop.restore(events)

    def begin(self, arrival: Arrival) -> None:
        """See whether the fusion node begins with this arrival, before timers run up to it."""
        self._silence.begin(arrival)

    def hear(self, arrival: Arrival) -> None:
        """Take in one arrival."""
        self._silence.take(arrival)
        self.ledger.take(arrival)
        if isinstance(arrival, StreamOpened):
            self.sync.open(arrival.info)

    def take(self, sample: Sample) -> None:
        """Take in one sample, made ready for the model."""
        self.sync.take(sample)

    @property
    def next_ns(self) -> int | None:
        """No silence is due before; None: none at all."""
        return self._silence.next_ns

    def silent(self, now_ns: int) -> Silent | None:
        """The first silence that is due at `now_ns`."""
        return self._silence.due(now_ns)

    def keep(self, told: Silent, accounts: Accounts, place: int) -> None:
        """Judge a silence once the first `place` windows are."""
        self._waiting.append(_Waiting(place, told, accounts))

    def look(self, now_ns: int, accounts: Accounts, place: int) -> None:
        """Compare the streams in time; what there is to tell comes after `place` windows."""
        for event in (*self.sync.look(now_ns, accounts), *self.ledger.told(accounts)):
            self._waiting.append(_Waiting(place, event, accounts))
        for event in self.hop.told():
            told = replace(event, ledger=accounts.of(event.scene))
            self._waiting.append(_Waiting(place, told, accounts))

    def over(self, scene: str, accounts: Accounts, place: int) -> None:
        """A scene is over once the first `place` windows are judged."""
        self._waiting.append(_Waiting(place, SceneOver(scene, accounts), accounts))

    def told(self, place: int | None = None) -> Iterator[Event | SceneOver]:
        """What there is to tell after the first `place` windows; None: all that is left."""
        while self._waiting and (place is None or self._waiting[0].place <= place):
            waiting = self._waiting.popleft()
            if isinstance(waiting.told, Silent):
                yield from self.sight.silent(waiting.told, waiting.accounts)
            else:
                yield waiting.told

    def finish(self, scene: str, accounts: Accounts) -> Iterable[Event]:
        """All streams of a scene ended: what stands is over."""
        for one in (self.sync, self.sight, self.ledger):
            for event in one.finish(scene):
                yield replace(event, ledger=accounts.of(event.scene))

    def stands(self, scene: str) -> bool:
        """Whether an event of a scene has not been cleared."""
        return any(one.stands(scene) for one in (self.sync, self.sight, self.ledger))
