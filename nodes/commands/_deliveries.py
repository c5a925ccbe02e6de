"""Deliveries of the outbox as ``fusewatch events`` shows them: where each went, what holds it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nodes.event_lines import ID
from pipeline.core.redact import redact_url
from pipeline.core.timestamps import format_iso
from pipeline.store import Delivery, OutboxStore
from pipeline.store.outbox_holds import Hold


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Deliveries with what the outbox knows of them besides.

    Attributes:
        found: The deliveries.
        digests: Keys of the digests that some of them are told in, by id.
        holds: Until when and why some of them are held, by id.
    """

    found: Sequence[Delivery]
    digests: Mapping[int, str]
    holds: Mapping[int, Hold]


def of_event(data: Path, event_id: str) -> Deliveries:
    """All deliveries of an event; none where there is no outbox."""
    if not (data / "alert.db").exists():
        return Deliveries([], {}, {})
    with closing(OutboxStore(data / "alert.db", create=False)) as outbox:
        return _with(outbox, outbox.deliveries(event_id))


def dead(data: Path, scene: str | None, limit: int) -> Deliveries:
    """What was moved aside, of one scene or all: the last so many."""
    with closing(OutboxStore(data / "alert.db", create=False)) as outbox:
        return _with(outbox, _of_scene(outbox.dead_letters(), scene, limit))


def held(data: Path, scene: str | None, limit: int) -> Deliveries:
    """What is held for later, likewise."""
    with closing(OutboxStore(data / "alert.db", create=False)) as outbox:
        return _with(outbox, _of_scene(outbox.holds.deliveries(), scene, limit))


def shown(deliveries: Deliveries) -> None:
    """Print them for people."""
    table = Table("delivery", "event", "phase", "sink", "state", "tries", "said", box=None)
    for one in deliveries.found:
        table.add_row(
            str(one.id),
            one.event.id[:ID],
            _phase(one),
            escape(one.sink),
            escape(_state(deliveries, one)),
            str(one.attempts),
            escape(one.error),
        )
    Console().print(table if deliveries.found else "no deliveries")


def told(deliveries: Deliveries) -> list[str]:
    """What became of an event at each sink, a line for each: how many of its phases are how."""
    found: dict[str, Counter[str]] = {}
    for one in deliveries.found:
        state = _state(deliveries, one)
        failed = one.error if one.state != "delivered" else ""
        said = f"{state}: {failed}" if failed else state
        found.setdefault(one.sink, Counter())[said] += 1
    return [
        f"{sink} " + ", ".join(f"{count} {state}" for state, count in states.items())
        for sink, states in found.items()
    ]


def plain(deliveries: Deliveries) -> list[dict[str, Any]]:
    """They as data for JSON."""
    return [_plain(deliveries, one) for one in deliveries.found]


def _with(outbox: OutboxStore, found: Sequence[Delivery]) -> Deliveries:
    ids = [one.id for one in found]
    # What a sink said may hold the address that it was reached at, with its token.
    readable = [replace(one, error=redact_url(one.error)) for one in found]
    return Deliveries(readable, outbox.digests(ids), outbox.holds.of(ids))


def _of_scene(found: Sequence[Delivery], scene: str | None, limit: int) -> Sequence[Delivery]:
    return [one for one in found if scene in (None, one.event.scene)][-limit:]


def _phase(one: Delivery) -> str:
    return one.event.phase.value if one.answer is None else "answered"


def _state(deliveries: Deliveries, one: Delivery) -> str:
    if (hold := deliveries.holds.get(one.id)) is not None:
        until = datetime.fromtimestamp(hold.until_ns // 10**9, UTC).astimezone()
        return f"{one.state} until {until:%Y-%m-%d %H:%M:%S}, {hold.reason}"
    digest = deliveries.digests.get(one.id)
    return f"{one.state}, {digest}" if digest else one.state


def _plain(deliveries: Deliveries, one: Delivery) -> dict[str, Any]:
    hold = deliveries.holds.get(one.id)
    return {
        "delivery": one.id,
        "event": one.event.id,
        "revision": one.event.revision,
        "scene": one.event.scene,
        "phase": _phase(one),
        "sink": one.sink,
        "state": one.state,
        "attempts": one.attempts,
        "error": one.error,
        "digest": deliveries.digests.get(one.id),
        "held_until": format_iso(hold.until_ns) if hold else None,
        "held_for": hold.reason if hold else None,
    }
