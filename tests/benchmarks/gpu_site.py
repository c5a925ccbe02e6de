"""What `gpu_worker` measures on: the model of a scene, and decoded windows of it.

``python -m tests.benchmarks.gpu_site FOLDER`` learns a synthetic site and writes both. It needs
the whole of fusewatch; to read them takes torch, numpy, opencv and a few small packages, so that a
bare machine with a GPU can.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.core.sample import Encoding, Sample
from pipeline.core.window import AudioSlice, SensorSlice, Slice, VideoSlice, Window
from pipeline.models.checkpoint import load_model
from pipeline.models.scene_model import SceneModel
from pipeline.models.stream_model import StreamModel, make_extractor

MODEL, WINDOWS = "site.model", "windows.npz"
LEARN_S, LIVE_S = 700.0, 30.0
DEPLOYMENT = """
name: gpu
data: .
nodes:
  site:
    sources:
      - {type: scene, size: [640, 360], duration_s: 60}
scenes:
  site:
    streams: [site-camera, site-microphone, site-sensors]
    model: site.model
"""


def learn(folder: Path) -> None:
    """Write the model of a site and windows of its last half minute, as normal as can be."""
    from nodes.assembly import build_engine
    from nodes.commission import commission_scene
    from nodes.demo_site import record_normal, site_of
    from nodes.replay import arrivals_of, drive, start_of
    from pipeline.config import load_deployment
    from pipeline.detection.scorer import Look

    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "gpu.yaml"
    config.write_text(DEPLOYMENT)
    deployment = load_deployment(config)
    normal, live = folder / "normal.mcap", folder / "live.mcap"
    record_normal(site_of(deployment), normal, 0.0, LEARN_S)
    record_normal(site_of(deployment), live, LEARN_S - LIVE_S, LEARN_S)
    commission_scene(deployment, "site", [normal], folder / MODEL)
    looks: list[Look] = []
    engine = build_engine(deployment, watch=looks.append).engine
    for arrival in arrivals_of([live], start_of([live]), None, None):
        drive(engine, arrival)
    whole = [one.window for one in looks if one.window.complete]
    _write(folder / WINDOWS, [w for w in whole if all(s.coverage == 1 for s in w.slices.values())])
    for recording in (normal, live):
        recording.unlink()


def _write(path: Path, windows: Sequence[Window]) -> None:
    """Arrays of all windows; a frame of several windows once."""
    frames: dict[int, np.ndarray] = {}
    arrays: dict[str, np.ndarray] = {"index": np.array([w.index for w in windows])}
    for name, first in windows[0].slices.items():
        parts = [window.slices[name] for window in windows]
        if isinstance(first, VideoSlice):
            shown = [[f for f in part.frames if f is not None] for part in parts]
            frames |= {f.timestamp_ns: f.data for row in shown for f in row}
            arrays[f"{name}.time"] = np.array([[f.timestamp_ns for f in row] for row in shown])
            arrays[f"{name}.grid"] = np.stack([part.grid_ns for part in parts])
        else:
            values = "samples" if isinstance(first, AudioSlice) else "values"
            arrays[name] = np.stack([getattr(part, values) for part in parts])
            if isinstance(first, SensorSlice):
                arrays[f"{name}.grid"] = np.stack([part.grid_ns for part in parts])
    times = sorted(frames)
    np.savez_compressed(
        path, frame_time=np.array(times), frames=np.stack([frames[t] for t in times]), **arrays
    )


class Site:
    """The site as many scenes, each with windows of its own time.

    Args:
        folder: Where `learn` wrote.
    """

    def __init__(self, folder: Path) -> None:
        self.model = load_model(folder / MODEL)
        with np.load(folder / WINDOWS) as arrays:
            self._arrays = dict(arrays)
        camera = next(s.info.name for s in self.model.streams if s.view or s.density.objects)
        pairs = zip(self._arrays["frame_time"], self._arrays["frames"], strict=True)
        self._frames = {
            int(time_ns): Sample(camera, 0, int(time_ns), frame, encoding=Encoding.RAW)
            for time_ns, frame in pairs
        }
        self.windows = len(self._arrays["index"])

    def model_of(self, scene: str) -> SceneModel:
        """The model as that of a scene, with nothing kept of another's latest windows."""
        streams = tuple(self._fresh(stream) for stream in self.model.streams)
        return replace(self.model, scene=scene, streams=streams)

    def _fresh(self, stream: StreamModel) -> StreamModel:
        density = stream.density
        if density.objects is not None:
            density = replace(density, objects=replace(density.objects))
        extractor = make_extractor(stream.info, stream.settings)
        return replace(stream, density=density, extractor=extractor)

    def window(self, scene: str, number: int) -> Window:
        """One of its windows, as one of `scene`."""
        index = int(self._arrays["index"][number])
        start_ns = index * self.model.hop_ns
        slices = {s.info.name: self._slice(s, number) for s in self.model.streams}
        return Window(scene, index, start_ns, start_ns + self.model.length_ns, slices)

    def _slice(self, stream: StreamModel, number: int) -> Slice:
        info, arrays = stream.info, self._arrays
        if f"{info.name}.time" in arrays:
            frames = tuple(self._frames[int(t)] for t in arrays[f"{info.name}.time"][number])
            there = np.ones(len(frames), np.bool_)
            return VideoSlice(info, arrays[f"{info.name}.grid"][number], frames, there, 1.0)
        values = arrays[info.name][number]
        if f"{info.name}.grid" in arrays:
            grid_ns = arrays[f"{info.name}.grid"][number]
            return SensorSlice(info, grid_ns, values, np.isfinite(values), 1.0)
        return AudioSlice(info, values, np.ones(len(values), np.bool_), 1.0)


if __name__ == "__main__":
    learn(Path(sys.argv[1]))
