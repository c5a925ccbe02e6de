"""What stands in key files, and how they are read and written.

A file is written whole or not at all, with its mode from the first byte on, and belongs to
the owner of its folder: root may make keys for the user that the nodes run as. Nothing of a
file's content ever goes into an error, as it may be a secret.
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

from pipeline.core.errors import AuthenticationError

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_KEY = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_T = TypeVar("_T")


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


_KEY_PAIR_DECODER = msgspec.json.Decoder(KeyPair)
_PUBLIC_KEY_DECODER = msgspec.json.Decoder(PublicKey)
_PUBLIC_KEYS_DECODER = msgspec.json.Decoder(list[PublicKey])


def read_pair(path: Path, node: str, role: Role) -> KeyPair:
    """A node's own key pair.

    Raises:
        AuthenticationError: It is not there, damaged, of another role, or others may read it.
    """
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
    pair = _read(data, _KEY_PAIR_DECODER, path)
    if pair.role is not role:
        raise AuthenticationError(f"a key for {pair.role.value}, not {role.value}", where=node)
    check_key(pair.secret)
    return pair


def read_allowed(path: Path) -> list[PublicKey]:
    """Trusted keys of a file; empty when there is no file.

    Raises:
        AuthenticationError: The file is damaged, or others may write to it.
    """
    try:
        mode = path.stat().st_mode
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise AuthenticationError(f"cannot read: {error.strerror}", where=str(path)) from error
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise AuthenticationError(
            "others may write to this list", where=str(path), fix=f"chmod 600 {path}"
        )
    keys = _read(data, _PUBLIC_KEYS_DECODER, path)
    for key in keys:
        check_key(key.public)
    return keys


def read_public(text: str, node: str = "", role: Role | None = None) -> PublicKey:
    """A public key from a ``.public.json`` file, or from the bare key and whose it is.

    A path can look like a key (40 characters, all of Z85): where there is such a file, it is one.

    Raises:
        AuthenticationError: It is neither, or does not say whose key it is.
    """
    path = Path(text)
    if not _KEY.fullmatch(text) or path.is_file():
        found = read_public_file(path)
        return PublicKey(node or found.node, role or found.role, found.public)
    if not node or role is None:
        raise AuthenticationError("whose key is it?", fix="add --node NAME --role ROLE")
    return PublicKey(node, role, text)


def read_public_file(path: Path) -> PublicKey:
    """The public key of a ``.public.json`` file.

    Raises:
        AuthenticationError: It cannot be read, or is damaged.
    """
    try:
        return _read(path.read_bytes(), _PUBLIC_KEY_DECODER, path)
    except OSError as error:
        raise AuthenticationError(
            f"{str(path)!r} is neither a public key nor a file",
            fix="name the .public.json file that 'fusewatch keys create' made",
        ) from error


def check_name(node: str) -> None:
    """Refuse a name that no node can have.

    Raises:
        AuthenticationError: It is one.
    """
    if not _NAME.fullmatch(node):
        raise AuthenticationError(f"the name {node!r} may hold a-z, 0-9, '-' and '_' only")


def check_key(key: str) -> None:
    """Refuse what is no key.

    Raises:
        AuthenticationError: It is none.
    """
    if not _KEY.fullmatch(key):
        raise AuthenticationError("a key has 40 characters of Z85")


def write(path: Path, content: object, mode: int) -> None:
    """Write a file, see the module."""
    text = msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as file:
        os.fchmod(handle, mode)
        if os.geteuid() == 0:
            folder = path.parent.stat()
            os.fchown(handle, folder.st_uid, folder.st_gid)
        file.write(text)
        file.flush()
        os.fsync(handle)
    Path(draft).replace(path)


def _read(data: bytes, decoder: msgspec.json.Decoder[_T], path: Path) -> _T:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise AuthenticationError("the key file is damaged", where=str(path)) from None
