from __future__ import annotations

from contextlib import closing
from dataclasses import replace as replace_answer
from pathlib import Path

import pytest
from msgspec.structs import replace

from nodes.withholding import Withholding
from pipeline.config.feedback import FeedbackSettings
from pipeline.core.event import Event, Heard, Phase, Severity
from pipeline.core.explanation import Explanation
from pipeline.store import Action, Answer, AnswerStore, Commit, FusionStore
from tests.event_samples import event
from tests.explained_samples import BOX, WHY, moved, with_

BOUNDS = FeedbackSettings(normal_for=None)


def life(start_s: int, *scores: float) -> list[Event]:
    """An event that comes to these scores, one after the other, and is over."""
    phases = [Phase.RAISED] + [Phase.UPDATED] * (len(scores) - 1)
    told = [
        event(start_s, number, phase=phase, score=score, explanation=WHY)
        for number, (phase, score) in enumerate(zip(phases, scores, strict=True))
    ]
    last = event(start_s, len(scores), phase=Phase.CLEARED, score=scores[-1], explanation=None)
    return [*told, last]


@pytest.fixture
def stores(tmp_path: Path):
    events, answers = FusionStore(tmp_path / "fusion.db"), AnswerStore(tmp_path / "answers.db")
    yield events, answers
    events.close()
    answers.close()


def said(event_: Event, value: str = "normal") -> Answer:
    return Answer(event_.id, "hall", Action.VERDICT, value, "", "Ada", 1)


def like(known: list[Event]) -> str:
    return f"like {known[0].id}, which is normal here"


def marks(withholding: Withholding, phases: list[Event]) -> list[str]:
    return [withholding.marked(phase).withheld for phase in phases]


def test_what_is_like_a_normal_event_is_marked_until_the_answer_is_taken_back(stores) -> None:
    events, answers = stores
    known, again = life(0, 5.0), life(60, 4.0, 5.2)
    events.commit(Commit(events=[*known, *again]))
    withholding = Withholding(events, answers, BOUNDS)
    assert marks(withholding, again) == ["", "", ""]
    position = answers.add(said(known[0]))
    assert marks(withholding, again) == [like(known)] * 3
    assert marks(withholding, known) == ["", ""]
    answers.withdraw(position, "Ada", 2)
    assert marks(withholding, again) == ["", "", ""]


@pytest.mark.parametrize(("score", "held"), [(5.2, True), (7.0, False)])
def test_what_was_held_back_when_it_was_raised_is_so_to_its_end_unless_it_gets_worse(
    stores, score: float, held: bool
) -> None:
    events, answers = stores
    known, stands, after = life(0, 5.0), life(60, 4.0, score), life(120, 5.0)
    events.commit(Commit(events=[*known, *stands, *after]))
    position = answers.add(said(known[0]))
    withholding = Withholding(events, answers, BOUNDS)
    assert marks(withholding, stands[:1]) == [like(known)]
    answers.withdraw(position, "Ada", 2)
    assert marks(withholding, stands[1:]) == [like(known) if held else ""] * 2
    assert marks(withholding, after) == ["", ""]
    assert marks(withholding, stands) == ["", "", ""]  # it is over, nothing is remembered


def test_a_restart_does_not_forget_what_was_held_back_when_it_was_raised(stores) -> None:
    events, answers = stores
    known, stands = life(0, 5.0), life(60, 4.0, 5.2)
    events.commit(Commit(events=[*known, *stands]))
    position = answers.add(said(known[0]))
    assert marks(Withholding(events, answers, BOUNDS), stands[:1]) == [like(known)]
    answers.withdraw(position, "Ada", stands[0].end_ns + 1)
    again = Withholding(events, answers, BOUNDS)
    assert marks(again, stands[1:]) == [like(known)] * 2


def test_what_was_sent_when_it_was_raised_is_not_held_back_after_a_restart(stores) -> None:
    events, answers = stores
    known, stands = life(0, 5.0), life(60, 4.0, 5.2)
    events.commit(Commit(events=[*known, *stands]))
    position = answers.add(replace_answer(said(known[0]), at_ns=stands[0].end_ns + 1))
    answers.withdraw(position, "Ada", stands[0].end_ns + 2)
    assert marks(Withholding(events, answers, BOUNDS), stands[1:]) == ["", ""]


def test_once_it_is_worse_it_is_sent_to_its_end(stores) -> None:
    events, answers = stores
    known, worse = life(0, 5.0), life(60, 4.0, 7.0, 7.0)
    events.commit(Commit(events=[*known, *worse]))
    answers.add(said(known[0]))
    assert marks(Withholding(events, answers, BOUNDS), worse) == [like(known), "", "", ""]


def test_a_stranger_who_is_normal_here_hides_nothing_that_is_heard_beside_him(stores) -> None:
    events, answers = stores
    loud = {"video:cam": Heard(6.0)}
    known, again = (
        [replace(phase, heard=loud) for phase in life(start_s, 5.0, 5.0)] for start_s in (0, 60)
    )
    silent = {**loud, "odd": Heard(3.2, "cam and mic do not belong together")}
    again[1:] = [replace(phase, heard=silent) for phase in again[1:]]
    events.commit(Commit(events=[*known, *again]))
    answers.add(said(known[0]))
    assert marks(Withholding(events, answers, BOUNDS), again) == [like(known), "", ""]


def test_a_real_event_is_never_a_pattern_of_normal(stores) -> None:
    events, answers = stores
    known, again = life(0, 5.0), life(60, 5.0)
    events.commit(Commit(events=[*known, *again]))
    answers.add(said(known[0]))
    answers.add(said(known[0], "real"))
    assert marks(Withholding(events, answers, BOUNDS), again) == ["", ""]


def test_elsewhere_in_the_picture_it_is_sent(stores) -> None:
    events, answers = stores
    known, other = life(0, 5.0), event(60, explanation=elsewhere())
    events.commit(Commit(events=[*known, other]))
    answers.add(said(known[0]))
    assert marks(Withholding(events, answers, BOUNDS), [other]) == [""]


def visit(start_s: int, *lefts: float) -> list[Event]:
    """Somebody who is seen at these places of the picture, one after the other, ever plainer."""
    boxes = [moved(BOX, left) for left in lefts]
    scores = [4.0 + 0.5 * number for number in range(len(lefts))]
    told = life(start_s, *scores)
    seen = [with_(contributions={"cam": 4.0}, boxes=(box,)) for box in boxes]
    shown = [replace(phase, explanation=why) for phase, why in zip(told, seen, strict=False)]
    return [*shown, told[-1]]


def test_who_goes_the_same_way_again_is_held_back_from_the_door_on(stores) -> None:
    """His likeness at the desk, where he was at his worst, would be none at the door."""
    events, answers = stores
    known, again = visit(0, -0.4, 0.0, 0.4), visit(60, -0.35, 0.05, 0.4)
    shorter, elsewhere_too = visit(120, -0.4), visit(180, -0.4, 0.2)
    events.commit(Commit(events=[*known, *again, *shorter, *elsewhere_too]))
    answers.add(said(known[0]))
    withholding = Withholding(events, answers, BOUNDS)
    assert marks(withholding, again) == [like(known)] * 4
    assert marks(withholding, shorter) == [like(known)] * 2
    assert marks(withholding, elsewhere_too) == [like(known), "", ""]


def test_what_an_event_shows_after_it_was_answered_is_normal_too(stores) -> None:
    events, answers = stores
    known, again = visit(0, -0.4, 0.4), visit(60, -0.4, 0.4)
    events.commit(Commit(events=known[:1]))
    answers.add(said(known[0]))
    withholding = Withholding(events, answers, BOUNDS)
    assert marks(withholding, known[:1]) == [""]
    events.commit(Commit(events=known[1:]))
    assert marks(withholding, known[1:]) == ["", ""]
    events.commit(Commit(events=again))
    assert marks(withholding, again) == [like(known)] * 3


def test_answers_that_cannot_be_read_hold_nothing_back(stores, tmp_path: Path) -> None:
    events, answers = stores
    again = life(60, 5.0)
    events.commit(Commit(events=again))
    (tmp_path / "answers.db").write_bytes(b"no database at all" * 500)
    for extra in ("answers.db-wal", "answers.db-shm"):
        (tmp_path / extra).unlink(missing_ok=True)
    assert marks(Withholding(events, answers, BOUNDS), again) == ["", ""]


def snooze(event_: Event, from_s: int, minutes: int) -> Answer:
    until_ns = (from_s + 60 * minutes) * 10**9
    return Answer(event_.id, "hall", Action.SNOOZE, str(until_ns), "", "Ada", from_s * 10**9)


def test_a_snoozed_scene_is_not_told_of_until_then(stores) -> None:
    events, answers = stores
    first, during, after, other = event(0), event(60), event(700), event(60, scene="yard")
    events.commit(Commit(events=[first, during, after, other]))
    answers.add(snooze(first, 30, 10))
    told = marks(Withholding(events, answers, BOUNDS), [first, during, after, other])
    assert told == ["", "snoozed until 1970-01-01T00:10:30.000Z by Ada", "", ""]


def test_a_snooze_lets_through_what_is_more_severe_and_the_equipment(stores) -> None:
    events, answers = stores
    first, worse = event(0), event(60, severity=Severity.CRITICAL)
    blind = event(90, id="health-1")
    events.commit(Commit(events=[first, worse, blind]))
    answers.add(snooze(first, 30, 10))
    assert marks(Withholding(events, answers, BOUNDS), [worse, blind]) == ["", ""]


def test_the_latest_snooze_of_an_event_counts(stores) -> None:
    events, answers = stores
    first, late = event(0), event(700)
    events.commit(Commit(events=[first, late]))
    withholding = Withholding(events, answers, BOUNDS)
    answers.add(snooze(first, 30, 60))
    assert marks(withholding, [late]) != [""]
    answers.add(snooze(first, 40, 1))
    assert marks(withholding, [late]) == [""]


def test_an_answer_holds_for_so_long_and_the_latest_of_a_scene_hold(stores) -> None:
    events, answers = stores
    known, other = life(0, 5.0), event(9, explanation=elsewhere())
    soon, late = life(86400 - 60, 4.0), life(86400 + 60, 4.0)
    events.commit(Commit(events=[*known, other, *soon, *late]))
    answers.add(said(known[0]))
    day = Withholding(events, answers, FeedbackSettings(normal_for="1d"))
    assert marks(day, soon) == [like(known)] * 2
    assert marks(day, late) == ["", ""]
    answers.add(said(other))
    assert marks(day, soon) == [like(known)] * 2
    only = FeedbackSettings(normal_for="1d", normal_at_most=1)
    assert marks(Withholding(events, answers, only), soon) == ["", ""]


def test_an_answer_counts_that_has_the_number_of_one_that_was_forgotten(stores) -> None:
    events, answers = stores
    first, known, again = life(0, 5.0), life(60, 5.0), life(120, 5.0)
    events.commit(Commit(events=[*first, *known, *again]))
    withholding = Withholding(events, answers, BOUNDS)
    answers.add(said(first[0], "real"))
    assert marks(withholding, again) == ["", ""]
    answers.forget([first[0].id])
    answers.add(replace_answer(said(known[0]), at_ns=2))
    assert marks(withholding, again) == [like(known)] * 2


class Counted(FusionStore):
    """Counts the events that are read phase by phase."""

    lives = 0

    def life(self, event_id: str) -> list[Event]:
        self.lives += 1
        return super().life(event_id)


def test_while_an_answered_event_stands_nothing_is_read_again_but_what_it_shows(
    stores, tmp_path: Path
) -> None:
    _, answers = stores
    with closing(Counted(tmp_path / "fusion.db")) as events:
        known, stands, asked = visit(0, -0.4), visit(60, -0.4, 0.4), visit(120, 0.4)[0]
        events.commit(Commit(events=[*known, *stands[:1], asked]))
        answers.add(said(known[0]))
        answers.add(said(stands[0]))
        withholding = Withholding(events, answers, BOUNDS)
        assert not withholding.may_be_withheld(asked)
        assert events.lives == 2
        for _ in range(9):
            assert not withholding.may_be_withheld(asked)
        assert events.lives == 2
        events.commit(Commit(events=stands[1:]))
        assert withholding.may_be_withheld(asked), "it looks like what that came to"
        assert events.lives == 3
        assert withholding.may_be_withheld(asked)
        assert events.lives == 3


def test_answers_that_hold_nothing_back_cost_no_reading(stores, tmp_path: Path) -> None:
    _, answers = stores
    with closing(Counted(tmp_path / "fusion.db")) as events:
        one, other = life(0, 5.0), life(60, 5.0)
        events.commit(Commit(events=[*one, *other]))
        answers.add(said(other[0]))
        withholding = Withholding(events, answers, BOUNDS)
        assert withholding.rules()
        answers.add(replace_answer(said(one[0], ""), action=Action.SEEN))
        answers.add(said(one[0], "real"))
        assert withholding.rules()
        assert events.lives == 1
        answers.add(said(one[0]))
        assert len(withholding.rules().normal) == 2
        assert events.lives == 2


def elsewhere() -> Explanation:
    return with_(boxes=(moved(BOX, 0.3),))
