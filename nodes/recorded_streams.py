"""The streams of a scene as its recordings have them, which must be in one form to be learnt.

What is learnt of a stream goes by the place of each channel, band and cell. Recordings in which
these places are something else, by another order of channels or another rate of sound, would be
learnt as one normal that never was, so they are refused as a live stream would be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from nodes.replay import SECOND_NS, start_of
from pipeline.config.deployment import Deployment
from pipeline.core.arrival import StreamOpened
from pipeline.core.errors import RecordingError
from pipeline.core.sample import StreamInfo
from pipeline.models.settings import DetectorSettings
from pipeline.models.stream_likeness import differences
from pipeline.recording.reader import Recording
from pipeline.recording.standing import standing


def streams_of(
    deployment: Deployment,
    scene: str,
    recordings: Sequence[Path],
    from_s: float | None = None,
    to_s: float | None = None,
) -> list[StreamInfo]:
    """The scene's streams as the recordings announce them last in what is learnt, in its order.

    Args:
        deployment: The deployment.
        scene: Which of its scenes.
        recordings: One run each, in order.
        from_s: Second of each recording that is learnt to begin at.
        to_s: Second of each recording that is learnt to end at.

    Raises:
        RecordingError: None of the scene's streams is there, or a recording cannot be read.
    """
    spans = dict.fromkeys([(None, None), (from_s, to_s)])  # what is outside counts least
    known = {i.name: i for span in spans for path in recordings for i in _announced(path, *span)}
    wanted = deployment.scenes[scene].streams
    found = [known[name] for name in wanted if name in known]
    if not found:
        raise RecordingError(
            f"no stream of scene {scene!r} is recorded; there "
            + (f"are {', '.join(sorted(known))}" if known else "is none at all"),
            where=", ".join(str(p) for p in recordings),
            fix=f"the scene has {', '.join(wanted)}: make the names agree, or have a file written "
            "that fits by `fusewatch init --recording`",
        )
    return found


class OneForm:
    """Sees that the streams of a scene have one form in all that is learnt of it.

    Args:
        streams: Names of the scene's streams.
        settings: Options of the detector.
    """

    def __init__(self, streams: Sequence[str], settings: DetectorSettings) -> None:
        self._streams = streams
        self._settings = settings
        self._first: dict[str, tuple[StreamInfo, Path]] = {}

    def see(
        self, recordings: Sequence[Path], from_s: float | None = None, to_s: float | None = None
    ) -> None:
        """Look at how the streams are announced in further recordings.

        Args:
            recordings: One run each.
            from_s: Second of each that is learnt to begin at.
            to_s: Second of each that is learnt to end at.

        Raises:
            RecordingError: A stream is in another form than before, or a recording cannot be read.
        """
        for path in recordings:
            for info in _announced(path, from_s, to_s):
                if info.name in self._streams:
                    self._compare(info, path)

    def _compare(self, info: StreamInfo, path: Path) -> None:
        known, first = self._first.setdefault(info.name, (info, path))
        for what, before, now in differences(known, info, self._settings):
            where = "before" if first == path else f"in {first}"
            raise RecordingError(
                f"{what} of stream {info.name!r} is {now}, but {where} it is {before}, and both "
                "cannot be learnt together",
                where=str(path),
                fix="leave out what is not as it is live: whole recordings, or what comes before "
                "or after the change by --from and --to or `fusewatch recording cut`",
            )


def _announced(path: Path, from_s: float | None, to_s: float | None) -> Iterator[StreamInfo]:
    """Each announcement of a stream that holds within a span of a recording, in order."""
    start_ns = 0 if from_s is None and to_s is None else start_of([path])
    from_ns = None if from_s is None else start_ns + round(from_s * SECOND_NS)
    to_ns = None if to_s is None else start_ns + round(to_s * SECOND_NS)
    with Recording(path) as recording:
        before = () if from_ns is None else standing(recording.control, from_ns)
        inside = (
            entry
            for entry in recording.control
            if (from_ns is None or entry.arrival_ns >= from_ns)
            and (to_ns is None or entry.arrival_ns < to_ns)
        )
        for entry in (*before, *inside):
            if isinstance(entry, StreamOpened):
                yield entry.info
