"""Files as a release writes them, kept for all later ones to open.

``python -m tests.golden.release`` writes ``releases/<version>/`` of the version that is checked
out, once, when it is released; what is there is never written anew. `read` says what this
fusewatch makes of such a folder, which must be what the release itself made of it
(``expected.json``).
"""

from __future__ import annotations

import gzip
import json
import shutil
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline import __version__
from pipeline.core import codec
from pipeline.core.event import Event, to_json
from pipeline.core.ledger import Ledger
from pipeline.core.sample import Encoding, Sample
from pipeline.detection.outcome import SceneState
from pipeline.models.checkpoint import load_model, save_model
from pipeline.models.fusion_model import FusionModel, FusionModelSettings
from pipeline.models.network_file import SavedNetwork, load_network, save_network
from pipeline.models.search_file import load_index, save_index
from pipeline.models.search_index import About, IndexBuilder
from pipeline.recording.reader import Recording
from pipeline.recording.writer import RecordingWriter
from pipeline.store import (
    Action,
    Answer,
    AnswerStore,
    Commit,
    FusionStore,
    OutboxStore,
    SceneCheckpoint,
    ScoreHistory,
    ScoreMinute,
)
from pipeline.transport import event_messages, protocol
from pipeline.transport.spool_session import SpoolSession
from tests.event_samples import event, life
from tests.golden import release_site as site
from tests.golden.telling import told
from tests.spool_samples import Writer, open_spool
from tests.unit import recordings

RELEASES = Path(__file__).parent / "releases"
EXPECTED = "expected.json"
ABOUT = About("hall", "model 0123abcd", site.LENGTH_NS, site.HOP_NS)
ANSWER = Answer("e1", "hall", Action.NOTE, "", "a note with ü", "Ann", 7)
LABELS = ("calm", "busy")


def releases() -> list[Path]:
    """Folders of all releases, oldest first."""
    return sorted(path for path in RELEASES.iterdir() if (path / EXPECTED).exists())


def unpack(release: Path, folder: Path) -> Path:
    """A copy of a release's files that may be written to."""
    shutil.copytree(release, folder)
    for packed in folder.glob("*.gz"):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    return folder


def read(folder: Path) -> dict[str, Any]:
    """What this fusewatch makes of unpacked files, by part."""
    return {name: part(folder) for name, part in READ.items()}


def write(folder: Path) -> None:
    """Write all files of this release but what is to be read of them.

    Args:
        folder: An empty folder.
    """
    torch.set_num_threads(1)
    model = save_model(site.small_model(), folder / "site.model")
    outcome = site.run(site.engine(model), site.arrivals(0, site.HOPS))
    _write_stores(folder, outcome.states["hall"], outcome.events)
    save_network(_network(), folder / "site.network")
    builder = IndexBuilder(ABOUT, {"cam": 3})
    for row in range(5):
        builder.add(100 + row, {"cam": np.float32([row, 1, 2])}, 1 / (1 + row))
    save_index(builder.finish("a.mcap", 1234, 0), folder / "site.index")
    with RecordingWriter(folder / "site.mcap", deployment="home", scenes={"hall": ["cam"]}) as file:
        for arrival in recordings.scene(0.3, jpeg_bytes=100):
            file.write(arrival)
        file.event(recordings.event(), recordings.T0 + 1)
        file.clock_offset("hall", 5, 2, recordings.T0 + 2)
    spool = open_spool(folder / "spool")
    writer = Writer(spool)
    writer.write(20)
    writer.disk.acked("vib", 4)
    writer.disk.note_acked(1, at_once=True)
    spool.close()
    _write_wire(folder / "wire.json")


def _write_stores(folder: Path, state: SceneState, events: list[Event]) -> None:
    parts = (state.alarm, state.scoring, state.sight, state.evidence)
    checkpoint = SceneCheckpoint(state.next_window, *parts)
    with closing(FusionStore(folder / "fusion.db")) as store:
        resume = {("n", "s", "cam"): 41}
        seals = {events[0].id: "0123abcd"}
        store.commit(Commit({"hall": checkpoint}, resume, [*events, event()], seals))
        store.forwarded([event().key])
    with closing(OutboxStore(folder / "alert.db")) as outbox:
        for phase in life():
            outbox.accept(phase, ["web", "mqtt"])
        outbox.delivered(outbox.due("mqtt", 0))
    with closing(AnswerStore(folder / "answers.db")) as answers:
        answers.withdraw(answers.add(ANSWER), "Bob", 9)
        answers.add(ANSWER)
    with closing(ScoreHistory(folder / "history.db")) as history:
        history.put("hall", [ScoreMinute(5, 120, 3, 2.5, {"between": 2.5})])


def _network() -> SavedNetwork:
    torch.manual_seed(4)
    head = {"type": "classification", "classes": LABELS, "hidden": 4}
    small = {"type": "sensor_gru", "width": 8}
    options = {
        "width": 4,
        "encoders": {"sensor": small},
        "fusion": "softmax_gate",
        "context": "none",
        "heads": {"class": head},
    }
    network = FusionModel(FusionModelSettings.model_validate(options), (site.SENSORS,))
    return SavedNetwork(network, (site.SENSORS,), "classifier", LABELS, {"window_s": 2.0})


def _write_wire(path: Path) -> None:
    """What nodes say to each other, as bytes in hexadecimal."""
    hello = protocol.Hello(protocol.PROTOCOL_VERSION, "n", "s", 1, list(site.STREAMS), full=["cam"])
    resume = {"cam": protocol.Resume(42, 41)}
    welcome = protocol.Welcome(protocol.PROTOCOL_VERSION, 1, 1 << 20, 1 << 18, resume, "r")
    sample = Sample("plc", 3, 17, np.float64([1, 2, 3]), Encoding.FLOAT, 5, 1, 9)
    offer = event_messages.Offer(event().key, to_json(event()), "before")
    said = {
        "hello": protocol.encode(hello),
        "welcome": protocol.encode(welcome),
        "offer": event_messages.encode(offer),
    }
    lines = {name: bytes(data).hex() for name, data in said.items()}
    frames = [bytes(frame).hex() for frame in codec.encode_samples([sample])]
    path.write_text(json.dumps({**lines, "samples": frames}, indent=1) + "\n")


def _read_model(folder: Path) -> dict[str, Any]:
    model = load_model(folder / "site.model")
    streams = [one.info.name for one in model.streams]
    return {"scene": model.scene, "streams": streams, "odd": model.odd is not None}


def _read_states(folder: Path) -> dict[str, Any]:
    """What an engine makes of what was committed, and how it goes on from there."""
    torch.set_num_threads(1)
    with closing(FusionStore(folder / "fusion.db")) as store:
        at = store.checkpoint("hall")
    if at is None:
        return {}
    state = SceneState(at.next_window, at.alarm, at.scoring, at.sight, at.evidence)
    scores, events = site.gone_on(load_model(folder / "site.model"), state)
    phases = [[one.id, one.revision, one.phase.value] for one in events]
    return {"scores": [[index, round(score, 4)] for index, score in scores], "events": phases}


def _read_fusion(folder: Path) -> dict[str, Any]:
    with closing(FusionStore(folder / "fusion.db")) as store:
        return {
            "events": [told(one) for one in store.events(all_phases=True)],
            "waiting": [one.key for one in store.unforwarded()],
            "resume": store.resume_points("n", "s"),
            "seals": store.seals(),
        }


def _read_outbox(folder: Path) -> dict[str, Any]:
    with closing(OutboxStore(folder / "alert.db")) as store:
        due = {sink: store.due(sink, 0) for sink in ("web", "mqtt")}
        return {sink: None if one is None else told(one.event) for sink, one in due.items()}


def _read_answers(folder: Path) -> Any:
    with closing(AnswerStore(folder / "answers.db")) as store:
        return told(store.all())


def _read_history(folder: Path) -> Any:
    with closing(ScoreHistory(folder / "history.db")) as store:
        return told(store.between("hall", 0, 10))


def _read_network(folder: Path) -> dict[str, Any]:
    saved = load_network(folder / "site.network", "classifier")
    size = sum(one.numel() for one in saved.network.parameters())
    return {"classes": list(saved.classes), "memo": saved.memo, "weights": size}


def _read_index(folder: Path) -> dict[str, Any]:
    index = load_index(folder / "site.index", ABOUT)
    return {"numbers": index.numbers.tolist(), "cam": index.blocks["cam"].float().tolist()}


def _read_recording(folder: Path) -> dict[str, Any]:
    with Recording(folder / "site.mcap") as found:
        return {
            "deployment": found.deployment,
            "arrivals": [told(one) for one in found.arrivals()],
            "events": [told(one) for _, one in found.events()],
            "offsets": [one.offset_ns for one in found.clock_offsets()],
            "whole": found.truncated is None and not found.faults,
        }


def _read_spool(folder: Path) -> list[Any]:
    spool = open_spool(folder / "spool")
    found: list[Any] = []
    for recalled in spool.earlier:
        disk = SpoolSession(spool, recalled.session, Ledger(), recalled)
        while disk.reader.prepare() or disk.reader.upcoming is not None:
            for _, _, one, _ in disk.reader.read(1 << 20, 100, 2**62):
                values = np.frombuffer(one.payload, "<f8").tolist()
                found.append([recalled.session, one.header.sequence, values])
    spool.close()
    return found


def _read_wire(folder: Path) -> dict[str, Any]:
    said = json.loads((folder / "wire.json").read_text())
    (sample,) = codec.decode_samples([bytes.fromhex(one) for one in said["samples"]])
    return {
        "hello": told(protocol.decode(bytes.fromhex(said["hello"]))),
        "welcome": told(protocol.decode(bytes.fromhex(said["welcome"]))),
        "offer": told(event_messages.decode(bytes.fromhex(said["offer"]))),
        "sample": told(sample),
    }


READ: dict[str, Callable[[Path], Any]] = {
    "model": _read_model,
    "states": _read_states,
    "fusion": _read_fusion,
    "outbox": _read_outbox,
    "answers": _read_answers,
    "history": _read_history,
    "network": _read_network,
    "index": _read_index,
    "recording": _read_recording,
    "spool": _read_spool,
    "wire": _read_wire,
}


def main() -> None:
    """Write the files of this version, and what is read of them."""
    target = RELEASES / __version__
    if target.exists():
        raise SystemExit(f"{target} is there already: files of a release are never written anew")
    with tempfile.TemporaryDirectory(prefix="fusewatch-release-") as name:
        made = Path(name) / "made"
        made.mkdir()
        write(made)
        for path in [*made.glob("*.db"), *made.glob("site.*")]:
            packed = gzip.compress(path.read_bytes(), mtime=0)
            path.with_name(path.name + ".gz").write_bytes(packed)
            path.unlink()
        found = read(unpack(made, Path(name) / "copy"))
        (made / EXPECTED).write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        shutil.copytree(made, target)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"{target}: {size:,} bytes")


if __name__ == "__main__":
    main()
