"""Sites as files that a user might import: a normal first part, then something put in.

One is made of real recordings kept beside the checkout, one is generated on the spot.
"""

from __future__ import annotations

import wave
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from nodes.demo_report import Truth

Picture = npt.NDArray[np.uint8]
Sound = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SiteFiles:
    """What a user has, and what is known about it.

    Attributes:
        options: Options of ``fusewatch import`` that name the files.
        normal_s: Until then all is normal.
        truths: What was put in after that.
    """

    options: tuple[str, ...]
    normal_s: float
    truths: tuple[Truth, ...]


def write_footage(path: Path, pictures: Iterable[Picture], fps: int) -> Path:
    """H.264 in MP4."""
    with av.open(str(path), "w") as container:
        stream = None
        for number, picture in enumerate(pictures):
            if stream is None:
                options = {"preset": "veryfast", "crf": "20"}
                stream = container.add_stream("libx264", rate=fps, options=options)
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = "yuv420p"
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode(None))
    return path


def write_sound(path: Path, sound: Sound, rate_hz: int) -> Path:
    """16-bit mono WAV."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((np.clip(sound, -1, 1) * 32_767).astype("<i2").tobytes())
    return path


def read_footage(path: Path, size: tuple[int, int], every: int = 1) -> list[Picture]:
    """Every so many frames at `size` (width, height), BGR."""
    with av.open(str(path)) as container:
        frames = (f for n, f in enumerate(container.decode(video=0)) if n % every == 0)
        return [f.reformat(*size, format="bgr24").to_ndarray() for f in frames]


def read_sound(path: Path, rate_hz: int) -> Sound:
    """The whole file as mono float32 ``(N,)``."""
    resampler = av.AudioResampler("s16", "mono", rate_hz)
    with av.open(str(path)) as container:
        pieces = [p for f in container.decode(audio=0) for p in resampler.resample(f)]
        pieces += resampler.resample(None)
    return np.concatenate([p.to_ndarray()[0] for p in pieces]).astype(np.float32) / 32_768


def _options(folder: Path, files: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(part for kind, name in files.items() for part in (f"--{kind}", f"{folder}/{name}"))


def with_object(picture: Picture, corner: tuple[int, int], edge: int) -> Picture:
    """The picture with a brown box standing in it."""
    x, y = corner
    changed = picture.copy()
    cv2.rectangle(changed, (x, y), (x + edge, y + edge), (50, 80, 150), -1)
    return changed


def mixed_in(sound: Sound, event: Sound, at: int, louder_db: float) -> Sound:
    """The sound with an event over it, so much louder than what it covers."""
    place = slice(at, at + len(event))
    ratio = float(np.sqrt((sound[place] ** 2).mean() / (event**2).mean()))
    changed = sound.copy()
    changed[place] += event * np.float32(ratio * 10 ** (louder_db / 20))
    return changed


# --- made of real recordings -------------------------------------------------------------------

REAL_FPS = 5
REAL_SIZE = (320, 240)
REAL_RATE = 16_000
REAL_ROUNDS = 4
REAL_NORMAL_S = 238.0


def real_site(folder: Path, footage: Path, ambience: Path, event: Path, pump: Path) -> SiteFiles:
    """Footage and ambience played over and over, a pump's readings as they go on.

    The last time round an object stands in the picture, a sound is mixed over the ambience and
    a channel of the pump reads too much.
    """
    clip = read_footage(footage, REAL_SIZE, every=2)
    seconds = REAL_ROUNDS * len(clip) // REAL_FPS
    truths = (
        Truth(250.0, 258.0, "object", ("video",)),
        Truth(272.0, 274.0, "sound", ("audio",)),
        Truth(292.0, 300.0, "fault", ("sensor",)),
    )
    box, horn, fault = truths
    write_footage(folder / "footage.mp4", _played(clip, seconds, box), REAL_FPS)
    heard = np.resize(read_sound(ambience, REAL_RATE), seconds * REAL_RATE)
    horn_sound = read_sound(event, REAL_RATE)[: round((horn.end_s - horn.start_s) * REAL_RATE)]
    heard = mixed_in(heard, horn_sound, round(horn.start_s * REAL_RATE), louder_db=6.0)
    write_sound(folder / "ambience.wav", heard, REAL_RATE)
    _write_pump(folder / "pump.csv", pump, seconds, fault)
    files = {"video": "footage.mp4", "audio": "ambience.wav", "sensors": "pump.csv"}
    return SiteFiles(_options(folder, files), REAL_NORMAL_S, truths)


def _played(clip: Sequence[Picture], seconds: int, box: Truth) -> Iterator[Picture]:
    """The clip forward again and again, each time a little brighter or darker."""
    light = np.random.default_rng(1).integers(-3, 4, 16)
    for number in range(seconds * REAL_FPS):
        picture = clip[number % len(clip)].astype(np.int16) + light[number // len(clip)]
        picture = np.clip(picture, 0, 255).astype(np.uint8)
        there = box.start_s <= number / REAL_FPS < box.end_s
        yield with_object(picture, (110, 150), 30) if there else picture


def _write_pump(path: Path, pump: Path, seconds: int, fault: Truth) -> None:
    """The first rows of the table; during the fault the pump's current is offset."""
    head, *rows = pump.read_text().splitlines()
    names = head.split(";")
    column = names.index("Current")
    cells = [row.split(";") for row in rows[:seconds]]
    values = np.array([float(c[column]) for c in cells[: int(REAL_NORMAL_S)]])
    offset = 8.0 * float(values.std())
    lines = [";".join(["seconds", *names[1:]])]
    for second, row in enumerate(cells):
        if fault.start_s <= second < fault.end_s:
            row[column] = f"{float(row[column]) + offset:.6g}"
        lines.append(";".join([str(second), *row[1:]]))
    path.write_text("\n".join(lines) + "\n")


# --- generated ---------------------------------------------------------------------------------

MADE_FPS = 5
MADE_RATE = 8000
MADE_HZ = 5
MADE_S = 168
MADE_NORMAL_S = 118.0
BLOCK_S = 0.5


def made_site(folder: Path) -> SiteFiles:
    """A yard that someone crosses now and then, a fan, two sensors, a log; with gaps.

    Times files say that two seconds of footage and one of sound were lost, the table lacks
    eight seconds of rows and has text and nothing among its numbers.
    """
    truths = (
        Truth(124.0, 129.0, "object", ("video",)),
        Truth(135.0, 137.0, "sound", ("audio",)),
        Truth(145.0, 151.0, "fault", ("sensor",)),
        Truth(161.0, 161.1, "line", ("text",)),
    )
    box, whistle, fault, line = truths
    write_footage(folder / "yard.mp4", _yard(box), MADE_FPS)
    _write_times(folder / "yard-times.csv", MADE_S * MADE_FPS, 1 / MADE_FPS, lost=(30.0, 32.0))
    write_sound(folder / "fan.wav", _fan(whistle), MADE_RATE)
    _write_times(folder / "fan-times.csv", int(MADE_S / BLOCK_S), BLOCK_S, lost=(50.0, 51.0))
    _write_readings(folder / "machine.csv", fault)
    _write_log(folder / "machine.log", line)
    files = {"video": "yard.mp4", "audio": "fan.wav", "sensors": "machine.csv"}
    files |= {
        "video-times": "yard-times.csv",
        "audio-times": "fan-times.csv",
        "text": "machine.log",
    }
    return SiteFiles(_options(folder, files), MADE_NORMAL_S, truths)


def _yard(box: Truth) -> Iterator[Picture]:
    rng = np.random.default_rng(2)
    ground = cv2.resize(rng.integers(60, 140, (12, 16, 3), dtype=np.uint8), (160, 120))
    row, speed, place = 60, 8, -20
    for number in range(MADE_S * MADE_FPS):
        noise = rng.integers(-4, 5, ground.shape)
        picture = np.clip(ground + noise, 0, 255).astype(np.uint8)
        cv2.rectangle(picture, (place, row), (place + 8, row + 24), (30, 30, 60), -1)
        place += speed
        if place > 160 + 10 * speed:
            row, speed, place = int(rng.integers(40, 80)), int(rng.integers(5, 12)), -20
        there = box.start_s <= number / MADE_FPS < box.end_s
        yield with_object(picture, (120, 90), 14) if there else picture


def _fan(whistle: Truth) -> Sound:
    rng = np.random.default_rng(3)
    t = np.arange(MADE_S * MADE_RATE, dtype=np.float32) / MADE_RATE
    sway = 1 + 0.3 * np.sin(2 * np.pi * t / 7.3)
    sound = 0.02 * rng.standard_normal(len(t)) + 0.03 * sway * np.sin(2 * np.pi * 120 * t)
    during = (t >= whistle.start_s) & (t < whistle.end_s)
    sound[during] += 0.05 * np.sin(2 * np.pi * 1900 * t[during])
    return sound.astype(np.float32)


def _write_times(path: Path, count: int, period_s: float, lost: tuple[float, float]) -> None:
    rows = ["index,seconds,present"]
    for index in range(count):
        seconds = index * period_s
        there = not lost[0] <= seconds < lost[1]
        rows.append(f"{index},{seconds:.3f},{int(there)}")
    path.write_text("\n".join(rows) + "\n")


def _write_readings(path: Path, fault: Truth) -> None:
    rng = np.random.default_rng(4)
    rows = ["seconds;speed;heat"]
    for number in range(MADE_S * MADE_HZ):
        second = number / MADE_HZ
        if 60.0 <= second < 68.0:
            continue
        speed = 1480 + 20 * np.sin(second / 3) + rng.normal(0, 4)
        heat = f"{40 + 2 * np.sin(second / 11) + rng.normal(0, 0.2):.2f}"
        if fault.start_s <= second < fault.end_s:
            speed = 1300.0
        heat = {100: "n/a", 101: ""}.get(number, heat)
        rows.append(f"{second:.1f};{speed:.1f};{heat}")
    path.write_text("\n".join(rows) + "\n")


def _write_log(path: Path, line: Truth) -> None:
    rng = np.random.default_rng(5)
    said = ("pump running at {} rpm", "valve {} open", "pressure {} bar")
    rows = []
    for second in range(MADE_S):
        text = said[second % len(said)].format(int(rng.integers(10, 99)))
        rows.append(f"{second}.000 {text}")
        if second == int(line.start_s):
            rows.append(f"{line.start_s:.3f} emergency stop: bearing seized, smoke reported")
    path.write_text("\n".join(rows) + "\n")
