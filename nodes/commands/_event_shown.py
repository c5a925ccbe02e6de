"""Show one event: as text for a person, or as it is stored."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from nodes.answer_handover import told_answer
from nodes.commands import _deliveries
from nodes.commands._event_files import answers_of, data_folder, evidence_of, open_store
from nodes.event_choice import one_event
from nodes.event_text import EventTold, event_text
from nodes.places import answer_store, has_answers
from nodes.withholding import Withholding
from pipeline.config import load_deployment
from pipeline.core.errors import FusewatchError
from pipeline.core.event import Event
from pipeline.detection.full_frames import PicturesNote, read_note
from pipeline.store import FusionStore

Config = Annotated[
    Path, typer.Argument(help="Deployment file, or its data folder.", metavar="CONFIG")
]


def add_to(group: typer.Typer) -> None:
    """Add the command to ``events``."""
    group.command("show")(show)


def show(
    config: Config,
    event: Annotated[str, typer.Argument(help="Id of the event, or how it begins.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: every phase as it is stored.")
    ] = False,
) -> None:
    """Show an event: what, where, when, why, and what became of it.

    The threshold beside its score is of the model and the budget that there are now.
    """
    data = data_folder(config)
    with closing(open_store(config)) as store:
        phases = one_event(store, event)
        withheld = _withheld(config, store, phases)
    deliveries = _deliveries.of_event(data, phases[0].id)
    note = read_note(evidence_of(config) / phases[0].id)
    if as_json:
        plain = _deliveries.plain(deliveries)
        shown = {"phases": phases, "deliveries": plain, "pictures": note, "withheld": withheld}
        typer.echo(msgspec.json.format(msgspec.json.encode(shown, order="sorted"), indent=2))
    else:
        _print(_told(config, phases, withheld, deliveries, note))


def _print(told: EventTold) -> None:
    console = Console()
    for line in event_text(told, console.width):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _told(
    config: Path,
    phases: Sequence[Event],
    withheld: str,
    deliveries: _deliveries.Deliveries,
    note: PicturesNote | None,
) -> EventTold:
    last = phases[-1]
    with answers_of(config) as store:
        answers = store.of([last.id]).get(last.id, []) if store is not None else []
    return EventTold(
        phases,
        "" if last.health else _threshold(config, last),
        withheld,
        _deliveries.told(deliveries),
        [told_answer(one) for one in answers],
        evidence_of(config),
        note.note if note is not None else "",
    )


def _threshold(config: Path, event: Event) -> str:
    """The score from which on the alarm counts now, or why nobody can tell."""
    unknown = "its threshold is not known here"
    if config.is_dir():
        return f"{unknown} (name the deployment file)"
    deployment = load_deployment(config)
    scene = deployment.scenes.get(event.scene)
    if scene is None or scene.model is None:
        return f"{unknown} (no scene {event.scene!r} with a model)"
    try:
        from nodes.assembly import budget_now  # torch, of which a machine may have none

        budget = budget_now(deployment, event.scene, scene.model, event.widened)
    except (FusewatchError, ModuleNotFoundError) as error:
        return f"{unknown} ({error})"
    return f"counted from {budget.threshold:.2f} on (by the budget, {scene.alarm.budget})"


def _withheld(config: Path, store: FusionStore, phases: Sequence[Event]) -> str:
    """Why an event was not sent to any sink; empty when it was, or nobody can tell."""
    held = store.held.of([phases[0].id])
    if held:
        return held[phases[0].id].words
    if config.is_dir():
        return ""  # how long an answer holds stands in the deployment file
    deployment = load_deployment(config)
    if not has_answers(deployment):
        return ""
    with closing(answer_store(deployment, create=False)) as answers:
        return Withholding(store, answers, deployment.feedback).fate(phases).withheld
