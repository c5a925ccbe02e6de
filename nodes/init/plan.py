"""What a first deployment is to consist of: one machine, and one scene or one for each place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class NetworkCamera:
    """A camera, or another medium, with an address.

    Attributes:
        url: Its address, as a rule with a password in it.
        video: Whether it has pictures.
        audio: Whether it has sound.
        place: Scene that it belongs to; empty: the plan's.
    """

    url: str
    video: bool = True
    audio: bool = False
    place: str = ""


@dataclass(frozen=True, slots=True)
class Broker:
    """An MQTT broker."""

    host: str
    port: int = 1883
    username: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True)
class Readings:
    """A topic on which numbers come.

    Attributes:
        topic: The topic.
        channels: Where the numbers stand in its messages (``data.temp``); one empty path: the
            message is the number.
        rate_hz: How often a reading comes; None: seldom, or unevenly.
        batch: Whether each message holds lists of them.
        time: Where its messages carry a time; empty: nowhere.
    """

    topic: str
    channels: tuple[str, ...]
    rate_hz: float | None = None
    batch: bool = False
    time: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard on a broker.

    Attributes:
        readings: Topics with numbers.
        home_assistant: Whether Home Assistant, or a device that announces itself to it, is there.
    """

    readings: tuple[Readings, ...] = ()
    home_assistant: bool = False


@dataclass(frozen=True, slots=True)
class SitePlan:
    """A first deployment.

    Attributes:
        scene: Name of the scene of all that names no place.
        data: Folder for everything that is kept.
        devices: Video devices of this machine.
        network: Cameras with an address.
        microphone: Whether the default sound input of this machine is heard.
        broker: MQTT broker; None: none.
        readings: Its topics.
        budget: False alarms that may be spent.
        webhook: Address that events are sent to; empty: none.
        home_assistant: Whether the broker is told of alarms, as Home Assistant finds them.
        record_gb: How much recordings may take of the disk.
    """

    scene: str
    data: Path
    devices: tuple[str, ...] = ()
    network: tuple[NetworkCamera, ...] = ()
    microphone: bool = False
    broker: Broker | None = None
    readings: tuple[Readings, ...] = ()
    budget: str = "2/day"
    webhook: str = ""
    home_assistant: bool = False
    record_gb: int = 20

    @property
    def places(self) -> tuple[str, ...]:
        """Places that cameras name, in their order."""
        return tuple(dict.fromkeys(one.place for one in self.network if one.place))

    def place_of(self, topic: str) -> str:
        """The scene of a topic's readings: the longest place named in it, or the plan's."""
        named = [
            place
            for place in self.places
            if re.search(rf"(?<![a-z0-9]){re.escape(place)}(?![a-z0-9])", topic.lower())
        ]
        return max(named, key=len, default=self.scene)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to watch with."""
        return not (self.devices or self.network or self.microphone or self.readings)
