"""What keeps a capture node from delivering, in words, and when that is worth a warning."""

from __future__ import annotations

from pipeline.transport.sender_session import LinkState
from pipeline.transport.sender_status import SenderStatus

NO_ANSWER = "no answer from the fusion node"
HANDSHAKE_FAILED = (
    "the encrypted handshake fails: this node's key is not trusted there ('fusewatch keys enrol' "
    "on the fusion node), or the key trusted here is not the fusion node's"
)


class LinkTrouble:
    """Follows the link of one capture node.

    A fusion node that starts or starts again is no trouble, and breaks off handshakes too:
    only what lasts is worth telling. A refusal is said by that node itself and told at once.

    Args:
        patience_ns: How long the link may be down before that is told.
    """

    def __init__(self, patience_ns: int) -> None:
        self._patience_ns = patience_ns
        self._down_ns: int | None = None
        self._before_down = 0
        self._told = ""
        self.worth_telling = False

    def look(self, status: SenderStatus, now_ns: int, *, encrypted: bool) -> str:
        """Why the fusion node takes nothing now; empty when it does.

        Sets `worth_telling`: once for each trouble that lasts.
        """
        self.worth_telling = False
        failed = status.counters.get("handshake_failed", 0)
        if status.state is LinkState.READY:
            self._down_ns, self._before_down, self._told = None, failed, ""
            return ""
        if self._down_ns is None:
            self._down_ns = now_ns
        trouble = NO_ANSWER
        if status.refusal:
            trouble = status.refusal
        elif encrypted and failed > self._before_down:
            trouble = HANDSHAKE_FAILED
        lasts = bool(status.refusal) or now_ns - self._down_ns >= self._patience_ns
        if lasts and trouble != self._told:
            self._told, self.worth_telling = trouble, True
        return trouble
