"""Answer events, see what an answer would change, list answers, take one back, export them."""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nodes.commands.replay import scene_of
from nodes.event_choice import one_event
from nodes.event_lines import ID, local_time
from nodes.exemptions import holds_until
from nodes.places import answer_store, fusion_store
from pipeline.config import load_deployment
from pipeline.config.deployment import Deployment
from pipeline.core.clock import NodeClock
from pipeline.store import Action, Answer, Verdict

if TYPE_CHECKING:
    from nodes.dashboard.answer_views import EffectView
    from nodes.dashboard.event_views import EventRow
    from nodes.dashboard.records import Records

group = typer.Typer(
    help="""Answer events, see what an answer would change, and learn from the answers.

    An event is real, normal here, or the fault of a sensor. 'preview' says which alarms of the
    last week an answer would have held back, 'answer' gives it, 'list' shows all and 'undo' takes
    one back. 'export' writes them as labels: with these 'fusewatch evaluate' tells what is found
    and missed in the site's own recordings, and 'fusewatch train' teaches the network what is real.
    'fusewatch commission --answers' learns from those recordings what is normal.
    """,
    no_args_is_help=True,
)

Config = Annotated[Path, typer.Argument(help="Deployment file.", metavar="CONFIG")]
EventId = Annotated[str, typer.Argument(help="Id of the event, or how it begins.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add ``feedback`` to the command line."""
    app.add_typer(group, name="feedback")


@group.command()
def answer(
    config: Config,
    event: EventId,
    verdict: Annotated[Verdict | None, typer.Argument(help="What it was.")] = None,
    snooze: Annotated[
        int | None,
        typer.Option(min=1, max=7 * 24 * 60, help="Tell nothing of its scene for these minutes."),
    ] = None,
    note: Annotated[str, typer.Option(help="Words to keep with it.")] = "",
) -> None:
    """Say what an event was; without a verdict: that it was seen. As the page's buttons do."""
    from nodes.dashboard.views import AnswerGiven

    if verdict is not None and snooze is not None:
        raise typer.BadParameter("give a verdict or --snooze, not both", param_hint="--snooze")
    action = Action.VERDICT if verdict else Action.SNOOZE if snooze else Action.SEEN
    given = AnswerGiven(action=action, value=verdict, minutes=snooze, note=note)
    deployment = load_deployment(config)
    with _records(deployment) as records:
        kept = records.answer(_event(deployment, event), given, getpass.getuser())
    if kept is None:  # it was forgotten meanwhile
        raise typer.BadParameter("there is no such event any more", param_hint="EVENT")
    said = f"{_said(kept)} to event {kept.event} of {kept.scene}"
    typer.echo(f"answer {kept.position}: {said}")
    if verdict is Verdict.NORMAL:
        end = _end(kept, deployment) or " until it is taken back"
        typer.echo(f"what is like it and no worse is not sent{end}")
    if verdict is Verdict.FAULT:
        typer.echo("how the sensors are: fusewatch top, or Health on the page")


@group.command()
def preview(
    config: Config,
    event: EventId,
    verdict: Annotated[Verdict, typer.Argument(help="What would be said.")] = Verdict.NORMAL,
    days: Annotated[int, typer.Option(min=1, max=366, help="How far to look back.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Show which alarms an answer would have lost or gained, before it is given."""
    deployment = load_deployment(config)
    with _records(deployment) as records:
        effect = records.effect(_event(deployment, event), verdict, days)
    if effect is None:
        raise typer.BadParameter("there is no such event any more", param_hint="EVENT")
    if as_json:
        typer.echo(effect.model_dump_json(indent=2))
    else:
        _print_effect(Console(), effect)


@group.command("list")
def list_(
    config: Config,
    scene: Annotated[str | None, typer.Option(help="Only of this scene.")] = None,
    as_json: AsJson = False,
) -> None:
    """List all answers, also those taken back, with their numbers."""
    deployment = load_deployment(config)
    with closing(answer_store(deployment, create=False)) as store:
        answers = store.all(scene)
    console = Console()
    if as_json:
        console.print_json(data=[asdict(answer) for answer in answers])
        return
    for one in answers:
        said = f"{_said(one)}{_end(one, deployment)}"
        about = (
            f"{one.position:>4}  {local_time(one.at_ns)}  {one.event[:ID]}  {one.scene}  {one.who}"
        )
        console.print(f"{about}: {said}", markup=False, highlight=False, soft_wrap=True)
        if one.note:
            console.print(f"      {one.note}", markup=False, highlight=False, soft_wrap=True)
    if not answers:
        console.print("no answers")


@group.command()
def undo(
    config: Config,
    number: Annotated[int, typer.Argument(help="Number of the answer, see 'list'.")],
) -> None:
    """Take an answer back: what it did ends with the next event."""
    with closing(answer_store(load_deployment(config), create=False)) as store:
        answer = store.withdraw(number, getpass.getuser(), time.time_ns())
    told = f"taken back: {_said(answer)} to event {answer.event} of {answer.scene}"
    Console().print(escape(told))


@group.command()
def export(
    config: Config,
    output: Annotated[Path, typer.Option("--output", "-o", help="Labels file, JSON.")],
    scene: Annotated[
        str | None, typer.Option("--scene", help="Which scene, if there are several.")
    ] = None,
) -> None:
    """Write what was answered as labels, for evaluate and for the fine-tuning of train.

    Real events and faults are labels; normal ones say that nothing was wrong. Give the file to
    'fusewatch evaluate --labels' with the recordings of that time: what was missed that nobody
    answered is not in it. 'fusewatch train --labels' with '--labelled RECORDING' learns from it.
    """
    from nodes.answer_labels import export_labels
    from nodes.exemptions import worst

    deployment = load_deployment(config)
    name = scene_of(deployment, scene)
    with (
        closing(fusion_store(deployment, create=False)) as events,
        closing(answer_store(deployment, create=False)) as answers,
    ):
        found = [worst(events.life(one.id)) or one for one in events.events(name)]
        exported = export_labels(found, answers.standing())
    exported.write(output)
    told = ", ".join(f"{count} {verdict.value}" for verdict, count in exported.counts.items())
    typer.echo(f"{output}: {told}")
    if exported.unanswered:
        count = exported.unanswered
        typer.echo(f"without a verdict, so that evaluate takes them for false alarms: {count}")
    if exported.equipment:
        typer.echo(
            f"left out, as they are no labels of the scene: {exported.equipment} of the equipment"
        )


@contextmanager
def _records(deployment: Deployment) -> Iterator[Records]:
    from nodes.dashboard.records import Records

    with closing(Records(deployment, NodeClock())) as records:
        yield records


def _event(deployment: Deployment, begins: str) -> str:
    """Id of the one event whose id begins so."""
    with closing(fusion_store(deployment, create=False)) as store:
        return one_event(store, begins)[0].id


def _said(answer: Answer) -> str:
    if answer.action is Action.SNOOZE:
        return f"snoozed until {local_time(int(answer.value))}"
    return answer.value or answer.action.value


def _end(answer: Answer, deployment: Deployment) -> str:
    """How long an answer holds that holds events back, or who took it back."""
    if answer.withdrawn_ns:
        return f" (taken back by {answer.withdrawn_by})"
    until_ns = holds_until(answer.at_ns, deployment.feedback)
    if answer.value != Verdict.NORMAL or until_ns is None:
        return ""
    return f" until {local_time(until_ns)}"


def _print_effect(console: Console, effect: EffectView) -> None:
    lost, gained = effect.lost, effect.gained
    console.print(
        f"other alarms that its scene sent in {effect.days} days: {effect.of}; "
        f"of these {len(lost)} would not have been sent",
        highlight=False,
    )
    _print_rows(console, lost)
    if gained:
        console.print(f"{len(gained)} that were held back would have been sent", highlight=False)
        _print_rows(console, gained)
    else:
        console.print("none would have been added: an answer finds nothing new")


def _print_rows(console: Console, rows: list[EventRow]) -> None:
    table = Table("event", "when", "severity", "what", box=None)
    for row in rows:
        when = local_time(row.start_ms * 1_000_000)
        table.add_row(row.id[:ID], when, row.severity, escape(row.summary))
    if rows:
        console.print(table)
