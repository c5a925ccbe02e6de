"""A sink that groups is told once per incident, and of nothing too little."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from pydantic import ValidationError

from nodes.alert_grouping import AlertGrouping
from nodes.alert_routing import AlertRouting
from pipeline.core.event import Event, Phase, Severity
from pipeline.sinks.base import SinkSettings
from pipeline.sinks.webhook import WebhookSettings
from pipeline.store import OutboxStore
from pipeline.store.event_stock import KeptEvent
from pipeline.store.outbox_stock import forget
from tests.event_samples import event
from tests.unit.test_alert_intake import Alert as Whole

LEVELS = tuple(Severity)


class Alert:
    """What an alert node does with events, without its link and sinks."""

    def __init__(self, folder: Path, **sink: object) -> None:
        self.file = folder / "alert.db"
        self.sinks = [
            SinkSettings.model_validate({"type": "jsonl", "name": "one", "group": True} | sink),
            SinkSettings.model_validate({"type": "jsonl", "name": "each"}),
        ]
        self.begin()

    def begin(self) -> None:
        self.store = OutboxStore(self.file)
        self.routing = AlertRouting(self.sinks, self.store.told)
        self.grouping = AlertGrouping(self.sinks, self.store, self.routing)

    def accept(self, *events: Event) -> None:
        for one in events:
            sinks = self.routing.of(one)
            self.store.accept(one, sinks, grouped=self.grouping.of(one, sinks))

    def delivered(self, sink: str = "one") -> list[Event]:
        told = []
        while (due := self.store.due(sink, 0)) is not None:
            told.append(due.event)
            self.store.delivered(due)
        return told


@pytest.fixture
def alert(tmp_path: Path) -> Iterator[Alert]:
    made = Alert(tmp_path)
    yield made
    made.store.close()


def of(head: Event, start_s: int, scene: str, revision: int = 0, **changes: object) -> Event:
    return event(start_s, revision, scene, incident=head.id, **changes)


def over(last: Event) -> Event:
    return replace(last, revision=last.revision + 1, phase=Phase.CLEARED)


def brief(told: list[Event]) -> list[tuple[str, int, str, str, str]]:
    return [(e.id, e.revision, e.scene, e.phase.value, e.severity.value) for e in told]


def test_three_scenes_are_one_life_to_a_sink_that_groups(alert: Alert) -> None:
    hall = event(10, severity=Severity.MEDIUM)
    yard = of(hall, 11, "yard", severity=Severity.LOW)
    lane = of(hall, 12, "lane", severity=Severity.HIGH)
    steady = replace(hall, revision=1, phase=Phase.UPDATED)
    alert.accept(hall, yard, steady, lane, over(steady), over(lane), over(yard))
    told = alert.delivered()
    assert brief(told) == [
        (hall.id, 0, "hall", "raised", "medium"),
        (hall.id, 1, "hall", "updated", "medium"),
        (hall.id, 2, "hall", "updated", "high"),
        (hall.id, 3, "hall", "cleared", "high"),
    ]
    assert told[0] == hall
    assert told[2].scenes == ("hall", "yard", "lane")
    assert told[2].summary == f"In 3 scenes (hall, yard, lane): {lane.summary}"
    assert (told[3].start_ns, told[3].end_ns) == (hall.start_ns, lane.end_ns)
    assert alert.routing.not_sent == {("one", "grouped"): 3}
    assert len(alert.delivered("each")) == 7
    assert alert.store.incidents("one") == {}


def test_what_becomes_more_severe_than_was_told_is_told(alert: Alert) -> None:
    hall = event(10, severity=Severity.LOW)
    same, worse = (
        replace(hall, revision=n, phase=Phase.UPDATED, severity=s)
        for n, s in ((1, Severity.LOW), (2, Severity.CRITICAL))
    )
    alert.accept(hall, same, worse, over(worse))
    assert [(e.key, e.phase.value) for e in alert.delivered()] == [
        (f"{hall.id}.0", "raised"),
        (f"{hall.id}.2", "updated"),
        (f"{hall.id}.3", "cleared"),
    ]


def test_a_sink_is_told_of_its_own_scenes_only(tmp_path: Path) -> None:
    alert = Alert(tmp_path, scenes=["yard", "lane"])
    hall = event(10)
    yard, lane = of(hall, 11, "yard"), of(hall, 12, "lane")
    alert.accept(hall, yard, lane, over(yard), over(lane), over(hall))
    told = alert.delivered()
    assert [(e.id, e.phase.value) for e in told] == [
        (yard.id, "raised"),
        (yard.id, "updated"),
        (yard.id, "cleared"),
    ]
    assert told[-1].scenes == ("yard", "lane")
    alert.store.close()


def test_what_joins_when_all_it_was_told_of_is_over_is_raised_anew(alert: Alert) -> None:
    hall = event(10)
    late = of(hall, 11, "yard")
    alert.accept(hall, over(hall), late)
    assert [(e.id, e.phase.value) for e in alert.delivered()] == [
        (hall.id, "raised"),
        (hall.id, "cleared"),
        (late.id, "raised"),
    ]


def test_an_incident_goes_in_order_though_its_scenes_do_not(alert: Alert) -> None:
    hall = event(10)
    alert.accept(hall, of(hall, 11, "yard"))
    alert.store.retry(alert.store.due("one", 0), at_ns=100, error="down")
    assert alert.store.due("one", 99) is None
    assert alert.store.due("one", 100).event == hall


def test_an_incident_that_is_long_over_is_told_in_one_digest(alert: Alert) -> None:
    hall = event(10)
    yard = of(hall, 11, "yard")
    alert.accept(hall, yard, over(hall), over(yard))
    due = alert.store.due("one", 0, over_before_ns=100 * 10**9)
    assert [phase.phase.value for phase in due.digest.phases] == ["raised", "updated", "cleared"]
    assert {phase.id for phase in due.digest.phases} == {hall.id}
    alert.store.delivered(due)
    assert alert.delivered() == []


def test_what_was_told_of_an_incident_goes_when_its_events_are_forgotten(alert: Alert) -> None:
    hall = event(10)
    yard = of(hall, 11, "yard", summary="Somebody in the yard.")
    alert.accept(hall, yard)
    kept = [KeptEvent(one.id, one.scene, one.end_ns, "", 1) for one in (hall, yard)]
    forget(alert.store.database, kept)
    alert.store.close()
    assert b"Somebody in the yard" not in alert.file.read_bytes()


def test_the_alert_node_tells_a_sink_that_groups_and_counts_the_rest(tmp_path: Path) -> None:
    whole = Whole(tmp_path, group=True)
    whole.node.start()
    hall = event(10)
    whole.link.put(hall, of(hall, 11, "yard"), over(hall))
    whole.node.step(0.0)
    assert 'fusewatch_alert_not_sent_total{reason="grouped",sink="jsonl"} 1.0' in whole.metrics()
    whole.node.drain(30.0)
    whole.node.close()
    assert [one.key for one in whole.written()] == [f"{hall.id}.0", f"{hall.id}.1"]


MOVES = st.lists(
    st.tuples(st.sampled_from(["hall", "yard", "lane"]), st.sampled_from(LEVELS), st.booleans()),
    max_size=25,
)


def moved(moves) -> list[Event]:
    """Events in three scenes, all of one cause while any stands."""
    standing: dict[str, Event] = {}
    events, head = [], ""
    for number, (scene, level, ends) in enumerate(moves):
        last = standing.get(scene)
        if last is None:
            found = event(number, 0, scene, severity=level, incident=head)
            head = head or found.id
        else:
            worst = max(level, last.severity, key=LEVELS.index)
            phase = Phase.CLEARED if ends else Phase.UPDATED
            found = replace(last, revision=last.revision + 1, phase=phase, severity=worst)
        events.append(found)
        standing[scene] = found
        if found.phase is Phase.CLEARED:
            del standing[scene]
        head = head if standing else ""
    return events


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(MOVES, st.sampled_from(LEVELS), st.sets(st.integers(0, 24), max_size=3))
def test_every_phase_is_told_or_counted_and_nothing_worse_is_kept(moves, at_least, kills) -> None:
    with tempfile.TemporaryDirectory() as folder:
        alert = Alert(Path(folder), at_least=at_least.value)
        told: list[Event] = []
        counted = 0
        for number, one in enumerate(moved(moves)):
            alert.accept(one)
            if number in kills:  # accepted, not yet acknowledged: it comes once more
                counted += sum(n for (sink, _), n in alert.routing.not_sent.items())
                alert.store.close()
                alert.begin()
                alert.accept(one)
                alert.routing.not_sent.clear()
            fresh = alert.delivered()
            told += fresh
            assert_worst_is_told(told, fresh, one, at_least)
        counted += sum(n for (sink, _), n in alert.routing.not_sent.items())
        assert len(told) + counted == len(moved(moves))
        assert_lives(told)
        with closing(alert.store):
            standing = {e.id for e in told} - {e.id for e in told if e.phase is Phase.CLEARED}
            assert {k.head[0] for k in alert.store.incidents("one").values()} == standing


def assert_worst_is_told(told, fresh, one: Event, at_least: Severity) -> None:
    """The receiver never believes an incident that stands to be less severe than it is."""
    if LEVELS.index(one.severity) < LEVELS.index(at_least) or one.phase is Phase.CLEARED:
        return
    assert LEVELS.index(told[-1].severity) >= LEVELS.index(one.severity)
    assert fresh or told[-1].phase is not Phase.CLEARED


def assert_lives(told: list[Event]) -> None:
    lives: dict[str, list[Event]] = {}
    for one in told:
        lives.setdefault(one.id, []).append(one)
    for life in lives.values():
        revisions = [one.revision for one in life]
        assert revisions == sorted(set(revisions))
        assert all(one.phase is not Phase.CLEARED for one in life[:-1])
        assert len({one.scene for one in life}) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"quiet": {"start": "22:00", "end": "06:00", "timezone": "UTC"}},
        {"escalate": {"after_s": 60}},
        {"answers": True},
    ],
)
def test_what_goes_by_single_events_is_refused_beside_it(other: dict[str, object]) -> None:
    chosen = {"url": "http://x.test", "group": True} | other
    with pytest.raises(ValidationError, match="use two sinks"):
        WebhookSettings.model_validate(chosen)
