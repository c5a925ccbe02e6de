"""Reading a recording while it is still being written.

A writer appends chunks and never touches what stands there, so what is new are the chunks that
were not there at the last look. One that is only half written waits for the next look. The file
may be a second behind what arrived, as long as its writer lets a chunk wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline.core.arrival import Arrival
from pipeline.core.errors import RecordingError
from pipeline.recording.reader import Recording


class FollowedRecording:
    """A recording that grows.

    Args:
        path: The file; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0

    def further(self) -> Iterator[Arrival]:
        """What came since the last call; to be taken to its end.

        Raises:
            RecordingError: The file is no recording.
        """
        if not self.path.exists() or not self.path.stat().st_size:
            return
        try:
            recording = Recording(self.path)
        except RecordingError:
            if self._read or self.path.stat().st_size > _BEGUN:
                raise
            return  # its first bytes are just being written
        with recording:
            first, self._read = self._read, recording.whole_chunks
            yield from recording.arrivals_from_chunk(first)


_BEGUN = 1024
"""Bytes of a file that has begun; fewer may lack what tells that it is ours."""
