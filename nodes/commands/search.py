"""Find the moments of recordings most alike to an event, to a time, or to some words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nodes.commands.replay import scene_of
from nodes.recording_files import recording_files
from nodes.stage_bar import StageBar
from pipeline.config import load_deployment
from pipeline.core.errors import ConfigError, DependencyMissing
from pipeline.core.extras import installing

if TYPE_CHECKING:
    from nodes.search import Answer, Moment, Shelf
    from nodes.search_building import Embedder
    from pipeline.config.deployment import Deployment
    from pipeline.core.event import Event
    from pipeline.models.text_aligned import TextAligned


_ANY_WIDTH = 10_000  # columns of a console


def register(app: typer.Typer) -> None:
    """Add ``search`` to the command line."""
    app.command(name="search")(command)


def command(
    config: Annotated[Path, typer.Argument(help="Deployment file.", metavar="CONFIG")],
    recordings: Annotated[
        list[Path] | None,
        typer.Option("--recording", "-r", help="Recording to search, or folder; repeatable."),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(
            "--like", help="Id of an event, seconds into the first recording, or ISO 8601 time."
        ),
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", help="Words, by an encoder that reads them.")
    ] = None,
    streams: Annotated[
        str | None, typer.Option("--streams", help="Go by these only: cam,mic or cam=2,mic.")
    ] = None,
    scene: Annotated[
        str | None, typer.Option("--scene", help="Which scene, if there are several.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", "-m", help="Model file instead of the deployment's.")
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option("--encoder", help="CLIP or CLAP model for --text; none: the scene's."),
    ] = None,
    events: Annotated[
        Path | None, typer.Option("--events", help="Events, one JSON a line; none: the store.")
    ] = None,
    index: Annotated[
        Path | None, typer.Option("--index", help="One index file; none: beside each recording.")
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="At most so many moments.")] = 10,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the answer as JSON, and nothing else.")
    ] = False,
) -> None:
    """Find the moments of recordings most alike to an event, to a time, or to some words.

    The windows of a recording are put into an index on first use, which takes about as long as
    its replay; after that a search takes seconds.
    """
    from nodes.replay import start_of
    from nodes.search import asked

    if (like is None) == (text is None):
        raise typer.BadParameter("write either --like or --text", param_hint="--like")
    if index is None and not recordings:
        raise typer.BadParameter("name a recording, or an --index", param_hint="--recording")
    deployment = load_deployment(config)
    name = scene_of(deployment, scene)
    meant = None if like is None else _events_of(deployment, like, events)
    folder = encoder or deployment.scenes[name].text_encoder
    reader = None if text is None else _reader(folder)
    embedder = _embedder(deployment, name, model, reader)
    files = recording_files(recordings or ())
    shelf = _shelf(embedder, files, index)
    weights = _weights(streams, shelf.streams)
    if reader is not None and text is not None:
        every = dict.fromkeys(shelf.streams, 1.0)
        answer = shelf.meaning(text, reader.of_text(text), weights or every, top)
    else:
        origin_ns = start_of(files[:1]) if files else shelf.origin_ns
        answer = shelf.like(asked(like or "", origin_ns, meant), weights, top)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(answer), indent=2))
    else:
        tell(Console(), answer)


def _events_of(deployment: Deployment, like: str, file: Path | None) -> list[Event] | None:
    """The phases of the event that ``--like`` names; None when it is a time."""
    from nodes.search import is_time, phases_of

    if is_time(like):
        return None
    if not re.fullmatch(r"[0-9a-f]{4,20}", like):
        what = f"{like!r} is no id of an event, no number of seconds and no ISO 8601 time"
        raise typer.BadParameter(what, param_hint="--like")
    return phases_of(deployment, like, file)


def _reader(folder: Path | None) -> TextAligned:
    """The encoder that reads words.

    Raises:
        ConfigError: None was named.
        DependencyMissing: The library that it needs is not installed.
    """
    if folder is None:
        raise ConfigError(
            "a scene's own model does not read words",
            where="--text",
            fix="give --encoder FOLDER with a CLIP model (pictures) or a CLAP model (sound), set "
            "the scene's text_encoder, or search by --like",
        )
    try:
        from pipeline.models.text_aligned import TextAligned
    except ModuleNotFoundError as error:
        raise DependencyMissing(
            f"--text needs the Python package {error.name!r}", fix=installing("hf")
        ) from error
    return TextAligned(folder)


def _embedder(
    deployment: Deployment, scene: str, model: Path | None, reader: TextAligned | None
) -> Embedder:
    if reader is not None:
        from nodes.search_by_text import ByEncoder

        return ByEncoder(deployment, scene, reader)
    from nodes.search_building import ByModel

    file = model or deployment.scenes[scene].model
    if file is None:
        fix = "give --model, or run fusewatch commission"
        raise ConfigError("has no model to search with", where=f"scene {scene}", fix=fix)
    return ByModel(deployment, scene, file)


def _shelf(embedder: Embedder, recordings: list[Path], index: Path | None) -> Shelf:
    from nodes.search import Shelf
    from nodes.search_building import indexes_of

    with StageBar(Console(stderr=True)) as bar:
        return Shelf(indexes_of(embedder, recordings, index, bar.tell))


def _weights(text: str | None, known: list[str]) -> dict[str, float] | None:
    """What ``--streams`` says: names, each with ``=WEIGHT`` or not."""
    if text is None:
        return None
    weights: dict[str, float] = {}
    for item in text.split(","):
        name, _, weight = item.strip().partition("=")
        if name not in known:
            what = f"no stream {name!r} in the index; there are {', '.join(known)}"
            raise typer.BadParameter(what, param_hint="--streams")
        if not re.fullmatch(r"\d+(\.\d+)?", weight or "1") or not float(weight or 1):
            what = f"the weight of {name} is {weight!r}, not a number above 0"
            raise typer.BadParameter(what, param_hint="--streams")
        weights[name] = float(weight or 1)
    return weights


def tell(console: Console, answer: Answer) -> None:
    """Print what was looked for and what was found."""
    if answer.like is None:
        console.print(f"like {answer.text!r}", highlight=False, markup=False)
    else:
        console.print(f"like {_words(answer.like)}", highlight=False)
    streams = list(dict.fromkeys(name for m in answer.moments for name in m.streams))
    files = list(dict.fromkeys(moment.recording for moment in answer.moments))
    table = _table(answer, dict.fromkeys(files), dict.fromkeys(streams))
    unbound = console.options.update(max_width=_ANY_WIDTH)
    if console.measure(table, options=unbound).maximum > console.width:
        short_files = {name: f"r{n}" for n, name in enumerate(files, start=1)}
        short_streams = {name: str(n) for n, name in enumerate(streams, start=1)}
        table = _table(answer, short_files, short_streams)
        legend = [", ".join(f"{short} {name}" for name, short in short_streams.items())]
        legend += [f"{short} {name}" for name, short in short_files.items() if len(files) > 1]
        table.caption = "\n".join([*map(escape, legend), str(table.caption)])
    console.print(table)


def _table(
    answer: Answer, files: Mapping[str, str | None], streams: Mapping[str, str | None]
) -> Table:
    """The moments, a row each; recordings and streams by their short names where they have some."""
    several = len(files) > 1
    rare = any(moment.p is not None for moment in answer.moments)  # words know nothing of it
    heads = [escape(short or name) for name, short in streams.items()]
    table = Table(caption=f"{answer.windows} windows compared")
    table.add_column("at", no_wrap=True)
    if several:
        table.add_column("in" if all(files.values()) else "recording", no_wrap=True)
    for name in ("second", "alike", *heads, *(["p"] if rare else [])):
        table.add_column(name, no_wrap=True, justify="right")
    for moment in answer.moments:
        file = [escape(files[moment.recording] or moment.recording)] if several else []
        table.add_row(*_row(moment, file, list(streams), rare))
    return table


def _words(moment: Moment) -> str:
    rare = "" if moment.p is None else f", p {moment.p:.1e}"
    return escape(f"{moment.start}, second {moment.seconds:.1f} of {moment.recording}{rare}")


def _row(moment: Moment, file: list[str], streams: list[str], rare: bool) -> list[str]:
    alike = (moment.streams.get(name) for name in streams)
    p = "" if moment.p is None else f"{moment.p:.1e}"
    return [
        moment.start[5:19].replace("T", " "),  # month to second; --json tells all
        *file,
        f"{moment.seconds:.1f}",
        f"{moment.similarity:.2f}",
        *("" if value is None else f"{value:.2f}" for value in alike),
        *([p] if rare else []),
    ]
