"""Events of one cause in several scenes are found to belong together, always the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.core.event import Event, Phase
from pipeline.detection.incident_settings import IncidentSettings
from pipeline.detection.incidents import Incidents
from tests.event_samples import event

SCENES = ("hall", "yard", "lane")


def raised(start_s: int, scene: str, **changes: object) -> Event:
    return event(start_s, 0, scene, **changes)


def cleared(first: Event) -> Event:
    return replace(first, revision=1, phase=Phase.CLEARED)


def marks(incidents: Incidents, *events: Event) -> list[tuple[str, tuple[str, ...]]]:
    return [(m.incident, m.scenes) for m in map(incidents.marked, events)]


def test_events_that_start_together_in_several_scenes_are_one_incident() -> None:
    hall, yard, lane = raised(10, "hall"), raised(12, "yard"), raised(15, "lane")
    told = marks(Incidents(), hall, yard, cleared(hall), lane, cleared(yard), cleared(lane))
    assert told == [
        ("", ()),
        (hall.id, ("hall", "yard")),
        (hall.id, ("hall", "yard")),
        (hall.id, ("hall", "yard", "lane")),
        (hall.id, ("hall", "yard", "lane")),
        (hall.id, ("hall", "yard", "lane")),
    ]


def test_what_starts_later_or_after_all_is_over_is_another() -> None:
    first = raised(10, "hall")
    told = marks(Incidents(), first, raised(17, "yard"), cleared(first), raised(11, "lane"))
    assert told == [("", ())] * 4


def test_only_neighbours_belong_together_when_groups_are_named() -> None:
    incidents = Incidents(IncidentSettings(groups=[["hall", "yard"], ["yard", "lane"]]))
    hall, yard, lane = raised(10, "hall"), raised(10, "yard"), raised(10, "lane")
    assert marks(incidents, hall, lane, yard) == [("", ()), ("", ()), (hall.id, ("hall", "yard"))]
    assert marks(Incidents(IncidentSettings(groups=[])), hall, yard) == [("", ())] * 2
    assert marks(Incidents(IncidentSettings(within_s=0)), hall, yard) == [("", ())] * 2


def test_the_equipment_and_the_scenes_are_told_apart() -> None:
    told = marks(Incidents(), raised(10, "hall"), raised(10, "yard", id="health-1"))
    assert told == [("", ())] * 2


def test_of_two_incidents_the_nearer_is_joined() -> None:
    near, far = raised(14, "yard"), raised(8, "hall")
    incidents = Incidents(IncidentSettings(within_s=5))
    assert marks(incidents, far, near, raised(12, "lane"))[2] == (near.id, ("yard", "lane"))


@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 2), st.booleans()), max_size=30),
    st.integers(0, 30),
)
def test_a_restart_in_between_changes_nothing(moves, when: int) -> None:
    """As every replay does: the same events give the same marks."""
    events, open_ = [], {}
    for start_s, scene, over in moves:
        name = SCENES[scene]
        if over and name in open_:
            events.append(cleared(open_.pop(name)))
        elif name not in open_:
            open_[name] = raised(start_s + 100 * len(events) // 10, name)
            events.append(open_[name])
    whole = Incidents()
    expected = [whole.marked(one) for one in events]
    before, after = Incidents(), Incidents()
    found = [before.marked(one) for one in events[:when]]
    latest = {one.id: one for one in found}
    order = [one.id for one in found]
    after.restore(sorted(latest.values(), key=lambda one: len(order) - order[::-1].index(one.id)))
    assert found + [after.marked(one) for one in events[when:]] == expected
