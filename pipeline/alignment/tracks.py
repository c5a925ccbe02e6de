"""The track of each modality."""

from __future__ import annotations

from pipeline.alignment.audio import AudioTrack
from pipeline.alignment.sensor import SensorTrack
from pipeline.alignment.settings import StreamOptions
from pipeline.alignment.text import TextTrack
from pipeline.alignment.track import Track
from pipeline.alignment.video import VideoTrack
from pipeline.core.sample import Modality, StreamInfo

_TRACKS: dict[Modality, type[Track]] = {
    Modality.VIDEO: VideoTrack,
    Modality.AUDIO: AudioTrack,
    Modality.SENSOR: SensorTrack,
    Modality.TEXT: TextTrack,
}


def make_track(info: StreamInfo, options: StreamOptions, window_ns: int) -> Track:
    """The track for a stream.

    Raises:
        AlignmentError: The stream lacks what its modality needs.
    """
    return _TRACKS[info.modality](info, options, window_ns)
