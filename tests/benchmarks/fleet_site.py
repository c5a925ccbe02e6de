"""What a simulated fleet shows, and the deployment and models that its workers run.

Every scene of a fleet is one synthetic site: slow streams, small pictures. It is learnt once for
each way of dealing streams to nodes, and the model file is written again for each scene under its
streams' names, so that a worker loads and holds as many models as it has scenes, as a real one
does. What nodes send is the last minute of what was learnt, each from another second of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import yaml

from nodes.commission import commission_scene
from pipeline.config import load_deployment
from pipeline.core.arrival import SampleArrived, StreamEnded, StreamOpened
from pipeline.core.codec import Buffer, SampleHeader, describe
from pipeline.core.sample import Modality, Sample, StreamInfo
from pipeline.models.checkpoint import load_model, save_model
from pipeline.models.odd_settings import OddSettings
from pipeline.models.settings import DetectorSettings
from pipeline.recording.writer import RecordingWriter
from pipeline.sources.scene import samples
from pipeline.sources.synthetic.reel import Reel
from pipeline.sources.synthetic.settings import SiteSettings

SECOND_NS = 1_000_000_000
START_NS = 1_700_000_000 * SECOND_NS
LEARN_S, SHOWN_S = 480, 60
WINDOW_S, HOP_S = 4.0, 2.0
RATE_HZ, SIZE, SOUND_HZ, CHUNK_MS = 2.0, (320, 180), 8_000, 500
SITE = SiteSettings(
    place=3, seed=11, fps=RATE_HZ, size=SIZE, audio_hz=SOUND_HZ, audio_chunk_ms=CHUNK_MS,
    sensor_hz=RATE_HZ,
)  # fmt: skip
LEARNT = "learnt"


@dataclass(frozen=True, slots=True)
class Layout:
    """How the streams of each scene are dealt to nodes.

    Attributes:
        kind: ``sensors``: readings alone; ``senses``: a camera, a microphone and sensors.
        nodes: Nodes of a scene.
        streams: Streams of a node.
    """

    kind: str = "sensors"
    nodes: int = 1
    streams: int = 1

    @property
    def name(self) -> str:
        """Of its model; who of the nodes sends a stream is nothing to the model."""
        return f"{self.kind}-{self.nodes * self.streams}"

    def of_scene(self, scene: str) -> list[str]:
        """Streams of a scene."""
        return [f"{scene}-{number}" for number in range(self.nodes * self.streams)]

    def of_node(self, scene: str, node: int) -> list[str]:
        """Streams of one of its nodes."""
        return self.of_scene(scene)[node * self.streams : (node + 1) * self.streams]


@dataclass(frozen=True, slots=True)
class Shown:
    """What one stream shows, again and again.

    Attributes:
        info: The stream, as of scene `LEARNT`.
        parts: Header and payload of each sample, in order; one is due every `every_ns`.
        every_ns: From one sample to the next.
        length: Positions that a sample takes on the stream's own count; 0: it has none.
    """

    info: StreamInfo
    parts: Sequence[tuple[SampleHeader, Buffer]]
    every_ns: int
    length: int


def scene_names(count: int) -> list[str]:
    """Names of the scenes of a fleet."""
    return [f"s{number:04}" for number in range(count)]


def learn(layout: Layout, folder: Path) -> list[Shown]:
    """Learn the site, unless the folder has it; what its streams show.

    Args:
        layout: How its streams are dealt out.
        folder: Where its model is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model, recording = _model(layout, folder), folder / f"{layout.name}.mcap"
    if not model.exists():
        _record(layout, recording)
        # How long a network learns changes nothing about what it costs later.
        settings = DetectorSettings(odd=OddSettings(least_s=60.0, steps=20))
        config = deploy(folder / layout.name, layout, [LEARNT], "tcp://127.0.0.1:1", models=False)
        deployment = load_deployment(config)
        draft = model.with_suffix(".draft")
        commission_scene(deployment, LEARNT, [recording], draft, settings=settings)
        draft.replace(model)
        recording.unlink()
    shown = _samples(layout, LEARN_S - SHOWN_S, LEARN_S)
    return [_shown(info, own) for info, own in zip(_infos(layout), shown, strict=True)]


def deploy(
    folder: Path,
    layout: Layout,
    scenes: Sequence[str],
    listen: str,
    *,
    models: bool = True,
    more: dict[str, object] | None = None,
) -> Path:
    """Write the deployment of some scenes; its file.

    Args:
        folder: For the file, the data and the models.
        layout: How streams are dealt to nodes.
        scenes: The scenes.
        listen: Address of the fusion node.
        models: Whether scenes have models, ``SCENE.model`` in the folder.
        more: Sections of the file that replace these.
    """
    folder.mkdir(parents=True, exist_ok=True)
    told = {
        "name": "fleet",
        "data": str(folder / "data"),
        "nodes": {
            f"{scene}-n{node}": {"sources": [_source(s) for s in layout.of_node(scene, node)]}
            for scene in scenes
            for node in range(layout.nodes)
        },
        "scenes": {
            scene: {
                "streams": layout.of_scene(scene),
                "window_s": WINDOW_S,
                "hop_s": HOP_S,
                "alarm": {"budget": "2/week"},
                **({"model": str(folder / f"{scene}.model")} if models else {}),
            }
            for scene in scenes
        },
        "fusion": {"listen": listen, "device": "cpu"},
        **(more or {}),
    }
    config = folder / "fleet.yaml"
    config.write_text(yaml.safe_dump(told, sort_keys=False), "utf-8")
    return config


def give_models(folder: Path, layout: Layout, scenes: Sequence[str], kept: Path) -> None:
    """Write the learnt model for each scene, under its streams' names."""
    learnt = load_model(_model(layout, kept))
    for scene in scenes:
        names = dict(zip(layout.of_scene(LEARNT), layout.of_scene(scene), strict=True))
        streams = tuple(
            replace(s, info=replace(s.info, name=names[s.info.name])) for s in learnt.streams
        )
        save_model(replace(learnt, scene=scene, streams=streams), folder / f"{scene}.model")


def _model(layout: Layout, folder: Path) -> Path:
    return folder / f"{layout.name}.model"


def _source(stream: str) -> dict[str, object]:
    """What a real node would read the stream from; here only its name counts."""
    return {"type": "scene", "video": None, "audio": None, "sensor": stream}


def _infos(layout: Layout) -> list[StreamInfo]:
    """Streams of the learnt scene, in their order."""
    camera, microphone, sensors = Reel(SITE).infos()
    names = layout.of_scene(LEARNT)
    if layout.kind == "sensors":
        return [replace(sensors, name=name) for name in names]
    chosen = zip((camera, microphone, sensors), names, strict=True)
    return [replace(info, name=name) for info, name in chosen]


def _samples(layout: Layout, from_s: float, to_s: float) -> list[list[Sample]]:
    """Samples of each stream in scene seconds, in their order."""
    only = (
        SITE if layout.kind == "senses" else SITE.model_copy(update={"video": None, "audio": None})
    )
    infos = _infos(layout)
    found: list[list[Sample]] = [[] for _ in infos]
    chance = np.random.default_rng(0)
    kinds = [info.modality for info in Reel(only).infos()]
    names = only.stream_names()
    for sample in samples(only, START_NS, from_s=from_s, to_s=to_s):
        modality = kinds[names.index(sample.stream)]
        for info, own in zip(infos, found, strict=True):
            if info.modality is modality:
                own.append(replace(sample, stream=info.name, data=_own(sample, chance)))
    return found


def _own(sample: Sample, chance: np.random.Generator) -> object:
    """Readings with a noise of their own; everything else as it is."""
    if not isinstance(sample.data, np.ndarray) or sample.data.dtype != np.float64:
        return sample.data
    return sample.data + chance.normal(0.0, 0.05, sample.data.shape)


def _record(layout: Layout, file: Path) -> None:
    infos = _infos(layout)
    numbered = [
        replace(sample, sequence=sequence)
        for own in _samples(layout, 0, LEARN_S)
        for sequence, sample in enumerate(own)
    ]
    with RecordingWriter(file, deployment="fleet", overwrite=True) as writer:
        for info in infos:
            writer.write(StreamOpened(START_NS, "node", info))
        for sample in sorted(numbered, key=lambda one: one.timestamp_ns):
            writer.write(SampleArrived(sample.timestamp_ns, "node", sample))
        for info in infos:
            writer.write(StreamEnded(START_NS + LEARN_S * SECOND_NS, "node", info.name))


def _shown(info: StreamInfo, own: Sequence[Sample]) -> Shown:
    sound = info.modality is Modality.AUDIO
    every_ns = CHUNK_MS * 1_000_000 if sound else round(SECOND_NS / RATE_HZ)
    length = SOUND_HZ * CHUNK_MS // 1000 if sound else 0
    return Shown(info, [describe(sample)[1:] for sample in own], every_ns, length)
