"""From flags, questions and what the machine has to a plan."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from nodes.init.addresses import examined
from nodes.init.asking import Asking
from nodes.init.plan import Broker, Heard, NetworkCamera, Readings, SitePlan
from nodes.init.topics import heard
from pipeline.config.deployment import NAME
from pipeline.core.errors import ConfigError, DependencyMissing, SourceUnavailable
from pipeline.core.redact import redact_url
from pipeline.sources.video_devices import list_cameras

_OPEN_S = 8.0
_MOST_RECORD_GB = 20
_SHARE = 4  # of what is free now; the rest is for evidence, updates and the other programs


@dataclass(frozen=True, slots=True)
class Given:
    """What stood on the command line; None: it is asked for, or found.

    Attributes:
        scene: Name of the scene.
        addresses: Addresses of network cameras, each with ``PLACE=`` before it or without.
        devices: Cameras of this machine.
        microphone: Whether to hear the default sound input.
        broker: MQTT broker, HOST or HOST:PORT.
        user: Its user.
        password: Its password; None: asked for where there is a user.
        topic: Topics to listen to.
        listen_s: For how long.
        budget: False alarms that may be spent.
        webhook: Where to send events.
        home_assistant: Whether to tell Home Assistant, over the broker.
        data: Folder for everything that is kept.
    """

    scene: str | None
    addresses: Sequence[str] | None
    devices: Sequence[str] | None
    microphone: bool | None
    broker: str | None
    user: str | None
    password: str | None
    topic: str
    listen_s: float
    budget: str | None
    webhook: str | None
    home_assistant: bool | None
    data: Path


def gather(given: Given, ask: Asking) -> SitePlan:
    """Ask for what was not given, and look at what is there.

    Raises:
        ConfigError: An answer cannot be used, or there is nothing to watch with.
    """
    scene = _scene(ask.text("Name of the place (a-z, 0-9, -)", given.scene, "hall"))
    devices = _devices(ask) if given.devices is None else tuple(given.devices)
    urls = _urls(ask) if given.addresses is None else given.addresses
    network = tuple(_network(*_placed(url)) for url in urls)
    hears = ask.yes("Listen to the default sound input?", given.microphone, _has_sound())
    broker = _broker(ask, given)
    on_broker = _listen(broker, given.topic, given.listen_s)
    plan = SitePlan(
        scene=scene,
        data=given.data,
        devices=devices,
        network=network,
        microphone=hears,
        broker=broker,
        readings=_readings(ask, on_broker),
        home_assistant=_tells_home_assistant(ask, given, broker, on_broker),
        record_gb=record_gb(given.data),
        budget=ask.text("False alarms you can live with", given.budget, "2/day"),
        webhook=ask.text("Web address to send events to (empty: none)", given.webhook, ""),
    )
    if plan.empty:
        raise ConfigError(
            "there is nothing to watch with",
            where="this machine",
            fix="plug in a camera, or give --address or --broker; see fusewatch doctor",
        )
    return plan


def record_gb(data: Path) -> int:
    """What recordings may take of the disk that `data` will lie on: small boxes have small ones."""
    folder = data.absolute()
    there = next(one for one in (folder, *folder.parents) if one.exists())
    free_gb = shutil.disk_usage(there).free / 1e9
    return int(max(1, min(_MOST_RECORD_GB, free_gb // _SHARE)))


def _scene(name: str) -> str:
    if not re.match(NAME, name):
        raise ConfigError(
            f"{name!r} is no name", where="--scene", fix="a-z, 0-9, '-' and '_', as in back-door"
        )
    return name


def _devices(ask: Asking) -> tuple[str, ...]:
    """Cameras of this machine. Most have a second device node, which gives no pictures."""
    found = {one.name or one.path: one.path for one in reversed(list_cameras()) if one.readable}
    return tuple(
        path
        for name, path in sorted(found.items(), key=lambda item: item[1])
        if ask.yes(f"Use camera {path} ({name})?", None, True)
    )


def _urls(ask: Asking) -> list[str]:
    urls: list[str] = []
    question = "Network camera, as rtsp://user:password@192.168.1.20/stream1 (empty: none)"
    while url := ask.text(question, None, ""):
        urls.append(url)
        question = "One more (empty: no more)"
    return urls


def _placed(address: str) -> tuple[str, str]:
    """The place that stands before an address, and the address."""
    place, equals, url = address.partition("=")
    if not equals or not re.match(NAME, place):
        return "", address
    return place, url


def _network(place: str, url: str) -> NetworkCamera:
    shown = redact_url(url)
    try:
        found = examined(url, _OPEN_S)
    except SourceUnavailable as error:
        typer.echo(f"  {shown}: {error.message}. Written all the same: see to it before you go on.")
        return NetworkCamera(url, place=place)
    gives = " and ".join(["pictures"] * found.video + ["sound"] * found.audio)
    typer.echo(f"  {shown}: {gives}")
    return replace(found, place=place)


def _has_sound() -> bool:
    try:
        from pipeline.sources.sound_devices import list_audio_inputs

        return bool(list_audio_inputs())
    except (ModuleNotFoundError, DependencyMissing, SourceUnavailable):
        return False


def _broker(ask: Asking, given: Given) -> Broker | None:
    where = ask.text("MQTT broker, HOST or HOST:PORT (empty: none)", given.broker, "")
    if not where:
        return None
    host, _, port = where.partition(":")
    if port and not port.isdigit():
        raise ConfigError(f"{port!r} is no port", where="--broker", fix="HOST or HOST:PORT")
    name = ask.text("Its user (empty: it asks for none)", given.user, "")
    password = given.password
    if password is None:
        password = ask.secret("Its password") if name else ""
    return Broker(host, int(port or 1883), name, password)


def _listen(broker: Broker | None, topic: str, listen_s: float) -> Heard:
    if broker is None:
        return Heard()
    typer.echo(f"  listening to {broker.host} for {listen_s:g} s")
    try:
        found = heard(broker, topic, listen_s)
    except SourceUnavailable as error:
        typer.echo(f"  {error}\n  Written without it; once it answers, init --force again.")
        return Heard()
    if not found.readings:
        typer.echo("  no numbers came; sensors that speak rarely need a longer --listen")
    return found


def _readings(ask: Asking, found: Heard) -> tuple[Readings, ...]:
    return tuple(
        one
        for one in found.readings
        if ask.yes(
            f"Use {one.topic} ({', '.join(filter(None, one.channels)) or 'a number'})?", None, True
        )
    )


def _tells_home_assistant(ask: Asking, given: Given, broker: Broker | None, found: Heard) -> bool:
    if broker is None:
        if given.home_assistant:
            raise ConfigError(
                "Home Assistant is told over an MQTT broker",
                where="--home-assistant",
                fix="add --broker HOST, the one that Home Assistant uses",
            )
        return False
    question = "Tell Home Assistant of alarms over this broker?"
    return ask.yes(question, given.home_assistant, found.home_assistant)
