"""Make keys for encrypted links, and say whose are trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.core.errors import AuthenticationError
from pipeline.transport.key_store import KeyStore, Role, read_public

group = typer.Typer(
    help="Make keys for encrypted links, and say whose are trusted.", no_args_is_help=True
)

Folder = Annotated[
    Path, typer.Option("--keys", help="Folder of key files.", metavar="FOLDER", show_default=True)
]
KEYS = Path("keys")


def register(app: typer.Typer) -> None:
    """Add ``keys`` to the command line."""
    app.add_typer(group, name="keys")


@group.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the node, as in the deployment.")],
    role: Annotated[Role, typer.Option(help="What the node is.")],
    keys: Folder = KEYS,
) -> None:
    """Make a key pair on the machine that will use it."""
    KeyStore(keys).create(name, role)
    typer.echo(f"secret key: {keys / name}.secret.json (stays here)")
    typer.echo(f"public key: {keys / name}.public.json (enrol it on the other side)")


@group.command()
def enrol(
    key: Annotated[str, typer.Argument(help="A .public.json file, or the bare key.")],
    node: Annotated[str, typer.Option(help="Whose key it is; taken from the file.")] = "",
    role: Annotated[Role | None, typer.Option(help="What it is; taken from the file.")] = None,
    keys: Folder = KEYS,
) -> None:
    """Trust the other side's public key; a key it had before is replaced."""
    found = read_public(key, node, role)
    KeyStore(keys).enrol(found)
    typer.echo(f"trusted: {found.node} ({found.role.value})")


@group.command(name="list")
def list_(
    keys: Folder = KEYS,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List the keys that are trusted."""
    trusted = sorted(KeyStore(keys).trusted(), key=lambda key: (key.role, key.node))
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(trusted), indent=2))
        return
    table = Table("node", "role", "public key")
    for key in trusted:
        table.add_row(key.node, key.role.value, Text(key.public))
    Console().print(table if trusted else f"no key is trusted in {keys}", markup=False)


@group.command()
def revoke(
    name: Annotated[str, typer.Argument(help="Name of the node.")],
    keys: Folder = KEYS,
) -> None:
    """Trust a node no more; running nodes notice within a second."""
    if not KeyStore(keys).revoke(name):
        raise AuthenticationError(f"no key of {name!r} is trusted", where=str(keys))
    typer.echo(f"revoked: {name}")
