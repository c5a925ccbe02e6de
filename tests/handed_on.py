"""A site whose events are handed on, with a fusion node that can be killed at any time."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from nodes.answer_handover import AnswerHandover
from nodes.handing_on import HandingOn
from nodes.inhibition import Inhibition
from nodes.withholding import Withholding
from pipeline.config.deployment import Deployment
from pipeline.core.clock import ManualClock
from pipeline.core.event import Event, ModalityScore, Phase, from_json
from pipeline.core.explanation import Basis, Explanation
from pipeline.detection.equipment_alarm import EquipmentAlarm
from pipeline.sinks.jsonl import JsonlSettings
from pipeline.sources.csv_file import CsvFileSettings
from pipeline.store import AnswerStore, Commit, FusionStore
from tests.event_samples import event

SECOND_NS = 10**9
THRESHOLD = 4.0
NODES = {"gate": ("cam", "mic"), "post": ("climate",)}
SCENES = {"hall": ["cam", "mic", "climate"], "yard": ["cam", "mic"], "lane": ["cam"]}


def deployment(sinks: list[dict[str, object]] | None = None, **fusion: object) -> Deployment:
    """Two nodes and three scenes; ``gate`` is seen to be gone in two of them."""
    given = [{}] if sinks is None else sinks
    return Deployment.model_validate(
        {
            "name": "site",
            "nodes": {
                node: {"sources": [CsvFileSettings(stream=s, path=Path("x.csv")) for s in streams]}
                for node, streams in NODES.items()
            },
            "scenes": {scene: {"streams": streams} for scene, streams in SCENES.items()},
            "alert": {
                "sinks": [
                    JsonlSettings.model_validate({"path": "out.jsonl", "name": f"s{n}"} | one)
                    for n, one in enumerate(given)
                ]
            },
            "fusion": {"inhibition": {"hold_s": 3.0} | fusion},
        }
    )


class Link:
    """Takes what is sent; says so once it is told to."""

    def __init__(self) -> None:
        self.bodies: list[Event] = []
        self._unsaid: list[str] = []
        self.loses = False

    def send(self, body: bytes, key: str) -> None:
        if not self.loses:
            self.bodies.append(from_json(body))
            self._unsaid.append(key)

    def poll(self, timeout_s: float) -> list[str]:
        said, self._unsaid = self._unsaid, []
        return said


class Site:
    """The store, the clock and the alert node's end, which outlive the fusion node."""

    def __init__(self, folder: Path, own: Deployment | None = None) -> None:
        self.deployment = own or deployment()
        self.clock = ManualClock(1000 * SECOND_NS)
        self.link = Link()
        self.arrived: dict[str, Event] = {}
        self.store = FusionStore(folder / "fusion.db")
        self.answers = AnswerStore(folder / "answers.db")
        self.start()

    def start(self) -> None:
        """A fusion node begins; the one before may have been killed."""
        settings = self.deployment.fusion.inhibition
        self.node = HandingOn(
            self.store,
            self.link,
            Withholding(self.store, self.answers, self.deployment.feedback),
            AnswerHandover(self.store, self.answers, self.clock),
            Inhibition(self.deployment, dict.fromkeys(SCENES, THRESHOLD)),
            self.clock,
            settings.hold_ns,
        )
        self.node.restore(self.store.phases("health-"))

    def commit(self, *events: Event) -> None:
        """Commit these, and let the node do what there is to do."""
        self.store.commit(Commit(events=events))
        self.node.committed(events)
        self.settle()

    def wait(self, seconds: float) -> None:
        self.clock.advance(round(seconds * SECOND_NS))
        self.settle()

    def settle(self) -> None:
        for _ in range(4):
            self.node.step(0.0)
        for one in self.link.bodies:
            self.arrived.setdefault(one.key, self._routed(one))  # a key is accepted once
        self.link.bodies.clear()

    def _routed(self, event: Event) -> Event:
        """As the alert node does: what was told is told to its end, whatever is said of it."""
        told = any(one.id == event.id and not one.withheld for one in self.arrived.values())
        return replace(event, withheld="", cause="") if told else event

    def told(self, *events: Event) -> list[str | None]:
        """Of each phase why it is withheld, by the id of its cause; None: it did not come."""
        return [self.arrived[e.key].cause if e.key in self.arrived else None for e in events]

    def close(self) -> None:
        self.store.close()
        self.answers.close()


def equipment(scene: str, alarm: str, start_s: int = 990, **why: object) -> list[Event]:
    """One alarm of the equipment, raised and cleared; of a node it names its streams there."""
    kept, node = EquipmentAlarm(scene, alarm), alarm.removeprefix("node:")
    if node in NODES:
        why = {"incomplete": tuple(s for s in NODES[node] if s in SCENES[scene])} | why
    start_ns = start_s * SECOND_NS
    raised = kept.begin(start_ns, start_ns + 10 * SECOND_NS, f"{alarm} is not well.", **why)
    return [raised, kept.go_on(Phase.CLEARED, raised.end_ns + SECOND_NS, "it is well again")]


def gone(scene: str, stream: str, start_s: int = 990) -> list[Event]:
    return equipment(scene, f"sight:{stream}", start_s, incomplete=(stream,))


def blind(scene: str, stream: str, reason: str, start_s: int = 990) -> list[Event]:
    return equipment(scene, f"sight:{stream}", start_s, degraded={stream: reason})


def seen(
    start_s: int, revision: int = 0, scene: str = "hall", **parts: float | str | tuple[str, ...]
) -> Event:
    """An event of a scene; `parts` are what streams add, or changes to the event."""
    adds = {n: float(v) for n, v in parts.items() if isinstance(v, float)}
    changes = {n: v for n, v in parts.items() if n not in adds}
    alone = {f"video:{n}": ModalityScore(10 ** -max(v, 0.0), 0.5) for n, v in adds.items()}
    why = Explanation(kind=Basis.SINGLE, contributions=adds)
    told = {"explanation": why, "modalities": alone, "incomplete": ()} | changes
    return event(start_s, revision, scene, **told)
