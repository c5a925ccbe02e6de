"""Make keys for encrypted links, and say whose are trusted."""

from __future__ import annotations

import json
import re
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.core.clock import NodeClock
from pipeline.core.errors import AuthenticationError
from pipeline.transport.enrolment import Inviter, join
from pipeline.transport.invitation import read_token
from pipeline.transport.key_store import KeyStore, Role, read_public
from pipeline.transport.rotation import rotate

group = typer.Typer(
    help="Make keys for encrypted links, and say whose are trusted.", no_args_is_help=True
)

Folder = Annotated[
    Path, typer.Option("--keys", help="Folder of key files.", metavar="FOLDER", show_default=True)
]
KEYS = Path("keys")
INVITER = {Role.CAPTURE: Role.FUSION, Role.ALERT: Role.FUSION, Role.FUSION: Role.ALERT}
"""Role of the node that a node of a role is invited by: the one it exchanges keys with."""
_ANSWER_S = 20.0
_UNITS_S = {"s": 1, "m": 60, "h": 3600}
_VALID = re.compile(r"(\d{1,4})([smh])")


def _valid_ns(text: str) -> int:
    found = _VALID.fullmatch(text)
    if found is None or not 0 < int(found[1]) * _UNITS_S[found[2]] <= 24 * 3600:
        raise typer.BadParameter("write for example 90s, 15m or 2h, at most 24h")
    return int(found[1]) * _UNITS_S[found[2]] * 1_000_000_000


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
    beside: Annotated[
        bool, typer.Option("--beside", help="Trust the key it had before too, for now.")
    ] = False,
    keys: Folder = KEYS,
) -> None:
    """Trust the other side's public key; a key it had before is replaced."""
    found = read_public(key, node, role)
    KeyStore(keys).enrol(found, beside=beside)
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
def invite(
    name: Annotated[str, typer.Argument(help="Name of the new node, as in the deployment.")],
    role: Annotated[Role, typer.Option(help="What the new node is.")] = Role.CAPTURE,
    valid: Annotated[
        int,
        typer.Option(help="How long: 90s, 15m, 2h.", parser=_valid_ns, metavar="TIME"),
    ] = "15m",  # type: ignore[assignment]
    host: Annotated[
        str, typer.Option(help="This machine, as the new node reaches it; found out if left out.")
    ] = "",
    port: Annotated[int, typer.Option(help="Port to wait on.", min=0, max=65535)] = 7712,
    keys: Folder = KEYS,
) -> None:
    """Print a token by which a new node joins, and wait until it has.

    The node that runs here need not be stopped: it notices.
    """
    store, mine = KeyStore(keys), INVITER[role]
    own = store.own_or_new(mine.value, mine)
    reached = f"tcp://{host or outward_address()}:{port}" if port else ""
    inviter = Inviter(
        store,
        own,
        name,
        role,
        listen_at=f"tcp://*:{port or '*'}",
        reached_at=reached,
        valid_ns=valid,
        clock=NodeClock(),
    )
    try:
        _wait(inviter)
    finally:
        inviter.close()


def _wait(inviter: Inviter) -> None:
    invitation = inviter.invitation
    until = datetime.fromtimestamp(invitation.ends_ns / 1e9, UTC).strftime("%H:%M:%S UTC")
    typer.echo(f"On {invitation.node}, before {until} (Ctrl-C withdraws it):", err=True)
    typer.echo(f"fusewatch keys join {invitation.token}")
    sys.stdout.flush()
    while not inviter.ended:
        joined = inviter.poll(1.0)
        if joined is not None:
            typer.echo(f"joined: {joined.node} ({joined.role.value}) {joined.public}", err=True)
            return
    raise AuthenticationError(
        f"nobody joined in time, {inviter.failed} tries were turned away", where=invitation.node
    )


def outward_address() -> str:
    """Address of this machine as others see it: of the interface that leads out.

    Nothing is sent. Without a way out it is the machine's name.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address that is nobody's, RFC 5737
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()


@group.command(name="join")
def join_(
    token: Annotated[
        str, typer.Argument(help="What 'keys invite' printed; '-': read it from stdin.")
    ],
    keys: Folder = KEYS,
) -> None:
    """Join by a token: make keys here, and exchange the public ones."""
    invitation = read_token(sys.stdin.readline() if token == "-" else token)
    typer.echo(f"asking {invitation.address}, for {_ANSWER_S:g} s at most", err=True)
    pair = join(invitation, KeyStore(keys), clock=NodeClock(), timeout_s=_ANSWER_S)
    server = invitation.server
    typer.echo(f"joined as {pair.node} ({pair.role.value}); trusted here: {server.node}")


@group.command(name="rotate")
def rotate_(
    name: Annotated[str, typer.Argument(help="Name of the node, one of this machine.")],
    at: Annotated[
        str, typer.Option(help="A capture node: address of the fusion node.", metavar="ADDRESS")
    ] = "",
    finish: Annotated[
        bool, typer.Option("--finish", help="Fusion or alert node: from now on the new keys.")
    ] = False,
    keys: Folder = KEYS,
) -> None:
    """Give a node new keys while it runs; the old ones hold until the new ones are used.

    For a fusion or alert node it takes two steps: the first makes the keys, of which the
    running node tells all who are connected; those who were not must enrol the new public
    key. The second, --finish, puts them to use.
    """
    store = KeyStore(keys)
    role = store.role_of(name)
    if role is Role.CAPTURE:
        if not at:
            raise typer.BadParameter("say --at ADDRESS of the fusion node")
        new = rotate(store, name, at, clock=NodeClock(), timeout_s=_ANSWER_S)
    elif finish:
        new = store.promote(name, role)
    else:
        new = store.upcoming(name, role).shared
        typer.echo(f"{name}, if it runs, now tells all who are connected; those who are not:")
        typer.echo(f"fusewatch keys enrol {store.public_file(name, upcoming=True)} --beside")
        typer.echo(
            f"Once 'fusewatch keys list' shows it there: fusewatch keys rotate {name} --finish"
        )
    typer.echo(f"new key of {name}: {new.public}")


@group.command()
def revoke(
    name: Annotated[str, typer.Argument(help="Name of the node.")],
    keys: Folder = KEYS,
) -> None:
    """Trust a node no more; its connection ends within a second."""
    if not KeyStore(keys).revoke(name):
        raise AuthenticationError(f"no key of {name!r} is trusted", where=str(keys))
    typer.echo(f"revoked: {name}")
