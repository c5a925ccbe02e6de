"""Shows the fusion node's windows to whoever looks on, at no cost while nobody does.

Windows are published on a socket in the deployment's data folder (XPUB, so that it is known
whether anybody listens). It is a view and nothing else: what a slow onlooker misses is gone
for it, and no score, event or sample depends on it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import cv2
import msgspec
import numpy as np
import numpy.typing as npt
import simplejpeg
import structlog
import zmq

from nodes.live_message import LiveWindow, Readings, Sound, live_address, pack
from pipeline.config.addresses import fault_of
from pipeline.config.deployment import Deployment
from pipeline.core.arrival import Arrival, SampleArrived
from pipeline.core.errors import BadReading
from pipeline.core.sample import Encoding, Sample
from pipeline.core.window import AudioSlice, SensorSlice, TextSlice, VideoSlice, Window
from pipeline.detection.evidence_encoding import pixels_of
from pipeline.detection.score import WindowScore
from pipeline.detection.transition import anomaly_score

log = structlog.get_logger(__name__)

WIDTH_PX = 640
BANDS = 48
COLUMNS = 8
LOWEST_HZ = 40.0
SILENT_DB = -120
WAITING = 64  # messages an onlooker may lag
FRAMES = 64  # pictures of a camera that wait for their window
TURN = 4  # windows of a scene that are shown of one turn; of more, the latest
MILLISECOND_NS = 1_000_000
QUALITY = 75


class LiveView:
    """Publishes windows while somebody listens.

    Args:
        deployment: Its scenes, and the folder of the socket.
        thresholds: Score from which on a window counts for an alarm, per scene with a model.
    """

    def __init__(self, deployment: Deployment, thresholds: Mapping[str, float]) -> None:
        self._hops_ns = {n: round(s.hop_s * 1e9) for n, s in deployment.scenes.items()}
        self._thresholds = thresholds
        self._watched: set[bytes] = set()
        self._frames: dict[str, deque[Sample]] = {}
        self._socket: zmq.Socket[bytes] | None = None
        address = live_address(deployment.data)
        fault = fault_of(address)
        if fault:
            log.warning("no live view", address=address, reason=fault)
            return
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.XPUB)
        socket.linger = 0
        socket.sndhwm = WAITING
        (deployment.data / "run").mkdir(parents=True, exist_ok=True)
        socket.bind(address)
        self._socket = socket

    @property
    def watched(self) -> bool:
        """Whether anybody listens."""
        return bool(self._watched)

    def take(self, arrival: Arrival) -> None:
        """Keep a picture until the window that shows it."""
        if not self._watched or not isinstance(arrival, SampleArrived):
            return
        sample = arrival.sample
        if sample.encoding in (Encoding.JPEG, Encoding.RAW):
            self._frames.setdefault(sample.stream, deque(maxlen=FRAMES)).append(sample)

    def show(self, windows: Sequence[Window], scores: Sequence[WindowScore]) -> None:
        """Publish what was cut and scored in one turn."""
        self._listen()
        if self._socket is None or not self._watched:
            return
        judged = {(score.scene, score.index): score for score in scores}
        for scene in self._hops_ns:
            for window in [w for w in windows if w.scene == scene][-TURN:]:
                self._publish(window, judged.get((scene, window.index)))

    def close(self) -> None:
        """Stop showing; may be called twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _listen(self) -> None:
        """See who came and who left."""
        while self._socket is not None and self._socket.poll(0):
            change = self._socket.recv()
            if change[:1] == b"\x01":
                self._watched.add(change[1:])
            else:
                self._watched.discard(change[1:])
        if not self._watched:
            self._frames.clear()

    def _publish(self, window: Window, score: WindowScore | None) -> None:
        if self._socket is None or not self._wanted(window.scene):
            return
        hop_ns = self._hops_ns[window.scene]
        pictures = {
            stream: picture
            for stream, part in window.slices.items()
            if isinstance(part, VideoSlice)
            and (picture := self._picture(stream, window.end_ns)) is not None
        }
        shown = described(window, score, hop_ns, self._thresholds.get(window.scene))
        shown = msgspec.structs.replace(shown, pictures=list(pictures))
        self._socket.send_multipart(pack(shown, list(pictures.values())), copy=True)

    def _wanted(self, scene: str) -> bool:
        return any(scene.encode().startswith(topic) for topic in self._watched)

    def _picture(self, stream: str, end_ns: int) -> bytes | None:
        """The last picture before the end of the window, small; None without one."""
        waiting = self._frames.get(stream)
        found: Sample | None = None
        while waiting and waiting[0].timestamp_ns < end_ns:
            found = waiting.popleft()
        return None if found is None else small_jpeg(found)


def described(
    window: Window, score: WindowScore | None, hop_ns: int, threshold: float | None
) -> LiveWindow:
    """What is shown of a window, without its pictures."""
    slices = window.slices
    return LiveWindow(
        scene=window.scene,
        index=window.index,
        end_ms=window.end_ns // MILLISECOND_NS,
        hop_ms=hop_ns // MILLISECOND_NS,
        score=None if score is None else round(anomaly_score(score.p), 3),
        threshold=None if threshold is None else round(threshold, 3),
        detectors=detector_scores(score),
        notes={} if score is None else dict(score.notes),
        missing=[] if score is None else list(score.missing),
        degraded={} if score is None else dict(score.degraded),
        sounds={n: sound_of(s, hop_ns) for n, s in slices.items() if isinstance(s, AudioSlice)},
        readings={
            n: readings_of(s, window.end_ns - hop_ns)
            for n, s in slices.items()
            if isinstance(s, SensorSlice)
        },
        lines={
            n: lines_of(s, window.end_ns - hop_ns)
            for n, s in slices.items()
            if isinstance(s, TextSlice)
        },
    )


def detector_scores(score: WindowScore | None) -> dict[str, float]:
    """Anomaly score per detector; none without a score."""
    if score is None:
        return {}
    return {name: round(anomaly_score(p), 3) for name, p in score.detectors.items()}


def sound_of(part: AudioSlice, hop_ns: int) -> Sound:
    """Levels of bands in the last hop of a sound."""
    rate_hz = part.info.rate_hz or 16_000.0
    count = max(COLUMNS, round(hop_ns * rate_hz / 1e9))
    mono = part.samples[-count:].mean(axis=1, dtype=np.float64)
    heard = part.present[-count:]
    high_hz = rate_hz / 2
    columns = [
        _levels(piece, rate_hz, high_hz) if there.any() else [SILENT_DB] * BANDS
        for piece, there in zip(
            np.array_split(mono, COLUMNS), np.array_split(heard, COLUMNS), strict=True
        )
    ]
    return Sound(LOWEST_HZ, high_hz, columns)


def _levels(piece: npt.NDArray[np.float64], rate_hz: float, high_hz: float) -> list[int]:
    """Mean power of each band, decibels of full scale; a band between two bins takes theirs."""
    taper = np.hanning(len(piece))
    power = np.abs(np.fft.rfft(piece * taper)) ** 2 / max(float((taper**2).sum()), 1e-9)
    bins_hz = np.arange(len(power)) * rate_hz / len(piece)
    edges_hz = np.geomspace(LOWEST_HZ, high_hz, BANDS + 1)
    summed = np.concatenate([[0.0], np.cumsum(power)])
    at = np.interp(edges_hz, bins_hz, np.arange(len(power), dtype=np.float64))
    under = np.interp(at, np.arange(len(summed)), summed)
    mean = np.diff(under) / np.maximum(np.diff(at), 1e-9)
    levels = 10 * np.log10(np.maximum(mean * 2 / len(piece), 10 ** (SILENT_DB / 10)))
    return [int(level) for level in np.rint(levels)]


def readings_of(part: SensorSlice, from_ns: int) -> Readings:
    """Cells of a sensor from `from_ns` on."""
    chosen = part.grid_ns >= from_ns
    values = part.values[chosen].T
    names = part.info.channels or tuple(str(n) for n in range(values.shape[0]))
    units = part.info.units or ((part.info.unit,) * len(names) if part.info.unit else ())
    return Readings(
        list(names),
        list(units),
        [int(ns) // MILLISECOND_NS for ns in part.grid_ns[chosen]],
        [[float(f"{v:.6g}") if np.isfinite(v) else None for v in row] for row in values],
    )


def lines_of(part: TextSlice, from_ns: int) -> list[str]:
    """Lines from `from_ns` on."""
    return [line for at, line in zip(part.timestamps_ns, part.lines, strict=True) if at >= from_ns]


def small_jpeg(frame: Sample) -> bytes | None:
    """A picture no wider than `WIDTH_PX`; None of a damaged one."""
    try:
        pixels = pixels_of(frame)
    except BadReading:
        return None
    height, width = pixels.shape[:2]
    if width > WIDTH_PX:
        size = (WIDTH_PX, max(1, round(height * WIDTH_PX / width)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    elif frame.encoding is Encoding.JPEG:
        return bytes(frame.data)  # type: ignore[arg-type]
    return bytes(simplejpeg.encode_jpeg(pixels, quality=QUALITY, colorspace="BGR"))
