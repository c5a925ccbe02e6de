"""Opening audio and video files for an import."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from pipeline.core.errors import RecordingError
from pipeline.recording.import_report import check_file

# A tag in some old encoding is no reason to refuse a file. PyAV took an option for that up to
# 18; from 19 on it has none and always reads such tags.
_LENIENT: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
)


def open_media(path: Path) -> Any:  # noqa: ANN401 - PyAV's container
    """Open a media file; to be closed by ``with``.

    Raises:
        SourceUnavailable: There is no such file.
        RecordingError: It is not a media file.
    """
    check_file(path)
    try:
        return av.open(str(path), **_LENIENT)
    except (av.error.FFmpegError, OSError) as error:
        raise RecordingError(
            f"not a video or audio file: {error.strerror}", where=str(path)
        ) from error


def container_start(container: Any) -> Fraction:  # noqa: ANN401 - PyAV's container
    """Second at which the container's clock starts, so that its streams stay together."""
    return Fraction(container.start_time or 0, av.time_base)
