"""The three instruments of a site, with whatever is wrong: any frame, sound or reading by number.

`frame`, `sound` and `readings` are pure: they depend on the settings and the number asked
for, not on what was asked before. Blocks already made are remembered for a while.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import simplejpeg

from pipeline.core.sample import Encoding, Modality, StreamInfo
from pipeline.sources.synthetic.anomalies import Anomaly
from pipeline.sources.synthetic.brush import Frame
from pipeline.sources.synthetic.chance import Chance, Floats
from pipeline.sources.synthetic.maker import Maker
from pipeline.sources.synthetic.perspective import Camera
from pipeline.sources.synthetic.picture import Picture
from pipeline.sources.synthetic.place import make_place
from pipeline.sources.synthetic.plan import Plan
from pipeline.sources.synthetic.sensors import CHANNELS, UNITS, Sensors, rounded
from pipeline.sources.synthetic.settings import SiteSettings
from pipeline.sources.synthetic.sound import Sound
from pipeline.sources.synthetic.visits import Visit
from pipeline.sources.synthetic.world import World

T = TypeVar("T")

_CUT_S = 0.02


class Blocks(Generic[T]):
    """The latest blocks of something, by number."""

    def __init__(self, make: Callable[[int], T], keep: int = 32) -> None:
        self._make = make
        self._keep = keep
        self._known: OrderedDict[int, T] = OrderedDict()

    def at(self, number: int) -> T:
        """Block `number`."""
        found = self._known.get(number)
        if found is None:
            found = self._known[number] = self._make(number)
            if len(self._known) > self._keep:
                self._known.popitem(last=False)
        return found


class Reel:
    """A site as its instruments record it.

    Args:
        settings: Which site, what happens, what is wrong, which instruments.
    """

    def __init__(self, settings: SiteSettings) -> None:
        self.settings = settings
        place = make_place(settings.place)
        self.world = World(place, settings.seed, settings.day_start_h, settings.day_length_s)
        there = settings.modalities
        camera = Camera(place.view, *settings.size)
        self._sound = Sound(self.world, settings.audio_hz) if Modality.AUDIO in there else None
        self._sensors = Sensors(self.world, settings.sensor_hz)
        self._picture: Picture | None = None
        earshot = self._sound.earshot if self._sound is not None else None
        self.plan = Plan(settings, self.world, Maker(settings, self.world, camera, earshot))
        self._fault_noise = Chance(settings.seed, "faults")
        self._pcm = Blocks(self._make_pcm)
        self._plain_mix = Blocks(self._make_plain_mix)
        self._values = Blocks(self._make_values)
        self._plain_values = Blocks(self._make_plain_values)

    def prepare(self) -> None:
        """Draw the empty room now, so that the first frame does not have to wait for it."""
        if self.settings.video is not None:
            self._eye()

    def infos(self) -> tuple[StreamInfo, ...]:
        """The streams there are: camera, microphone, sensors."""
        s = self.settings
        wide, high = s.size
        found = []
        if s.video is not None:
            shape = (high, wide, 3)
            found.append(StreamInfo(s.video, Modality.VIDEO, s.fps, shape, "uint8", stamp="exact"))
        if s.audio is not None:
            rate = float(s.audio_hz)
            found.append(StreamInfo(s.audio, Modality.AUDIO, rate, (1,), "int16", stamp="exact"))
        if s.sensor is not None:
            found.append(
                StreamInfo(
                    name=s.sensor,
                    modality=Modality.SENSOR,
                    rate_hz=s.sensor_hz,
                    shape=(len(CHANNELS),),
                    dtype="float64",
                    channels=CHANNELS,
                    units=UNITS,
                    stamp="exact",
                )
            )
        return tuple(found)

    def frame(self, number: int) -> Frame:
        """Frame `number`, ``(H, W, 3)`` blue, green, red; it shows second ``number / fps``."""
        picture = self._eye()
        t = number / self.settings.fps
        wrong = self.plan.between(t, t + 1e-9)
        shift = _shift(wrong, Modality.VIDEO)
        if shift is not None and shift.shift is not None:
            visible = self.world.visible(t + shift.shift.by_s, [], [])
        else:
            stays = [a.stay for a in wrong if a.stay is not None]
            visible = self.world.visible(t, _visits(wrong), stays)
        return picture.frame(visible, number)

    def image(self, number: int) -> tuple[bytes | Frame, Encoding]:
        """Frame `number` as the settings want it, JPEG or raw."""
        frame = self.frame(number)
        if self.settings.jpeg_quality is None:
            return frame, Encoding.RAW
        data: bytes = simplejpeg.encode_jpeg(
            frame, quality=self.settings.jpeg_quality, colorspace="BGR", colorsubsampling="420"
        )
        return data, Encoding.JPEG

    def sound(self, first: int, count: int) -> npt.NDArray[np.int16]:
        """Audio samples ``[first, first + count)``, ``(count, 1)``."""
        return _cut(self._pcm.at, self.settings.audio_hz // 2, first, count)[:, None]

    def reading(self, number: int) -> Floats:
        """Reading `number` of all channels, ``(C,)``; taken at ``number / sensor_hz``."""
        block, row = divmod(number, self._sensors.block)
        values: Floats = self._values.at(block)[row].copy()
        return values

    def _make_pcm(self, number: int) -> npt.NDArray[np.int16]:
        sound = self._ears()
        t0 = number * sound.block / sound.hz
        wrong = self.plan.between(t0, t0 + sound.block / sound.hz)
        strange = [a.sounding for a in wrong if a.sounding is not None]
        mixed = sound.mix(number, _visits(wrong), strange)
        for anomaly in wrong:
            if anomaly.shift is not None and anomaly.shift.modality is Modality.AUDIO:
                self._displace(mixed, number * sound.block, anomaly)
        return np.round(np.tanh(mixed) * 32767.0).astype(np.int16)

    def _displace(self, mixed: Floats, first: int, anomaly: Anomaly) -> None:
        if anomaly.shift is None:
            return
        hz, count = self.settings.audio_hz, len(mixed)
        by = round(anomaly.shift.by_s * hz)
        other = _cut(self._plain_mix.at, hz // 2, first + by, count)
        at = np.arange(first, first + count)
        begin, end = np.ceil(anomaly.start_s * hz), np.ceil(anomaly.end_s * hz)
        share = np.clip(np.minimum(at - begin, end - at) / (_CUT_S * hz), 0.0, 1.0)
        mixed += (other - mixed) * share

    def _make_plain_mix(self, number: int) -> Floats:
        return self._ears().mix(number, [], [])

    def _eye(self) -> Picture:
        if self._picture is None:
            self._picture = Picture(self.world.place, self.settings.seed, self.settings.size)
        return self._picture

    def _ears(self) -> Sound:
        if self._sound is None:
            self._sound = Sound(self.world, self.settings.audio_hz)
        return self._sound

    def _make_values(self, number: int) -> Floats:
        sensors = self._sensors
        t = sensors.times_s(number)
        wrong = self.plan.between(float(t[0]), float(t[-1]) + 1e-9)
        if not wrong:
            return self._plain_values.at(number)
        truth = sensors.truth(number, _visits(wrong))
        for anomaly in wrong:
            if anomaly.pretence is not None:
                anomaly.pretence.apply(truth, t, self.world.machine)
        values = rounded(truth + sensors.noise(number))
        for anomaly in wrong:
            if anomaly.fault is not None:
                begin = int(np.ceil(anomaly.fault.start_s * sensors.hz))
                held = float(self._plain_reading(begin)[anomaly.fault.channel])
                anomaly.fault.apply(values, t, held, sensors.hz, self._fault_noise)
            if anomaly.shift is not None and anomaly.shift.modality is Modality.SENSOR:
                by = round(anomaly.shift.by_s * sensors.hz)
                for row in np.nonzero((t >= anomaly.start_s) & (t < anomaly.end_s))[0]:
                    values[row] = self._plain_reading(number * sensors.block + int(row) + by)
        return rounded(values)

    def _make_plain_values(self, number: int) -> Floats:
        sensors = self._sensors
        return rounded(rounded(sensors.truth(number, []) + sensors.noise(number)))

    def _plain_reading(self, number: int) -> Floats:
        block, row = divmod(number, self._sensors.block)
        values: Floats = self._plain_values.at(block)[row]
        return values


D = TypeVar("D", np.int16, np.float64)


def _cut(
    block_at: Callable[[int], npt.NDArray[D]], size: int, first: int, count: int
) -> npt.NDArray[D]:
    """Samples ``[first, first + count)`` out of blocks of `size`."""
    parts = []
    while count > 0:
        number, into = divmod(first, size)
        some = min(count, size - into)
        parts.append(block_at(number)[into : into + some])
        first, count = first + some, count - some
    return np.concatenate(parts)


def _visits(wrong: list[Anomaly]) -> list[Visit]:
    return [a.visit for a in wrong if a.visit is not None]


def _shift(wrong: list[Anomaly], modality: Modality) -> Anomaly | None:
    for anomaly in wrong:
        if anomaly.shift is not None and anomaly.shift.modality is modality:
            return anomaly
    return None
