"""Who is trusted, as a file says that may change at any time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

import structlog

from pipeline.core.errors import AuthenticationError
from pipeline.transport.key_store import KeyStore, PublicKey, Role, read_allowed

log = structlog.get_logger(__name__)

_LOOK_EVERY_S = 0.25


class Stamps:
    """Whether files were changed, looked at a few times a second at most.

    Args:
        paths: The files; one need not be there.
    """

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._looked_s = float("-inf")
        self._seen: list[tuple[int, int, int] | None] | None = None

    def changed(self) -> bool:
        """Whether a file changed since the last call; true the first time."""
        now_s = time.monotonic()
        if now_s - self._looked_s < _LOOK_EVERY_S:
            return False
        self._looked_s = now_s
        before, self._seen = self._seen, [_stamp(path) for path in self._paths]
        return before != self._seen


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


class AllowList:
    """Trusted keys of a file, read again when it changes. May be used by several threads.

    Args:
        path: The ``allowed.json`` of a key folder.
        role: Role that a peer must have.
    """

    def __init__(self, path: Path, role: Role) -> None:
        self._path = path
        self._role = role
        self._lock = threading.Lock()
        self._stamps = Stamps(path)
        self._keys: dict[str, PublicKey] = {}
        self._rotated: frozenset[str] = frozenset()
        self.version = 0

    def node_of(self, public: str) -> str | None:
        """The node a key belongs to; None when it is not trusted in this role."""
        self.look()
        key = self._keys.get(public)
        return key.node if key else None

    def look(self) -> int:
        """Read the file if it changed; the number of changes so far.

        A damaged file trusts nobody, and says so.
        """
        with self._lock:
            if self._stamps.changed():
                trusted = [key for key in self._read() if key.role is self._role]
                self._keys = {key.public: key for key in trusted}
                keys_of = Counter(key.node for key in trusted)
                self._rotated = frozenset(node for node, count in keys_of.items() if count > 1)
                self.version += 1
            return self.version

    def seen(self, public: str) -> None:
        """A key is in use: one that its node had before it goes."""
        key = self._keys.get(public)
        if key is None or key.node not in self._rotated:
            return
        try:
            if KeyStore(self._path.parent).settle(key):
                log.info("new key in use, the old one is no longer trusted", peer=key.node)
        except (OSError, AuthenticationError) as error:
            log.error("the old key stays trusted", peer=key.node, error=str(error), every_s=30)

    def trust_also(self, public: str, new: str) -> str:
        """The holder of a trusted key brings the one that replaces it; why not, or empty."""
        key = self._keys.get(public)
        if key is None:
            return "the key is not trusted"
        try:
            KeyStore(self._path.parent).enrol(PublicKey(key.node, key.role, new), beside=True)
        except (OSError, AuthenticationError) as error:
            log.error("a new key cannot be enrolled", peer=key.node, error=str(error))
            return "the new key cannot be enrolled here"
        log.info("new key enrolled, the old one is trusted until it is used", peer=key.node)
        return ""

    def _read(self) -> list[PublicKey]:
        try:
            return read_allowed(self._path)
        except AuthenticationError as error:
            log.error("nobody is trusted until the allow-list is mended", error=str(error))
            return []
