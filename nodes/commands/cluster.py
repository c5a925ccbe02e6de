"""Fuse scenes on the machines of a Ray cluster: up, status, move, upgrade, down."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from nodes.cluster.directory import DirectoryNode
from nodes.cluster.keeper import for_ever
from nodes.cluster.operating import Operator, placer_is_there, statuses
from nodes.cluster.placer_node import PlacerNode
from nodes.cluster.ray_cluster import require_ray
from nodes.cluster.showing import groups_table
from nodes.logs import configure_logs
from nodes.places import answer_store, fusion_store
from nodes.runner import RunOptions, node_clock, run_node
from nodes.supervisor import CAPTURE, FUSION, Child, Supervisor, fusewatch_command
from pipeline.config import Loaded, load, require_models
from pipeline.config.groups import groups_of
from pipeline.core.errors import ConfigError
from pipeline.store import FusionStore

group = typer.Typer(
    help="Fuse scenes on the machines of a Ray cluster.\n\n"
    "Every machine needs fusewatch, the deployment file, its models and its keys at the same "
    "paths; they are not sent. Evidence goes to 'engine.evidence', on storage that all share; "
    "without it, as recordings do, it stays with the machine that made it, in data/groups. Capture "
    "nodes and the alert node are started where they belong, by 'fusewatch capture' and 'alert'.",
    no_args_is_help=True,
)

Config = Annotated[Path, typer.Argument(help="Deployment file.", metavar="CONFIG")]
Patience = Annotated[float, typer.Option("--timeout", help="Longest wait, seconds.")]


def register(app: typer.Typer) -> None:
    """Add ``cluster`` to the command line."""
    app.add_typer(group, name="cluster")


@group.command()
def up(
    config: Config,
    directory: Annotated[
        bool, typer.Option(help="Run a directory here as well, the first of the deployment.")
    ] = True,
) -> None:
    """Place the workers and keep them placed, until stopped; they go on without it."""
    loaded = _load(config)
    require_models(loaded.deployment, config)
    require_ray()  # or the placer would fail and be started again for ever
    with _opened(loaded) as store:
        Operator(loaded.deployment, store).forget_down()
    answer_store(loaded.deployment).close()  # its tables are there before anybody reads them
    path = str(config.resolve())
    children = [Child("placer", fusewatch_command("cluster", "placer", path), CAPTURE)]
    if directory:
        children.append(Child("directory", fusewatch_command("cluster", "directory", path), FUSION))
    raise typer.Exit(Supervisor(children, policy=for_ever).run())


@group.command()
def status(
    config: Config,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Show where each group is fused and who owns its scenes. Exit code 69 when one is not.

    The owner is the one process that may write, as its token is the newest.
    """
    loaded = _load(config)
    with _opened(loaded) as store:
        found = list(statuses(loaded.deployment, store))
        placed = placer_is_there(store)
    if as_json:
        typer.echo(json.dumps({"placer": placed, "groups": [asdict(one) for one in found]}))
    else:
        Console().print(groups_table(found))
        if not placed:
            typer.echo("No placer works: nothing is moved or started again ('cluster up').")
    well = placed and all(one.state == "serving" for one in found)
    raise typer.Exit(0 if well else 69)


@group.command()
def move(
    config: Config,
    name: Annotated[str, typer.Argument(help="Group of scenes.", metavar="GROUP")],
    machine: Annotated[str, typer.Argument(help="Address of the machine, see 'status'.")],
    timeout: Patience = 120.0,
) -> None:
    """Move a group to a machine: its worker drains and commits, the next one goes on."""
    loaded = _load(config)
    with _opened(loaded) as store:
        Operator(loaded.deployment, store).move(name, machine, timeout)
    typer.echo(f"{name} is fused on {machine}")


@group.command()
def upgrade(
    config: Config,
    names: Annotated[
        list[str] | None, typer.Argument(help="Groups; none: all.", metavar="[GROUP]...")
    ] = None,
    timeout: Patience = 120.0,
) -> None:
    """Start workers anew, one after the other, with the code, file and models that are there now.

    Nothing is lost: each drains and commits, capture nodes keep what is not committed. When one
    does not come back in time the rest stay as they are.
    """
    loaded = _load(config)
    require_models(loaded.deployment, config)
    with _opened(loaded) as store:
        operator = Operator(loaded.deployment, store)
        for one in operator.upgrade(names or list(groups_of(loaded.deployment)), timeout):
            typer.echo(f"{one.group} is fused again at {one.address}")


@group.command()
def down(config: Config, timeout: Patience = 120.0) -> None:
    """Let all workers drain and end; what capture nodes have stays with them."""
    loaded = _load(config)
    with _opened(loaded) as store:
        operator = Operator(loaded.deployment, store)
        operator.ask_down()
        there = placer_is_there(store)
        if there:
            operator.down(timeout)
    if not there:
        _run_placer(loaded)


@group.command(hidden=True)
def placer(config: Config) -> None:
    """Run the placer alone; 'up' does."""
    _run_placer(_load(config))


@group.command()
def directory(
    config: Config,
    address: Annotated[
        str | None, typer.Option(help="Which of the deployment's directories; none: the first.")
    ] = None,
) -> None:
    """Run a directory: it tells capture nodes where their worker is. 'up' runs the first."""
    loaded = _load(config)
    node = DirectoryNode(loaded.deployment, node_clock(), address)
    configure_logs(node.name, secrets=loaded.secrets)
    raise typer.Exit(run_node(node, RunOptions(loaded.deployment.data)))


def _run_placer(loaded: Loaded) -> None:
    node = PlacerNode(loaded.deployment, loaded.path)
    configure_logs(node.name, secrets=loaded.secrets)
    raise typer.Exit(run_node(node, RunOptions(loaded.deployment.data)))


def _load(config: Path) -> Loaded:
    loaded = load(config)
    if not loaded.deployment.engine.is_ray:
        raise ConfigError(
            "this deployment has no cluster",
            where=str(config),
            fix="write 'engine: {kind: ray, directory: [tcp://HOST:7712]}', or 'fusewatch run'",
        )
    return loaded


@contextmanager
def _opened(loaded: Loaded) -> Iterator[FusionStore]:
    with closing(fusion_store(loaded.deployment)) as store:
        yield store
