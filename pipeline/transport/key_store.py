"""Keys and who is trusted, as plain files in one folder.

::

    NAME.secret.json    key pair of this node; readable by its owner only, never leaves it
    NAME.public.json    public key to be handed to the other side, who enrols it
    allowed.json        public keys that are trusted here, each bound to a node and a role

A key pair is made on the machine that uses it. ``enrol`` puts the other side's public key
into this side's ``allowed.json``: the fusion node enrols its capture nodes, a capture node
enrols the fusion node. Revoking takes it out again; running receivers notice by themselves.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import msgspec
import zmq

from pipeline.core.errors import AuthenticationError

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_KEY = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_T = TypeVar("_T")
ALLOWED = "allowed.json"


class Role(StrEnum):
    """What a node is; a key is good for one role."""

    CAPTURE = "capture"
    FUSION = "fusion"
    ALERT = "alert"


class PublicKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A public key and whom it belongs to.

    Attributes:
        node: Name of the node.
        role: What the node is.
        public: The key, Z85.
    """

    node: str
    role: Role
    public: str


class KeyPair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node's own keys; the secret is kept out of its repr."""

    node: str
    role: Role
    public: str
    secret: str

    def __repr__(self) -> str:
        return f"KeyPair(node={self.node!r}, role={self.role.value!r}, public={self.public!r})"

    @property
    def shared(self) -> PublicKey:
        """The part that others may know."""
        return PublicKey(self.node, self.role, self.public)


class KeyStore:
    """A folder of keys, see the module.

    Args:
        folder: The folder; made by `create` and `enrol` when it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def allowed(self) -> Path:
        """The file of trusted keys."""
        return self._folder / ALLOWED

    def create(self, node: str, role: Role) -> PublicKey:
        """Make a key pair of this machine's own; trusted in this folder at once.

        Raises:
            AuthenticationError: There is one of that name already, or the name is unusable.
        """
        _check_name(node)
        secret_file = self._folder / f"{node}.secret.json"
        if secret_file.exists():
            raise AuthenticationError(
                f"there are keys of {node!r} already",
                where=str(secret_file),
                fix="remove the file to make new ones, then enrol them again on the other side",
            )
        public, secret = (key.decode() for key in zmq.curve_keypair())
        pair = KeyPair(node, role, public, secret)
        self._folder.mkdir(parents=True, exist_ok=True)
        _write(secret_file, pair, 0o600)
        _write(self._folder / f"{node}.public.json", pair.shared, 0o644)
        self.enrol(pair.shared)
        return pair.shared

    def enrol(self, key: PublicKey) -> None:
        """Trust a public key; one that its node had before in this role is replaced."""
        _check_name(key.node)
        _check_key(key.public)
        self._folder.mkdir(parents=True, exist_ok=True)
        kept = [k for k in self.trusted() if (k.node, k.role) != (key.node, key.role)]
        _write(self.allowed, [*kept, key], 0o644)

    def revoke(self, node: str) -> int:
        """Trust no key of `node` any more; how many there were."""
        trusted = self.trusted()
        kept = [key for key in trusted if key.node != node]
        if len(kept) < len(trusted):
            _write(self.allowed, kept, 0o644)
        return len(trusted) - len(kept)

    def trusted(self) -> list[PublicKey]:
        """Keys that are trusted here; empty when there is no file.

        Raises:
            AuthenticationError: The file is damaged.
        """
        return read_allowed(self.allowed)

    def own(self, node: str, role: Role) -> KeyPair:
        """Key pair of a node of this machine.

        Raises:
            AuthenticationError: It is not there, damaged, of another role, or others may read it.
        """
        path = self._folder / f"{node}.secret.json"
        try:
            mode = path.stat().st_mode
            data = path.read_bytes()
        except OSError as error:
            raise AuthenticationError(
                f"cannot read the keys of {node!r}: {error.strerror}",
                where=str(path),
                fix=f"fusewatch keys create {node} --role {role.value}",
            ) from error
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise AuthenticationError(
                "others may read this secret key", where=str(path), fix=f"chmod 600 {path}"
            )
        pair = _read(data, KeyPair, path)
        if pair.role is not role:
            raise AuthenticationError(f"a key for {pair.role.value}, not {role.value}", where=node)
        _check_key(pair.secret)
        return pair

    def peer(self, role: Role) -> PublicKey:
        """The one trusted node of a role: the node that a link of ours leads to.

        Raises:
            AuthenticationError: There is none, or more than one.
        """
        found = [key for key in self.trusted() if key.role is role]
        if len(found) != 1:
            raise AuthenticationError(
                f"{len(found)} trusted keys of role {role.value!r}, there must be one",
                where=str(self.allowed),
                fix=f"fusewatch keys enrol FILE of your {role.value} node, or revoke the old one",
            )
        return found[0]


def read_allowed(path: Path) -> list[PublicKey]:
    """Trusted keys of a file; empty when there is no file.

    Raises:
        AuthenticationError: The file is damaged.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise AuthenticationError(f"cannot read: {error.strerror}", where=str(path)) from error
    keys = _read(data, list[PublicKey], path)
    for key in keys:
        _check_key(key.public)
    return keys


def read_public(text: str, node: str = "", role: Role | None = None) -> PublicKey:
    """A public key from a ``.public.json`` file, or from the bare key and whose it is.

    Raises:
        AuthenticationError: It is neither, or does not say whose key it is.
    """
    path = Path(text)
    if not _KEY.fullmatch(text):
        try:
            found = _read(path.read_bytes(), PublicKey, path)
        except OSError as error:
            raise AuthenticationError(
                f"{text!r} is neither a public key nor a file",
                fix="name the .public.json file that 'fusewatch keys create' made",
            ) from error
        return PublicKey(node or found.node, role or found.role, found.public)
    if not node or role is None:
        raise AuthenticationError("whose key is it?", fix="add --node NAME --role ROLE")
    return PublicKey(node, role, text)


def _check_name(node: str) -> None:
    if not _NAME.fullmatch(node):
        raise AuthenticationError(f"the name {node!r} may hold a-z, 0-9, '-' and '_' only")


def _check_key(key: str) -> None:
    if not _KEY.fullmatch(key):
        raise AuthenticationError("a key has 40 characters of Z85")


def _read(data: bytes, kind: type[_T], path: Path) -> _T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Nothing of the content goes into the message: it may be a secret.
        raise AuthenticationError("the key file is damaged", where=str(path)) from None


def _write(path: Path, content: object, mode: int) -> None:
    """Write a file whole or not at all, with its mode from the first byte on."""
    text = msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as file:
        os.fchmod(handle, mode)
        file.write(text)
        file.flush()
        os.fsync(handle)
    Path(draft).replace(path)
