"""Which numbers come over an MQTT broker, and how often: listened to for some seconds."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

from nodes.init.plan import Broker, Heard, Readings
from pipeline.core.errors import DependencyMissing, SourceUnavailable
from pipeline.core.extras import installing

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

MOST_CHANNELS = 32
DEEPEST = 3
CONNECT_S = 5.0
HOME_ASSISTANT = "homeassistant/"
NO_READINGS = (HOME_ASSISTANT, "fusewatch/", "zigbee2mqtt/bridge/")
"""Where descriptions of devices, our own events and the state of a gateway go."""

NOT_OF_THE_PLACE = frozenset({"linkquality", "lqi", "rssi", "battery", "uptime"})
"""What tells of radio and battery, which change with the weather: no reason to alarm."""

DAY_S = 86_400.0
UNITS_S = (1.0, 1e-3, 1e-6, 1e-9)
SLOWEST_S = 5.0
"""Readings that come less often than this are taken for such as are told when they change."""


def heard(broker: Broker, topic: str, listen_s: float) -> Heard:
    """Topics on which numbers came, sorted, and whether Home Assistant is there.

    Args:
        broker: The broker.
        topic: What to subscribe to; wildcards as ever.
        listen_s: How long to listen.

    Raises:
        DependencyMissing: The MQTT library is not installed.
        SourceUnavailable: The broker does not answer or refuses us.
    """
    found: dict[str, Hearing] = {}
    home_assistant = False
    for name, payload, retained in _messages(broker, topic, listen_s):
        home_assistant |= name.startswith(HOME_ASSISTANT)
        if not name.startswith(NO_READINGS):
            hearing = found.setdefault(name, Hearing())
            hearing.take(payload, None if retained else time.monotonic(), time.time())
    topics = (found[name].readings(name) for name in sorted(found))
    return Heard(tuple(one for one in topics if one is not None), home_assistant)


@dataclass(slots=True)
class Hearing:
    """What was heard of one topic.

    Attributes:
        channels: Where single numbers stand, in the message that had most.
        lists: Where lists of numbers stand, and how many numbers each message had.
        time: Where messages carry a time.
        came_s: When they came; those that the broker had kept are left out.
    """

    channels: tuple[str, ...] = ()
    lists: dict[str, list[int]] = field(default_factory=dict)
    time: str = ""
    came_s: list[float] = field(default_factory=list)

    def take(self, payload: bytes, came_s: float | None, now_s: float) -> None:
        """Look at one message.

        Args:
            payload: What it says.
            came_s: When it came, by any steady clock; None: the broker had kept it.
            now_s: Seconds since 1970, to know times by.
        """
        try:
            document = json.loads(payload)
        except (ValueError, RecursionError):
            return
        if came_s is not None:
            self.came_s.append(came_s)
        single = numbers(document)
        times = [path for path in single if path and _is_time(_at(document, path), now_s)]
        self.time = self.time or next(iter(times), "")
        single = tuple(path for path in single if path not in times)
        if len(single) > len(self.channels):
            self.channels = single
        for path, values in _lists(document):
            self.lists.setdefault(path, []).append(len(values))

    def readings(self, topic: str) -> Readings | None:
        """What can be read from the topic; None: nothing."""
        every_s = self._every_s()
        if self.lists and every_s is not None:
            length = max(lengths[0] for lengths in self.lists.values())
            lists = [path for path, lengths in self.lists.items() if length in lengths]
            channels, fast_hz = tuple(lists[:MOST_CHANNELS]), _rounded(length / every_s)
            return Readings(topic, channels, fast_hz, batch=True, time=self.time)
        if not self.channels:
            return None
        often = every_s is not None and every_s <= SLOWEST_S
        rate_hz = _rounded(1 / every_s) if often and every_s else None
        return Readings(topic, self.channels, rate_hz, time=self.time)

    def _every_s(self) -> float | None:
        """From one message to the next; None: too few came, or unevenly."""
        gaps = [after - before for before, after in pairwise(self.came_s)]
        if len(gaps) < 2:
            return None
        usual = median(gaps)
        even = sum(0.5 * usual <= gap <= 1.5 * usual for gap in gaps) >= 0.8 * len(gaps)
        return usual if even and usual > 0 else None


def numbers(document: object) -> tuple[str, ...]:
    """Where numbers stand in a message; ``("",)`` when it is one; none in anything else."""
    if _is_number(document):
        return ("",)
    return tuple(_paths(document, _is_number, 1))[:MOST_CHANNELS]


def _lists(document: object) -> Iterator[tuple[str, list[object]]]:
    """Where lists of numbers stand in a message, and they."""
    for path in _paths(document, _is_list, 1):
        found = _at(document, path)
        if isinstance(found, list):
            yield path, found


def _paths(document: object, wanted: Callable[[object], bool], depth: int) -> Iterator[str]:
    if not isinstance(document, Mapping):
        return
    for key, value in document.items():
        if not key or any(letter in key for letter in ".[]"):
            continue  # a path could not name it
        if key.lower() in NOT_OF_THE_PLACE:
            continue
        if wanted(value):
            yield key
        elif depth < DEEPEST:
            yield from (f"{key}.{rest}" for rest in _paths(value, wanted, depth + 1))


def _at(document: Any, path: str) -> Any:  # noqa: ANN401
    for key in path.split("."):
        document = document[key]
    return document


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list(value: object) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(_is_number(one) for one in value)


def _is_time(value: float, now_s: float) -> bool:
    """Whether a number is a time of these days, in seconds or in parts of them."""
    return any(abs(value * unit - now_s) < DAY_S for unit in UNITS_S)


def _rounded(rate_hz: float) -> float:
    """A rate as somebody would have set it: to one part in twenty."""
    for digits in range(-4, 6):
        if abs((found := round(rate_hz, digits)) - rate_hz) <= rate_hz / 20:
            return found
    return rate_hz


def _messages(broker: Broker, topic: str, listen_s: float) -> Iterator[tuple[str, bytes, bool]]:
    try:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion
    except ModuleNotFoundError as error:
        raise DependencyMissing(
            "the MQTT library is not installed", fix=installing("mqtt")
        ) from error
    came: queue.Queue[tuple[str, bytes, bool] | str] = queue.Queue()

    def connected(client: Any, _data: Any, _flags: Any, reason: Any, _more: Any) -> None:  # noqa: ANN401
        if reason.is_failure:
            came.put(str(reason))
        else:
            client.subscribe(topic)
            came.put("")

    def message(_client: Any, _data: Any, one: MQTTMessage) -> None:  # noqa: ANN401
        came.put((one.topic, bytes(one.payload), bool(one.retain)))

    client = Client(CallbackAPIVersion.VERSION2)
    client.on_connect, client.on_message = connected, message
    if broker.username:
        client.username_pw_set(broker.username, broker.password)
    where = f"mqtt broker {broker.host}:{broker.port}"
    try:
        client.connect(broker.host, broker.port)
        client.loop_start()
        if refused := came.get(timeout=CONNECT_S):
            raise SourceUnavailable(
                f"it refuses us: {refused}",
                where=where,
                fix="give --broker-user and --broker-password-file",
            )
        yield from _until(came, time.monotonic() + listen_s)
    except (OSError, ValueError, queue.Empty) as error:
        raise SourceUnavailable(f"it does not answer: {error}", where=where) from error
    finally:
        client.loop_stop()
        client.disconnect()


def _until(
    came: queue.Queue[tuple[str, bytes, bool] | str], until_s: float
) -> Iterator[tuple[str, bytes, bool]]:
    while (left_s := until_s - time.monotonic()) > 0:
        try:
            one = came.get(timeout=left_s)
        except queue.Empty:
            return
        if isinstance(one, tuple):
            yield one
