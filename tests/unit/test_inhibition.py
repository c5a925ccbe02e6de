"""What follows from dead equipment is not told while that is so, and never lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from nodes.handing_on import Outcome
from pipeline.core.event import Phase, Severity
from pipeline.core.explanation import Basis, Explanation
from pipeline.store import Action, Answer
from tests.handed_on import SECOND_NS, Site, blind, deployment, equipment, gone, seen

DARK = {"cam": "dark"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def cleared(raised):
    return replace(raised, revision=raised.revision + 1, phase=Phase.CLEARED)


def test_of_a_node_that_is_gone_one_alert_tells(site: Site) -> None:
    node, *rest = (equipment("hall", "node:gate"), gone("lane", "cam"), gone("yard", "mic"))
    elsewhere, climate = equipment("yard", "node:gate"), gone("hall", "climate")
    held = [one[0] for one in (*rest, elsewhere)]
    site.commit(node[0])
    site.commit(*held, climate[0])
    site.wait(60)
    assert site.told(node[0], climate[0]) == ["", ""]
    assert site.told(*held) == [None] * 3
    assert site.node.held == {"lane": 1, "yard": 2}
    site.commit(*(one[1] for one in (*rest, elsewhere)), node[1])
    assert site.told(*held, rest[0][1]) == [node[0].id] * 4
    assert site.arrived[held[0].key].withheld == f"node gate is gone, see {node[0].id}"
    assert site.node.counts["yard", Outcome.WITHHELD] == 2


def test_a_node_of_which_other_streams_may_come_explains_only_those_it_names(site: Site) -> None:
    node, mic = equipment("yard", "node:gate", incomplete=("cam",)), gone("hall", "mic")
    other = equipment("hall", "node:gate", incomplete=("cam", "mic"))
    site.commit(node[0], mic[0])
    site.wait(4)
    site.commit(other[0])
    assert site.told(node[0], mic[0], other[0]) == ["", "", ""]


@pytest.mark.parametrize("restarted", [False, True])
def test_equipment_that_nobody_was_told_of_is_no_cause_and_not_told_as_well_again(
    site: Site, restarted: bool
) -> None:
    """It was snoozed when it failed; that is taken back, and the fusion node begins anew."""
    known, silent = gone("hall", "cam", 900), gone("hall", "climate", 970)
    site.commit(*known)
    site.wait(10)
    until = str(5000 * SECOND_NS)
    snooze = Answer(known[0].id, "hall", Action.SNOOZE, until, "", "Ada", 950 * SECOND_NS)
    position = site.answers.add(snooze)
    site.commit(silent[0])
    site.wait(10)
    assert "snoozed" in site.arrived[silent[0].key].withheld
    site.answers.withdraw(position, "Ada", site.clock.now_ns())
    if restarted:
        site.start()
    site.commit(silent[1])
    site.wait(10)
    assert "snoozed" in site.arrived[silent[1].key].withheld


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Site]:
    """A node that feeds two scenes, one of which has a stream more of it."""
    own = deployment()
    hall = own.scenes["hall"].model_copy(update={"streams": ["cam", "mic", "door"]})
    gate = own.nodes["gate"].sources
    gate.append(gate[0].model_copy(update={"stream": "door"}))
    made = Site(tmp_path, own.model_copy(update={"scenes": own.scenes | {"hall": hall}}))
    yield made
    made.close()


ALL = ("cam", "mic", "door")


@pytest.mark.parametrize("narrow_first", [True, False])
def test_one_alert_tells_of_a_node_that_feeds_two_scenes(shared: Site, narrow_first: bool) -> None:
    more = equipment("hall", "node:gate", incomplete=ALL)
    fewer, stream = equipment("yard", "node:gate"), gone("lane", "cam")
    shared.commit(stream[0])
    shared.wait(2)
    for one in (fewer, more) if narrow_first else (more, fewer):
        shared.commit(one[0])
        shared.wait(2)
    shared.wait(60)
    assert shared.told(more[0], fewer[0], stream[0]) == ["", None, None]
    shared.commit(fewer[1], stream[1], more[1])
    assert shared.told(more[1], fewer[0], stream[0]) == ["", more[0].id, more[0].id]


def test_a_node_that_is_gone_in_one_scene_only_is_told_after_a_moment(shared: Site) -> None:
    fewer, stream = equipment("yard", "node:gate"), gone("lane", "cam")
    shared.commit(stream[0])
    shared.wait(2)
    shared.commit(fewer[0])
    shared.wait(2.9)
    assert shared.told(fewer[0], stream[0]) == [None, None]
    shared.wait(0.2)
    assert shared.told(fewer[0], stream[0]) == ["", None]  # which follows from it
    more = equipment("hall", "node:gate", incomplete=ALL)
    shared.commit(more[0])
    assert shared.told(more[0]) == [""]  # one stream more is news


def test_a_stream_that_is_told_as_gone_before_its_node_waits_a_moment_for_it(site: Site) -> None:
    stream, node = gone("lane", "cam"), equipment("hall", "node:gate")
    site.commit(stream[0])
    site.wait(2)
    assert site.told(stream[0]) == [None]
    site.commit(node[0])
    site.wait(30)
    assert site.told(stream[0], node[0]) == [None, ""]
    site.commit(node[1])
    site.wait(2.9)
    assert site.told(stream[0]) == [None]
    site.wait(0.2)
    assert site.told(stream[0]) == [""]
    site.commit(stream[1])
    assert site.told(stream[1]) == [""]


def test_without_such_a_node_it_is_told_when_the_wait_is_over(site: Site) -> None:
    stream, alone = gone("lane", "cam"), gone("hall", "climate")
    site.commit(stream[0], alone[0])
    assert site.told(stream[0], alone[0]) == [None, ""]  # the other's node has one stream only
    site.wait(3.1)
    assert site.told(stream[0]) == [""]
    site.commit(stream[1])
    assert site.told(stream[1]) == [""]


def test_one_that_came_and_went_while_it_waited_is_told(site: Site) -> None:
    stream = gone("lane", "cam")
    site.commit(*stream)
    assert site.told(*stream) == ["", ""]


def test_what_ends_with_its_cause_in_any_order_is_not_told(site: Site) -> None:
    stream, node = gone("lane", "cam"), equipment("hall", "node:gate")
    site.commit(node[0], stream[0])
    site.commit(node[1])
    site.wait(1)
    site.commit(stream[1])
    site.wait(30)
    assert site.told(*stream) == [node[0].id] * 2


def test_streams_of_a_node_that_are_dark_or_drift_do_not_follow_from_it(site: Site) -> None:
    site.commit(equipment("hall", "node:gate")[0])
    others = [
        blind("lane", "cam", "dark")[0],
        equipment("yard", "sync:mic")[0],
        blind("hall", "climate", "clock")[0],
    ]
    follow = [
        blind("yard", "mic", "clock")[0],
        equipment("lane", "ledger:cam")[0],
        blind("yard", "cam", "late")[0],
    ]
    site.commit(*others, *follow)
    assert site.told(*others, *follow) == ["", "", "", None, None, None]


def test_an_event_mainly_from_a_blind_camera_is_held_and_one_that_others_carry_is_sent(
    site: Site,
) -> None:
    camera = blind("hall", "cam", "covered")
    site.commit(camera[0])
    held = seen(1000, cam=5.0, mic=1.0, degraded={"cam": "covered"})
    sent = [
        seen(1010, cam=5.0, mic=4.5, degraded={"cam": "covered"}),  # the sound alone
        seen(1020, cam=2.0, mic=3.0, degraded={"cam": "covered"}),  # mainly the sound
        seen(1030, cam=9.0, mic=2.1, climate=2.0, degraded={"cam": "covered"}),  # both others
        seen(1040, cam=9.0, degraded={"cam": "covered"}, severity=Severity.CRITICAL),
        seen(1050, cam=9.0),  # it saw at that moment
        seen(1060, cam=9.0, degraded={"cam": "covered"}, explanation=None),
        seen(1070, cam=9.0, scene="yard", degraded={"cam": "moved"}),
    ]
    site.commit(held, *sent)
    assert site.told(held, *sent) == [None, *[""] * len(sent)]
    site.commit(cleared(held))
    assert site.told(held, cleared(held)) == [camera[0].id] * 2


def test_what_shows_between_two_that_see_is_sent(site: Site) -> None:
    site.commit(blind("hall", "cam", "dark")[0])
    adds = {"cam": 3.0, "mic": 1.0, "climate": 1.0}
    apart = Explanation(kind=Basis.BETWEEN, contributions=adds, pair=("mic", "climate"))
    event = seen(1000, cam=3.0, degraded=DARK, explanation=apart)
    site.commit(event)
    assert site.told(event) == [""]


def test_an_intruder_who_covers_the_camera_is_told_at_once(site: Site) -> None:
    first = seen(990, cam=9.0, degraded={"cam": "covered"})
    site.commit(first)
    camera = blind("hall", "cam", "covered")[0]
    assert site.told(first) == [""]
    site.commit(camera)
    later = replace(first, revision=1, phase=Phase.UPDATED)
    site.commit(later)
    assert site.told(camera, later) == ["", ""]


def test_one_that_grows_or_shows_elsewhere_is_sent_at_once_with_all_its_phases(site: Site) -> None:
    site.commit(blind("hall", "cam", "dark")[0])
    first = seen(1000, cam=5.0, degraded=DARK)
    site.commit(first)
    assert site.told(first) == [None]
    grown = seen(1000, 1, cam=5.0, mic=6.0, degraded=DARK)
    site.commit(grown)
    assert site.told(first, grown) == ["", ""]
    assert [e.revision for e in site.arrived.values() if e.id == first.id] == [0, 1]


def test_what_still_stands_when_its_cause_is_over_is_sent(site: Site) -> None:
    camera = blind("hall", "cam", "dark")
    event = seen(1000, cam=5.0, degraded=DARK)
    site.commit(camera[0], event)
    site.commit(camera[1])
    site.wait(3.1)
    assert site.told(event) == [""]
    assert site.node.counts["hall", Outcome.SENT] == 1
    assert site.store.held.of([event.id]) == {}


def test_a_kill_at_any_time_changes_nothing_of_it(site: Site) -> None:
    camera = blind("hall", "cam", "dark")
    event, other = seen(1000, cam=5.0, degraded=DARK), seen(1000, scene="yard", mic=9.0)
    site.commit(camera[0], event, other)
    site.start()
    site.settle()
    assert site.told(camera[0], event, other) == ["", None, ""]
    site.commit(camera[1])
    site.start()
    site.wait(1)
    assert site.told(event) == [None]
    site.wait(3.1)
    assert site.told(event) == [""]


@pytest.mark.parametrize(
    ("sinks", "held"),
    [
        ([{}], True),
        ([{}, {"equipment": False}], True),
        ([{"equipment": False}], False),
        ([{"scenes": ["hall"]}, {"scenes": ["lane"]}], False),
        ([{"scenes": ["hall", "lane"]}, {"scenes": ["hall"]}], True),
        ([], False),
    ],
)
def test_nothing_follows_from_what_those_who_would_be_told_do_not_hear(
    tmp_path: Path, sinks: list[dict[str, object]], held: bool
) -> None:
    site = Site(tmp_path, deployment(sinks))
    node, stream = equipment("hall", "node:gate")[0], gone("lane", "cam")[0]
    site.commit(node, stream)
    site.wait(4)
    assert site.told(stream) == [None if held else ""]
    site.close()


def test_what_was_withheld_because_of_an_answer_is_no_cause(site: Site) -> None:
    first, camera = blind("hall", "mic", "silent", 100)[0], blind("hall", "cam", "dark")[0]
    until_ns = str(2000 * 10**9)
    site.commit(first)
    site.answers.add(Answer(first.id, "hall", Action.SNOOZE, until_ns, "", "Ada", 200 * 10**9))
    event = seen(1000, cam=5.0, degraded=DARK, scene="hall")
    site.commit(camera, event)
    assert site.arrived[camera.key].withheld.startswith("snoozed")
    assert site.told(event) == [""]


def test_switched_off_all_is_sent_also_what_was_held(tmp_path: Path) -> None:
    site = Site(tmp_path)
    camera, event = blind("hall", "cam", "dark"), seen(1000, cam=5.0, degraded=DARK)
    stream = gone("lane", "cam")[0]
    site.commit(camera[0], event)
    site.deployment = deployment(enabled=False)
    site.start()
    site.commit(stream)
    assert site.told(event, stream) == ["", ""]
    assert site.store.held.of([event.id]) == {}
    site.close()


def test_a_node_that_ends_lets_nothing_wait(site: Site) -> None:
    stream = gone("lane", "cam")
    site.commit(stream[0])
    assert not site.link.bodies
    assert site.node.idle
    site.node.hurry()
    site.settle()
    assert site.told(stream[0]) == [""]


def test_while_the_alert_node_is_away_nothing_is_looked_up_again_and_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.commit(blind("hall", "cam", "dark")[0], seen(1000, cam=5.0, degraded=DARK))
    site.link.loses = True
    site.commit(*(seen(1100 + n, mic=9.0) for n in range(80)))
    asked: list[str] = []
    phases = site.store.phases
    monkeypatch.setattr(site.store, "phases", lambda one: asked.append(one) or phases(one))
    site.settle()
    assert asked == []
