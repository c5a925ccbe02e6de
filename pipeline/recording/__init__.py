"""MCAP recordings: written as samples arrive, read back in the same order.

`RecordingWriter` writes one file, `RecordingFolder` a folder of them; `Recording` reads one,
`RecordingSet` several as one. ``import``ing footage and sensor tables is in
`pipeline.recording.importing`.
"""

from pipeline.recording.decoding import ClockOffset
from pipeline.recording.folder import RecordingFolder
from pipeline.recording.layout import StreamTotal
from pipeline.recording.merge import RecordingSet, read_many
from pipeline.recording.reader import Recording
from pipeline.recording.repair import Repair, repair
from pipeline.recording.rewrite import Rewritten, rewrite
from pipeline.recording.writer import RecordingWriter

__all__ = [
    "ClockOffset",
    "Recording",
    "RecordingFolder",
    "RecordingSet",
    "RecordingWriter",
    "Repair",
    "Rewritten",
    "StreamTotal",
    "read_many",
    "repair",
    "rewrite",
]
