"""Keys and who is trusted, as plain files in one folder.

::

    NAME.secret.json        key pair of this node; for its owner only, never leaves it
    NAME.public.json        public key to be handed to the other side, who enrols it
    NAME.next.secret.json   key pair that replaces it, while it is being rotated; same with public
    allowed.json            public keys that are trusted here, each bound to a node and a role

A key pair is made on the machine that uses it. ``enrol`` puts the other side's public key
into this side's ``allowed.json``: the fusion node enrols its capture nodes, a capture node
enrols the fusion node. Revoking takes it out again; running nodes notice by themselves.

A node may have two keys in the list while it is rotated, the newer one last; the older one
goes when the newer one was seen. Whoever changes the list holds the lock of its folder.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import zmq

from pipeline.core.errors import AuthenticationError
from pipeline.transport.key_files import (
    KeyPair,
    PublicKey,
    Role,
    check_key,
    check_name,
    read_allowed,
    read_pair,
    read_public,
    read_public_file,
    write,
)

__all__ = ["ALLOWED", "KeyPair", "KeyStore", "PublicKey", "Role", "read_allowed", "read_public"]

ALLOWED = "allowed.json"
PUBLIC = ".public.json"


class KeyStore:
    """A folder of keys, see the module.

    Args:
        folder: The folder; made by what writes to it when it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def allowed(self) -> Path:
        """The file of trusted keys."""
        return self._folder / ALLOWED

    def secret_file(self, node: str, *, upcoming: bool = False) -> Path:
        """The file of a node's key pair, or of the pair that is to replace it."""
        return self._folder / f"{node}{'.next' * upcoming}.secret.json"

    def public_file(self, node: str, *, upcoming: bool = False) -> Path:
        """The file of a node's public key, or of the one that is to replace it."""
        return self._folder / f"{node}{'.next' * upcoming}{PUBLIC}"

    def role_of(self, node: str) -> Role:
        """What a node of this machine is.

        Raises:
            AuthenticationError: There are no keys of that name.
        """
        file = self.public_file(node)
        if not file.exists():
            own = sorted(path.name.removesuffix(PUBLIC) for path in self._folder.glob(f"*{PUBLIC}"))
            known = ", ".join(name for name in own if not name.endswith(".next")) or "nobody"
            raise AuthenticationError(
                f"there are no keys of {node!r}",
                where=str(self._folder),
                fix=f"there are those of {known}; 'fusewatch keys create', or another --keys",
            )
        return read_public_file(file).role

    def create(self, node: str, role: Role) -> PublicKey:
        """Make a key pair of this machine's own; trusted in this folder at once.

        Raises:
            AuthenticationError: There is one of that name already, or the name is unusable.
        """
        check_name(node)
        secret_file = self.secret_file(node)
        if secret_file.exists():
            raise AuthenticationError(
                f"there are keys of {node!r} already",
                where=str(secret_file),
                fix=f"fusewatch keys rotate {node}, or remove the file and enrol it again",
            )
        pair = self._new_pair(node, role, upcoming=False)
        self.enrol(pair.shared)
        return pair.shared

    def own_or_new(self, node: str, role: Role) -> KeyPair:
        """Key pair of a node of this machine, made now if there is none.

        Raises:
            AuthenticationError: There is one, and it cannot be used.
        """
        if not self.secret_file(node).exists():
            self.create(node, role)
        return self.own(node, role)

    def enrol(self, key: PublicKey, *, beside: bool = False) -> None:
        """Trust a public key.

        Args:
            key: The key.
            beside: Keep the one that its node had before in this role; else it is replaced.

        Raises:
            AuthenticationError: It is no key, or another node's.
        """
        check_name(key.node)
        check_key(key.public)
        with self._changing() as trusted:
            same = [k for k in trusted if (k.node, k.role) == (key.node, key.role)]
            others = [k for k in trusted if k not in same]
            for other in others:
                if other.public == key.public:
                    raise AuthenticationError(
                        f"this is the key of {other.node!r} ({other.role.value})",
                        where=str(self.allowed),
                        fix="each node makes its own with 'fusewatch keys create'",
                    )
            before = [k for k in same if k != key][:1] if beside else []
            write(self.allowed, [*others, *before, key], 0o600)

    def settle(self, key: PublicKey) -> int:
        """A key was seen in use: trust no older one of its node; how many there were.

        Nothing happens when the key is itself older than another.
        """
        with self._changing() as trusted:
            same = [k for k in trusted if (k.node, k.role) == (key.node, key.role)]
            if len(same) < 2 or same[-1] != key:
                return 0
            write(self.allowed, [k for k in trusted if k not in same[:-1]], 0o600)
            return len(same) - 1

    def revoke(self, node: str) -> int:
        """Trust no key of `node` any more; how many there were."""
        with self._changing() as trusted:
            kept = [key for key in trusted if key.node != node]
            if len(kept) < len(trusted):
                write(self.allowed, kept, 0o600)
            return len(trusted) - len(kept)

    def trusted(self) -> list[PublicKey]:
        """Keys that are trusted here; empty when there is no file.

        Raises:
            AuthenticationError: The file is damaged, or others may write to it.
        """
        return read_allowed(self.allowed)

    def own(self, node: str, role: Role) -> KeyPair:
        """Key pair of a node of this machine.

        Raises:
            AuthenticationError: It is not there, damaged, of another role, or others may read it.
        """
        return read_pair(self.secret_file(node), node, role)

    def upcoming(self, node: str, role: Role) -> KeyPair:
        """The key pair that is to replace a node's own, made now if there is none yet.

        Raises:
            AuthenticationError: The node has no keys, or those to come cannot be used.
        """
        self.own(node, role)
        path = self.secret_file(node, upcoming=True)
        if path.exists():
            return read_pair(path, node, role)
        return self._new_pair(node, role, upcoming=True)

    def upcoming_public(self, node: str) -> str:
        """The public key that is to replace a node's own; empty when there is none.

        Raises:
            AuthenticationError: Its file is damaged.
        """
        path = self.public_file(node, upcoming=True)
        return read_public_file(path).public if path.exists() else ""

    def promote(self, node: str, role: Role) -> PublicKey:
        """Put the key pair to come in the place of a node's own.

        Raises:
            AuthenticationError: There is none, or it cannot be used.
        """
        path = self.secret_file(node, upcoming=True)
        if not path.exists():
            raise AuthenticationError(
                f"there are no new keys of {node!r}", fix=f"fusewatch keys rotate {node}"
            )
        pair = read_pair(path, node, role)
        self.enrol(pair.shared)
        write(self.public_file(node), pair.shared, 0o644)
        path.replace(self.secret_file(node))
        self.public_file(node, upcoming=True).unlink(missing_ok=True)
        return pair.shared

    def peers(self, role: Role) -> list[PublicKey]:
        """Keys of the one trusted node of a role, to which a link of ours leads; newest last.

        Raises:
            AuthenticationError: There is none, or there are several nodes.
        """
        found = [key for key in self.trusted() if key.role is role]
        nodes = sorted({key.node for key in found})
        if not nodes:
            raise AuthenticationError(
                f"no {role.value} node is trusted here yet",
                where=str(self.allowed),
                fix=f"if it runs here too: fusewatch keys create NAME --role {role.value}; if it "
                "is elsewhere: 'fusewatch keys invite' there, 'fusewatch keys join' here",
            )
        if len(nodes) > 1:
            raise AuthenticationError(
                f"{len(nodes)} {role.value} nodes are trusted, there must be one: "
                f"{', '.join(nodes)}",
                where=str(self.allowed),
                fix="fusewatch keys revoke those that are no more",
            )
        return found

    def _new_pair(self, node: str, role: Role, *, upcoming: bool) -> KeyPair:
        public, secret = (key.decode() for key in zmq.curve_keypair())
        pair = KeyPair(node, role, public, secret)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(self.secret_file(node, upcoming=upcoming), pair, 0o600)
        write(self.public_file(node, upcoming=upcoming), pair.shared, 0o644)
        return pair

    @contextmanager
    def _changing(self) -> Iterator[list[PublicKey]]:
        """The trusted keys, while nobody else changes them."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield self.trusted()
        finally:
            os.close(handle)
