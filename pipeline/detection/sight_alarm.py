"""The alarm of one stream, or of one node, that cannot see; for its rules see `SightHealth`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.core.event import Event, Phase
from pipeline.core.sample import Modality
from pipeline.detection.equipment_alarm import EquipmentAlarm
from pipeline.detection.sight import ABSENT, same_reason
from pipeline.detection.sight_settings import SightSettings
from pipeline.detection.sight_stretch import Stretch
from pipeline.detection.sight_words import back, blind, blind_node, meanwhile

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Look:
    """One window as the rules look at it.

    Attributes:
        start_ns: Its start.
        end_ns: Its end.
        step_ns: What of it is new.
        reasons: Why streams cannot see in it, see `pipeline.detection.sight`.
        uncertainty_ns: How far off the stamps of each stream may be.
        left: Streams by which the scene is scored; None: it has no model.
    """

    start_ns: int
    end_ns: int
    step_ns: int
    reasons: Mapping[str, str]
    uncertainty_ns: Mapping[str, int] = field(default_factory=dict)
    left: tuple[str, ...] | None = None


@dataclass(slots=True)
class SightAlarm:
    """Whether one stream sees, or whether anything comes from one node.

    Attributes:
        alarm: Its alarm.
        settings: Of its scene.
        name: Name of the stream or the node.
        streams: The stream, or those of the node.
        of_node: Whether it is a node.
        modality: Of the stream, once it is known.
        stretch: How long it has been blind.
    """

    alarm: EquipmentAlarm
    settings: SightSettings
    name: str
    streams: tuple[str, ...]
    of_node: bool = False
    modality: Modality | None = None
    stretch: Stretch = field(default_factory=Stretch)

    def judge(self, look: Look, reason: str, *, held: bool = False) -> Event | None:
        """Take in the next window; what there is to tell.

        Args:
            look: The window.
            reason: Why it is blind; empty: it is not.
            held: Whether another alarm tells it already.
        """
        if not reason:
            if self.stretch.is_before(look.end_ns):
                return None
            self.stretch.saw(look.step_ns)
            return self._clear(look)
        self.stretch.blind(look.start_ns, look.end_ns, look.step_ns, reason)
        if self.alarm.event is not None:
            return self._update(self.alarm.event, look)
        return None if held else self._raise(look)

    def finish(self) -> Event | None:
        """It has ended: what stands is over."""
        self.stretch.forget()
        event = self.alarm.event
        if event is None:
            return None
        said = f"{self.name} has ended; it was not seen to be back."
        return self.alarm.go_on(Phase.CLEARED, event.end_ns, said)

    def _raise(self, look: Look) -> Event | None:
        stretch, wait_s = self.stretch, self.settings.after_s
        if not stretch.ever:
            wait_s = max(wait_s, self.settings.startup_s)
        if stretch.start_ns is None or stretch.lasted_ns < wait_s * SECOND_NS:
            return None
        incomplete, degraded = self._why()
        return self.alarm.begin(
            stretch.start_ns,
            look.end_ns,
            self._said(look),
            uncertainty_ns=max(look.uncertainty_ns.get(s, 0) for s in self.streams),
            incomplete=incomplete,
            degraded=degraded,
        )

    def _update(self, event: Event, look: Look) -> Event | None:
        incomplete, degraded = why = self._why()
        reasons = (known.get(self.name, "") for known in (degraded, event.degraded))
        if incomplete == event.incomplete and same_reason(*reasons):
            return None
        lasted_ns = look.end_ns - self.stretch.reason_ns
        if lasted_ns < self.settings.after_s * SECOND_NS:
            return None
        return self.alarm.go_on(Phase.UPDATED, look.end_ns, self._said(look), why)

    def _clear(self, look: Look) -> Event | None:
        stretch = self.stretch
        good = stretch.good_ns >= self.settings.clear_after_s * SECOND_NS
        if self.alarm.event is None:
            if good or stretch.lasted_ns <= 0:
                stretch.forget()
            return None
        if not good:
            return None
        end_ns = max(stretch.end_ns, self.alarm.event.end_ns)
        stretch.forget()
        said = back(self.name, self.modality, of_node=self.of_node)
        return self.alarm.go_on(Phase.CLEARED, end_ns, said)

    def _why(self) -> tuple[tuple[str, ...], dict[str, str]]:
        """What the event says is missing, and what it says is degraded."""
        if self.stretch.reason == ABSENT:
            return self.streams, {}
        return (), {self.name: self.stretch.reason}

    def _said(self, look: Look) -> str:
        since_ns, reason = self.stretch.reason_ns, self.stretch.reason
        if self.of_node:
            said = blind_node(self.name, self.streams, since_ns)
        else:
            said = blind(self.name, self.modality, reason, since_ns)
        return said + meanwhile(look.left)
