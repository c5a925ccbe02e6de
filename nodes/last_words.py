"""Why a process ended, told to the process that started it.

A supervisor gives each child the writing end of a pipe; a child that fails writes one line
into it just before it ends. So the supervisor can say at the end of a run what was wrong,
without reading everybody's log.
"""

from __future__ import annotations

import contextlib
import os

VARIABLE = "FUSEWATCH_LAST_WORDS_PIPE"
_MOST_BYTES = 2000


class LastWords:
    """The child's end.

    Args:
        pipe: Writing end; None: nobody listens.
    """

    def __init__(self, pipe: int | None) -> None:
        self._pipe = pipe

    @classmethod
    def of_this_process(cls) -> LastWords:
        """Take the pipe out of the environment, as the number means nothing to our children."""
        given = os.environ.pop(VARIABLE, "")
        return cls(int(given) if given.isdecimal() else None)

    def say(self, text: str) -> None:
        """Say why this process ends; the newest counts."""
        if self._pipe is not None:
            line = " ".join(text.split()).encode(errors="replace")[:_MOST_BYTES]
            with contextlib.suppress(OSError):  # the listener is gone
                os.write(self._pipe, line + b"\n")


class LastWordsHeard:
    """The supervisor's end: one pipe for one run of one child.

    Attributes:
        write: The child's end, to be handed on; -1 when closed.
    """

    def __init__(self) -> None:
        self._read, self.write = os.pipe()
        for end in (self._read, self.write):
            os.set_blocking(end, False)

    def take(self) -> str:
        """What the child said last, empty when it said nothing; ends the pipe."""
        if self._read < 0:
            return ""
        try:
            said = os.read(self._read, 1 << 16).decode(errors="replace")
        except BlockingIOError:
            said = ""
        self.close()
        lines = said.splitlines()
        return lines[-1] if lines else ""

    def close_write(self) -> None:
        """Close our copy of the child's end, once the child has it."""
        if self.write >= 0:
            os.close(self.write)
            self.write = -1

    def close(self) -> None:
        """Close both ends; may be called twice."""
        self.close_write()
        if self._read >= 0:
            os.close(self._read)
            self._read = -1
