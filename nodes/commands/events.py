"""List events, show one, forget some, or retry deliveries that were moved aside."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nodes.alarm_rates import SceneRates, committed_rates
from nodes.event_lines import ID, local_time, print_events
from nodes.forgetting import Chosen, choose, forget_events
from nodes.places import fusion_store
from pipeline.config import load_deployment
from pipeline.core.errors import ConfigError, StoreError
from pipeline.core.event import Event
from pipeline.store import Delivery, FusionStore, OutboxStore

group = typer.Typer(
    help="List events, show one, forget some, or retry deliveries that were moved aside.",
    no_args_is_help=True,
)
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

Config = Annotated[
    Path, typer.Argument(help="Deployment file, or its data folder.", metavar="CONFIG")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add ``events`` to the command line."""
    app.add_typer(group, name="events")


@group.command("list")
def list_(
    config: Config,
    scene: Annotated[str | None, typer.Option(help="Only of this scene.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only since then: 30m, 2h, 7d or an ISO 8601 time.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most the newest so many.")] = 50,
    dead: Annotated[
        bool, typer.Option("--dead", help="Deliveries that were moved aside instead.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the newest events, or the deliveries that sinks rejected."""
    data = data_folder(config)
    if dead:
        with closing(OutboxStore(data / "alert.db", create=False)) as outbox:
            found = [d for d in outbox.dead_letters() if scene in (None, d.event.scene)][-limit:]
            digests = outbox.digests([d.id for d in found])
        _print_letters(found, digests, as_json)
        return
    since_ns = None if since is None else since_as_ns(since, time.time_ns())
    with closing(_store(config)) as store:
        events = store.events(scene, since_ns, limit)
    if as_json:
        _print_json(events)
    else:
        print_events(events)


@group.command()
def rate(
    config: Annotated[Path, typer.Argument(help="Deployment file.", metavar="CONFIG")],
    scene: Annotated[str | None, typer.Option(help="Only of this scene.")] = None,
    as_json: AsJson = False,
) -> None:
    """Alarms raised in the last hour, day and week, beside each scene's budget.

    Every alarm counts, false or not. Periods end with the last window that was scored.
    """
    deployment = load_deployment(config)
    names = [name for name, settings in deployment.scenes.items() if settings.model is not None]
    if scene is not None and scene not in names:
        raise ConfigError(
            f"no scene {scene!r} with a model",
            where=deployment.name,
            fix=f"--scene {'|'.join(names)}",
        )
    found = committed_rates(deployment, names if scene is None else [scene])
    if as_json:
        _print_json([asdict(one) for one in found])
    else:
        _print_rates(found)


@group.command()
def show(
    config: Config,
    event: Annotated[str, typer.Argument(help="Id of the event, or how it begins.")],
    as_json: AsJson = False,
) -> None:
    """Show every phase of an event and where each went."""
    data = data_folder(config)
    with closing(_store(config)) as store:
        phases = store.phases(event)
    _require_one(phases, event, data)
    deliveries, digests = _deliveries(data, phases[0].id)
    if as_json:
        plain = [_plain(d, digests) for d in deliveries]
        _print_json({"phases": phases, "deliveries": plain})
        return
    console = Console()
    for phase in phases:
        console.print(
            f"[bold]{phase.phase.value}[/bold] revision {phase.revision}", highlight=False
        )
        console.print_json(data=msgspec.to_builtins(phase))
    _print_letters(deliveries, digests, as_json=False)


@group.command()
def retry(
    config: Config,
    deliveries: Annotated[
        list[int] | None, typer.Argument(help="Numbers from 'events list --dead'.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Deliver again what was moved aside; a running alert node takes it up at once."""
    if bool(deliveries) == everything:
        raise typer.BadParameter("name deliveries by number, or --all")
    with closing(OutboxStore(data_folder(config) / "alert.db", create=False)) as outbox:
        count = outbox.revive(None if everything else deliveries)
    if as_json:
        _print_json({"revived": count})
    else:
        asked = len(set(deliveries or ())) or count
        typer.echo(f"{count} of {asked} will be tried again")
        if count < asked:
            typer.echo("the others are not set aside; see 'events list --dead'")


@group.command()
def forget(
    config: Config,
    event: Annotated[str | None, typer.Argument(help="Id of the event, or how it begins.")] = None,
    scene: Annotated[str | None, typer.Option(help="With --before: of this scene.")] = None,
    before: Annotated[
        str | None, typer.Option(help="All that ended earlier: 30d (ago) or an ISO 8601 time.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove events for good: rows, deliveries, pictures, clips, sound. Nodes may run meanwhile.

    What sinks were given already cannot be recalled, and recordings stay; both are named.
    """
    if (event is None) == (before is None) or (scene is None) != (before is None):
        raise typer.BadParameter("name one event, or write --scene and --before")
    data, now_ns = data_folder(config), time.time_ns()
    before_ns = None if before is None else since_as_ns(before, now_ns)
    with closing(_store(config)) as store:
        chosen = choose(store, now_ns, event=event, scene=scene, before_ns=before_ns)
        _print_chosen(chosen)
        if not chosen.events:
            return
        if not yes:
            typer.confirm(f"Forget {len(chosen.events)} for good?", abort=True)
        done = forget_events(data, store, chosen.events, now_ns)
    for line in done.told():
        typer.echo(line)


def data_folder(config: Path) -> Path:
    """The data folder that an argument means: itself, or the one its deployment names."""
    return config if config.is_dir() else load_deployment(config).data


def _store(config: Path) -> FusionStore:
    """The fusion node's store, wherever the deployment keeps it."""
    if config.is_dir():
        return FusionStore(config / "fusion.db", create=False)
    return fusion_store(load_deployment(config), create=False)


def since_as_ns(text: str, now_ns: int) -> int:
    """A time from an age such as ``2h``, or from ISO 8601 text (local without a zone).

    Raises:
        typer.BadParameter: It is neither.
    """
    if found := re.fullmatch(r"(\d+)([smhdw])", text.strip()):
        return now_ns - int(found[1]) * UNITS_S[found[2]] * 10**9
    try:
        return int(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1e9)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is neither like 2h nor an ISO 8601 time") from error


def _require_one(phases: list[Event], event: str, data: Path) -> None:
    ids = sorted({phase.id for phase in phases})
    if not ids:
        raise StoreError(f"no event begins with {event!r}", where=str(data / "fusion.db"))
    if len(ids) > 1:
        raise StoreError(
            f"{len(ids)} events begin with {event!r}", fix=f"write more of it: {', '.join(ids[:5])}"
        )


def _deliveries(data: Path, event_id: str) -> tuple[list[Delivery], Mapping[int, str]]:
    """Deliveries of an event, and the digests that some of them were told in."""
    if not (data / "alert.db").exists():
        return [], {}
    with closing(OutboxStore(data / "alert.db", create=False)) as outbox:
        found = outbox.deliveries(event_id)
        return found, outbox.digests([d.id for d in found])


def _print_chosen(chosen: Chosen) -> None:
    for still in chosen.kept:
        typer.echo(f"stays: {still.id} of {still.scene}, which is open or only just cleared")
    for one in chosen.events:
        typer.echo(f"{one.id} of {one.scene}, ended {local_time(one.end_ns)}")
    if not chosen.events:
        typer.echo("no event to forget")


def _print_rates(found: list[SceneRates]) -> None:
    table = Table("scene", "budget", "last", "watched", "raised", "allowed", "ratio", box=None)
    for one in found:
        for rate in one.rates:
            sure = f"{rate.ratio:.2f} ({rate.low:.2f} to {rate.high:.2f})"
            table.add_row(
                one.scene,
                one.budget,
                rate.period,
                f"{rate.watched_s / 3600:.1f} h",
                str(rate.raised),
                f"{rate.budgeted:.2f}",
                sure if rate.budgeted else "-",
            )
    Console().print(table if found else "no scene has a model")


def _print_letters(letters: list[Delivery], digests: Mapping[int, str], as_json: bool) -> None:
    if as_json:
        _print_json([_plain(letter, digests) for letter in letters])
        return
    table = Table("delivery", "event", "phase", "sink", "state", "tries", "last error", box=None)
    for letter in letters:
        table.add_row(
            str(letter.id),
            letter.event.id[:ID],
            letter.event.phase.value,
            letter.sink,
            f"{letter.state}, {digests[letter.id]}" if letter.id in digests else letter.state,
            str(letter.attempts),
            escape(letter.error),
        )
    Console().print(table if letters else "no deliveries")


def _plain(delivery: Delivery, digests: Mapping[int, str]) -> dict[str, Any]:
    return {
        "delivery": delivery.id,
        "event": delivery.event.id,
        "revision": delivery.event.revision,
        "scene": delivery.event.scene,
        "phase": delivery.event.phase,
        "sink": delivery.sink,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "error": delivery.error,
        "digest": digests.get(delivery.id),
    }


def _print_json(value: object) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2))
