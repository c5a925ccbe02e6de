"""List events, show one, forget some, or retry deliveries that were moved aside."""

from __future__ import annotations

import re
import time
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from nodes.alarm_rates import SceneRates, committed_rates
from nodes.commands import _deliveries, _event_files, _event_shown
from nodes.commands._event_files import answers_of, data_folder, evidence_of, open_store
from nodes.event_lines import local_time, print_events
from nodes.forgetting import Chosen, choose, forget_events
from pipeline.config import load_deployment
from pipeline.core.errors import ConfigError
from pipeline.store import OutboxStore

group = typer.Typer(
    help="List events, show one, forget some, or retry deliveries that were moved aside.",
    no_args_is_help=True,
)
_event_files.add_to(group)
_event_shown.add_to(group)
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
    held: Annotated[
        bool, typer.Option("--held", help="Deliveries that wait for their time instead.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the newest events, or the deliveries that sinks rejected or that are held for later."""
    if dead or held:
        listed = _deliveries.dead if dead else _deliveries.held
        found = listed(data_folder(config), scene, limit)
        if as_json:
            _print_json(_deliveries.plain(found))
        else:
            _deliveries.shown(found)
        return
    since_ns = None if since is None else since_as_ns(since, time.time_ns())
    with closing(open_store(config)) as store:
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

    Every alarm counts but those that somebody said were real. Periods end with the last window
    that was scored.
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
    with closing(open_store(config)) as store:
        chosen = choose(store, now_ns, event=event, scene=scene, before_ns=before_ns)
        _print_chosen(chosen)
        if not chosen.events:
            return
        if not yes:
            typer.confirm(f"Forget {len(chosen.events)} for good?", abort=True)
        with answers_of(config) as answers:
            events, evidence = chosen.events, evidence_of(config)
            done = forget_events(data, store, answers, evidence, events, now_ns)
    for line in done.told():
        typer.echo(line)


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
    console = Console()
    console.print(table if found else "no scene has a model")
    for one in found:
        real = f"; {one.spent.real} more were real" if one.spent.real else ""
        console.print(f"{one.scene}: {one.spent.words}{real}", highlight=False)


def _print_json(value: object) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2))
