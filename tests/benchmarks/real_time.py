"""Four scenes on one machine: the processor time and memory of the engine, and how it starts.

Run as ``python -m tests.benchmarks.real_time``. A scene is a camera of 640x360 at 10 frames a
second as JPEG, a microphone of 16 kHz and 20 channels at 10 Hz, all of one synthetic site; the
four scenes are four copies of it, each with a model of its own. The engine is the one of the
fusion node and the replay (`nodes.assembly`), and is given a recording as fast as it takes it:
no sockets, and no waiting. Each figure comes from a process of its own, so that the memory is
that of the engine and the start is a whole one.

Time is processor time of one core, but for the start. Beside it stands, from the same run, the
least that anybody must do: read the same recording and decode its pictures.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[2]
SECOND_NS = 1_000_000_000
START_NS = 1_700_000_000 * SECOND_NS
LEARN_S, LIVE_S = 120, 60
SCENES = ("north", "east", "south", "west")
CHANNELS = 20
PLACE, SEED = 3, 11
CORES = 2

DEPLOYMENT = """
name: real-time
data: .
nodes:
{nodes}
scenes:
{scenes}
"""
NODE = """  {scene}:
    sources:
      - {{type: scene, video: {scene}-camera, audio: {scene}-microphone, sensor: {scene}-sensors}}
"""
SCENE = """  {scene}:
    streams: [{scene}-camera, {scene}-microphone, {scene}-sensors]
    model: {scene}.model
    alarm: {{budget: 60/hour}}
"""


# What is measured. Each part runs in a process of its own; imports are part of the start.


def drive(folder: Path, name: str) -> dict[str, float]:
    """All of a recording through the engine: processor seconds per second, memory, windows."""
    from nodes.replay import replay
    from pipeline.config import load_deployment

    began = time.process_time()
    done = replay([folder / f"{name}.mcap"], load_deployment(folder / f"{name}.yaml"))
    spent_s = time.process_time() - began
    anomalous = sum(score.p <= 0.01 for score in done.scores)
    return {
        "share": spent_s / LIVE_S,
        "window_ms": spent_s / len(done.scores) * 1e3,
        "windows": len(done.scores),
        "anomalous": anomalous,
        "resident_mb": most_resident_mb(),
    }


def most_resident_mb() -> float:
    """Most memory that this process ever had; that of `getrusage` begins with its parent's."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def least(folder: Path, name: str) -> dict[str, float]:
    """Read the recording and decode its pictures to the size they are looked at."""
    from pipeline.core.arrival import SampleArrived
    from pipeline.models.picture import prepare_picture
    from pipeline.recording.merge import read_many

    began = time.process_time()
    for arrival in read_many([folder / f"{name}.mcap"]):
        if isinstance(arrival, SampleArrived):
            prepare_picture(arrival.sample, 144)
    return {"share": (time.process_time() - began) / LIVE_S}


def start(folder: Path, name: str) -> dict[str, float]:
    """Seconds until the first window is scored."""
    from nodes.assembly import build_engine
    from nodes.replay import arrivals_of, drive
    from pipeline.config import load_deployment

    engine = build_engine(load_deployment(folder / f"{name}.yaml")).engine
    began_s = float(os.environ["BEGAN_S"])
    ready_s, spent_s = time.monotonic() - began_s, time.process_time()
    for arrival in arrivals_of([folder / f"{name}.mcap"], START_NS, None, None):
        if drive(engine, arrival).scores:
            scored_s = time.monotonic() - began_s
            return {"ready_s": ready_s, "ready_cpu_s": spent_s, "scored_s": scored_s}
    raise RuntimeError("no window was scored")


PARTS: dict[str, Callable[[Path, str], dict[str, float]]] = {
    part.__name__: part for part in (drive, least, start)
}


def measured(part: str, folder: Path, name: str) -> dict[str, float]:
    """What a part finds, in a new process."""
    command = [sys.executable, "-m", "tests.benchmarks.real_time", part, str(folder), name]
    environment = {**os.environ, "BEGAN_S": repr(time.monotonic())}
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT, env=environment)
    found: dict[str, float] = json.loads(said.stdout.splitlines()[-1])
    return found


# What it is measured on.


def prepare(folder: Path) -> None:
    """Write the deployments, the model and the recordings of one scene and of all."""
    from nodes.commission import commission_scene
    from pipeline.config import load_deployment
    from pipeline.models.checkpoint import load_model, save_model
    from pipeline.models.odd_settings import OddSettings
    from pipeline.models.settings import DetectorSettings

    for name, scenes in (("one", SCENES[:1]), ("four", SCENES)):
        parts = {"nodes": NODE, "scenes": SCENE}
        text = {k: "".join(v.format(scene=s) for s in scenes) for k, v in parts.items()}
        (folder / f"{name}.yaml").write_text(DEPLOYMENT.format(**text))
        record(folder / f"{name}.mcap", scenes, LEARN_S, LEARN_S + LIVE_S, wrong=True)
    normal = folder / "normal.mcap"
    record(normal, SCENES[:1], 0, LEARN_S, wrong=False)
    # How long a network learns changes nothing about what it costs later.
    settings = DetectorSettings(odd=OddSettings(least_s=60.0, steps=20))
    deployment = load_deployment(folder / "one.yaml")
    model = folder / "north.model"
    commission_scene(deployment, SCENES[0], [normal], model, settings=settings)
    learnt = load_model(model)
    for scene in SCENES[1:]:
        streams = (
            replace(s, info=replace(s.info, name=named(scene, s.info.name))) for s in learnt.streams
        )
        save_model(replace(learnt, scene=scene, streams=tuple(streams)), folder / f"{scene}.model")


def named(scene: str, stream: str) -> str:
    """The name of a stream in one of the scenes."""
    return f"{scene}-{stream.partition('-')[2]}"


def record(file: Path, scenes: tuple[str, ...], from_s: int, to_s: int, *, wrong: bool) -> None:
    """Record scene seconds of the site, once for each scene."""
    from pipeline.core.arrival import SampleArrived, StreamEnded, StreamOpened
    from pipeline.core.sample import Modality
    from pipeline.recording.writer import RecordingWriter
    from pipeline.sources.scene import samples
    from pipeline.sources.synthetic.reel import Reel
    from pipeline.sources.synthetic.settings import ScheduleSettings, SiteSettings

    schedule = ScheduleSettings(every_s=20.0, first_s=from_s + 5.0)
    site = SiteSettings(place=PLACE, seed=SEED, anomalies=schedule if wrong else "none")
    chance = np.random.default_rng(0)
    kinds = {info.name: info.modality for info in Reel(site).infos()}
    with RecordingWriter(file, deployment="real-time") as writer:
        for scene in scenes:
            for info in Reel(site).infos():
                told = replace(info, name=named(scene, info.name))
                if info.modality is Modality.SENSOR:
                    channels = tuple(f"channel-{n}" for n in range(CHANNELS))
                    told = replace(told, shape=(CHANNELS,), channels=channels, units=())
                writer.write(StreamOpened(START_NS, scene, told))
        at_ns = START_NS
        for number, sample in enumerate(samples(site, START_NS, from_s=from_s, to_s=to_s)):
            at_ns, data = sample.timestamp_ns, sample.data
            if kinds[sample.stream] is Modality.SENSOR and isinstance(data, np.ndarray):
                data = wide(data, chance)
            for scene in scenes:
                stream = named(scene, sample.stream)
                copy = replace(sample, stream=stream, sequence=number, data=data)
                writer.write(SampleArrived(at_ns, scene, copy))
        for scene in scenes:
            for stream in kinds:
                writer.write(StreamEnded(at_ns, scene, named(scene, stream)))


def wide(reading: npt.NDArray[np.generic], chance: np.random.Generator) -> npt.NDArray[np.float64]:
    """The site's few channels as many: the others follow them, each with noise of its own."""
    values = np.resize(np.asarray(reading, np.float64), CHANNELS)
    values[len(reading) :] += chance.normal(0.0, 0.1, CHANNELS - len(reading))
    return values


Row = tuple[str, float, float | None, str]


def rows(folder: Path) -> Iterator[Row]:
    """What was measured, its target, and whether that is a least or a most."""
    four, one = measured("drive", folder, "four"), measured("drive", folder, "one")
    floor, begun = measured("least", folder, "four"), measured("start", folder, "four")
    yield "4 scenes, share of one core, per cent", 100 * four["share"], None, "<="
    yield "  left of two cores, per cent", 100 * (1 - four["share"] / CORES), 50.0, ">="
    yield "  times the least work on the same samples", four["share"] / floor["share"], None, ""
    yield "  whole cost of a window, ms", four["window_ms"], None, ""
    yield "  memory at most, MB", four["resident_mb"], 1500.0, "<="
    yield "1 scene, replay, times real time", 1 / one["share"], 20.0, ">="
    yield "start until its first window is scored, s", begun["scored_s"], 5.0, "<="
    yield "  until it is ready, s", begun["ready_s"], None, ""
    yield "  until it is ready, s of processor time", begun["ready_cpu_s"], None, ""
    print(f"{four['windows']:.0f} windows of 4 scenes, of which {four['anomalous']:.0f} unusual")


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as made:
        prepare(Path(made))
        print(f"{'':46}{'measured':>10}   target", flush=True)
        for what, value, target, sign in rows(Path(made)):
            beside = "" if target is None else f"   {sign} {target:g}"
            print(f"{what:46}{value:10.1f}{beside}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(PARTS[sys.argv[1]](Path(sys.argv[2]), sys.argv[3])))
    else:
        main()
