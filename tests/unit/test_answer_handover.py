from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from nodes.answer_handover import LOOK_NS, AnswerHandover
from pipeline.core.answered import EventAnswer, answer_of
from pipeline.core.clock import ManualClock
from pipeline.core.errors import StoreError
from pipeline.core.event import from_json
from pipeline.store import Action, Answer, AnswerStore, Commit, FusionStore
from pipeline.store.event_stock import EventStock
from tests.event_samples import event, life

SEEN = Answer(event().id, "hall", Action.SEEN, "", "a bird", "Ada", 5)
KEY = f"{event().id}.answer-1"


class Link:
    """Takes what is sent, each key once, as the event link does."""

    def __init__(self) -> None:
        self.sent: dict[str, bytes] = {}

    def send(self, body: bytes, key: str) -> None:
        self.sent.setdefault(key, body)


class Site:
    """A fusion node's stores, and what hands the answers on."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(0)
        self.events = FusionStore(folder / "fusion.db")
        self.answers = AnswerStore(folder / "answers.db")
        self.events.commit(Commit(events=life()))
        self.restart()

    def restart(self) -> None:
        self.link = Link()
        self.handover = AnswerHandover(self.events, self.answers, self.clock)

    def offered(self) -> list[str]:
        self.clock.advance(LOOK_NS)
        self.handover.offer(self.link)
        return list(self.link.sent)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.events.close()
    made.answers.close()


@pytest.mark.parametrize(("at_s", "revision"), [(0, 0), (1, 0), (2, 1), (99, 2)])
def test_an_answer_goes_with_its_event_as_it_was_then(site, at_s: int, revision: int) -> None:
    site.answers.add(replace(SEEN, at_ns=at_s * 10**9))
    assert site.offered() == [KEY]
    assert from_json(site.link.sent[KEY]) == life()[revision]


def test_an_answer_goes_with_who_gave_it_and_what_it_says(site: Site) -> None:
    site.answers.add(SEEN)
    assert site.offered() == [KEY]
    assert answer_of(site.link.sent[KEY]) == EventAnswer(
        position=1, action="seen", note="a bird", who="Ada", at_ns=5
    )


def test_a_worker_of_a_cluster_leaves_answers_of_other_scenes_to_their_workers(site) -> None:
    site.answers.add(SEEN)
    site.events.limit_to(["yard"])
    assert site.offered() == []
    assert len(site.answers.unhanded(9)) == 1, "and it is not taken for one whose event is gone"
    site.events.limit_to([SEEN.scene])
    assert site.offered() == [KEY]


def test_it_is_offered_through_restarts_until_the_alert_node_has_it(site: Site) -> None:
    site.answers.add(SEEN)
    assert site.offered() == [KEY]
    site.restart()  # killed before the alert node said that it has it
    assert site.offered() == [KEY]
    assert site.handover.confirmed([event().key, KEY]) == [event().key]
    site.restart()
    assert site.offered() == []


def test_that_it_was_taken_back_is_handed_on_too(site: Site) -> None:
    site.answers.add(SEEN)
    site.offered()
    site.answers.withdraw(1, "Bob", 9)
    assert site.handover.confirmed([KEY]) == []
    assert site.offered() == [KEY, f"{KEY}-back"]
    back = answer_of(site.link.sent[f"{KEY}-back"])
    assert back is not None
    assert (back.withdrawn_ns, back.withdrawn_by) == (9, "Bob")
    site.handover.confirmed([f"{KEY}-back"])
    site.restart()
    assert site.offered() == []


def test_what_is_on_its_way_needs_its_event_no_more(site: Site) -> None:
    site.answers.add(SEEN)
    assert site.offered() == [KEY]
    EventStock(site.events.database).remove([SEEN.event])
    assert site.offered() == [KEY]
    assert len(site.answers.unhanded(9)) == 1, "it is handed once the alert node says so"


def test_the_answers_are_looked_at_once_a_second(site: Site) -> None:
    assert site.offered() == []
    site.answers.add(SEEN)
    site.handover.offer(site.link)
    assert site.link.sent == {}
    assert site.offered() == [KEY]


def test_an_answer_to_a_forgotten_event_is_not_asked_for_again(site: Site) -> None:
    site.answers.add(replace(SEEN, event="gone"))
    assert site.offered() == []
    assert site.answers.unhanded(9) == []


def test_a_number_that_is_given_anew_is_handed_on_anew(site: Site) -> None:
    site.answers.add(SEEN)
    site.offered()
    site.answers.forget([SEEN.event])
    site.handover.confirmed([KEY])
    other = life(50)[0]
    site.events.commit(Commit(events=[other]))
    assert site.answers.add(replace(SEEN, event=other.id)) == 1
    assert f"{other.id}.answer-1" in site.offered()


def test_answers_that_cannot_be_read_are_told_and_do_no_harm(site: Site, monkeypatch) -> None:
    site.answers.add(SEEN)

    def damaged(*_: object) -> None:
        raise StoreError("the file is damaged")

    monkeypatch.setattr(AnswerStore, "unhanded", damaged)
    with capture_logs() as logs:
        assert site.offered() == []
    assert [entry["event"] for entry in logs] == ["answers cannot be handed on"]
    monkeypatch.undo()
    assert site.offered() == [KEY]


def test_many_answers_go_a_few_at_a_time(site: Site) -> None:
    for _ in range(70):
        site.answers.add(SEEN)
    handed = []
    while news := [key for key in site.offered() if key not in handed]:
        handed += news
        site.handover.confirmed(news)
    assert len(handed) == 70
