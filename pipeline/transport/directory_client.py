"""The capture node's end: finds out which fusion node takes its samples, and keeps asking.

- Asked at once at the start and whenever the link is lost (`ask`), again with growing pauses until
  there is an answer, and every `EVERY_S` while all is well: a worker that lost its scene and does
  not know it yet is left when another one has it.
- Of several directories the next is asked when one does not answer.
- An answer with a lower fencing token than one heard before is old, and is not followed.
- A key counts only when this machine trusts it as a fusion node's: a directory can send a node
  astray, to an address where nobody can prove to be who it expects, but to no stranger.

What was told last stays until something newer is heard: no directory is needed to go on.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import structlog
import zmq

from pipeline.core.errors import TransportError
from pipeline.transport.directory_messages import (
    MAX_BYTES,
    DirectoryMessage,
    Here,
    Where,
    decode,
    encode,
)
from pipeline.transport.link import Context, connect
from pipeline.transport.security import CurveClient

log = structlog.get_logger(__name__)

EVERY_S = 10.0
ANSWER_S = 2.0
FIRST_S, LONGEST_S = 0.2, 2.0
_SLICE_S = 0.1  # how soon it is noticed that nobody wants to know any more


@dataclass(frozen=True, slots=True)
class Place:
    """A fusion node to send to.

    Attributes:
        address: Where it listens.
        public: Its public key; empty: without encryption.
        token: Fencing token of its lease.
    """

    address: str
    public: str
    token: int


class WorkerFinder:
    """Asks directories from a thread of its own. See the module.

    Args:
        node: Name of the capture node.
        directories: Addresses of the directories.
        curve: Makes the keys for a link to one; None: they are not encrypted.
        trusts: Whether a key is a fusion node's.
        every_s: How often is asked while all is well, seconds.

    Raises:
        TransportError: An address is not one.
    """

    def __init__(
        self,
        node: str,
        directories: Sequence[str],
        *,
        curve: CurveClient | None = None,
        trusts: Callable[[str], bool] = lambda public: not public,
        every_s: float = EVERY_S,
    ) -> None:
        self._node = node
        self._directories = list(directories)
        self._curve = curve
        self._trusts = trusts
        self._every_s = every_s
        self._place: Place | None = None
        self._trouble = "no directory has answered yet"
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._closing = threading.Event()
        self._on_news: Callable[[], None] = lambda: None
        self.counters: Counter[str] = Counter()
        self._context: Context = zmq.Context()
        for address in self._directories:
            connect(self._context, address, None, MAX_BYTES).close(0)  # tells what is no address
        self._thread = threading.Thread(target=self._run, name="directory", daemon=True)

    def start(self, on_news: Callable[[], None]) -> None:
        """Begin to ask; `on_news` is called by our thread when there is another place."""
        self._on_news = on_news
        self._thread.start()

    @property
    def place(self) -> Place | None:
        """Where to send; None: nobody has said yet."""
        with self._lock:
            return self._place

    @property
    def trouble(self) -> str:
        """Why the last question had no good answer; empty when it had."""
        with self._lock:
            return self._trouble

    def ask(self) -> None:
        """The place is not reached: ask at once, and until there is an answer."""
        self._wanted.set()

    def close(self) -> None:
        """Stop asking; may be called twice."""
        self._closing.set()
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join()
        self._context.destroy(linger=0)

    def _run(self) -> None:
        pause_s = FIRST_S
        while not self._closing.is_set():
            self._wanted.clear()
            if self._found():
                pause_s = FIRST_S
                self._wanted.wait(self._every_s)
            # Also after an answer that was asked for: who is told the same again asks again.
            self._closing.wait(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, LONGEST_S)

    def _found(self) -> bool:
        """Ask one directory after the other; whether one knew."""
        for _ in range(len(self._directories)):
            trouble = self._asked(self._directories[0])
            with self._lock:
                told, self._trouble = self._trouble, trouble
            if not trouble or self._closing.is_set():
                return True
            if trouble != told:
                log.warning("no fusion node found", node=self._node, reason=trouble)
            self._directories.append(self._directories.pop(0))
        return False

    def _asked(self, directory: str) -> str:
        """Ask a directory; what is wrong, or empty when it told a place."""
        try:
            answer = self._answer_of(directory)
            if isinstance(answer, Here):
                return self._take(Place(answer.address, answer.public, answer.token), directory)
        except (TransportError, msgspec.DecodeError, UnicodeDecodeError) as error:
            return f"{directory}: {error}"
        if answer is None:
            self.counters["unanswered"] += 1
            return f"{directory} does not answer"
        self.counters["nowhere"] += 1
        return f"{directory}: {getattr(answer, 'reason', '') or getattr(answer, 'detail', '')}"

    def _answer_of(self, directory: str) -> DirectoryMessage | None:
        self.counters["asked"] += 1
        with connect(self._context, directory, self._curve, MAX_BYTES) as socket:
            socket.send(encode(Where(self._node)))
            for _ in range(round(ANSWER_S / _SLICE_S)):
                if socket.poll(round(_SLICE_S * 1e3)):
                    answer: DirectoryMessage = decode(socket.recv())
                    return answer
                if self._closing.is_set():
                    break
        return None

    def _take(self, place: Place, directory: str) -> str:
        connect(self._context, place.address, None, MAX_BYTES).close(0)
        if not self._trusts(place.public):
            self.counters["untrusted"] += 1
            return f"{directory} names a fusion node whose key is not trusted here"
        with self._lock:
            known = self._place
            if known is not None and place.token < known.token:
                self.counters["outdated"] += 1
                return f"{directory} tells what was before; after a change of its database, restart"
            self._place = place
        if known is None or (known.address, known.public) != (place.address, place.public):
            log.info("fusion node found", node=self._node, address=place.address, lease=place.token)
            self._on_news()
        return ""
