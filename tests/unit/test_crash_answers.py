"""What somebody answers reaches the alert node, however often the fusion node is killed."""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path

import pytest
import structlog

from nodes.places import answer_store
from pipeline.core.answered import answer_of
from pipeline.store import Action, Answer
from tests.crash.kills import Kills
from tests.crash.link import AlertNode
from tests.crash.room import SECOND, room, script
from tests.crash.world import Turn, World


class Answering(AlertNode):
    """Somebody answers every event when it is raised, and takes that back when it is over."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def take(self, key: str, body: bytes) -> None:
        super().take(key, body)
        event_id, _, revision = key.rpartition(".")
        if revision in {"0", "1"}:
            self._answer(event_id, over=revision == "1")

    def _answer(self, event_id: str, *, over: bool) -> None:
        with closing(answer_store(self._world.deployment)) as store:
            now_ns = self._world.clock.now_ns()
            mine = [answer for answer in store.all() if answer.event == event_id]
            if not mine:
                store.add(Answer(event_id, "room", Action.SEEN, "", "", "Ada", now_ns))
            elif over and not mine[0].withdrawn_ns:
                store.withdraw(mine[0].position, "Bob", now_ns)


def run(folder: Path, kills: Kills) -> set[tuple[str, bool]]:
    """Events to which the alert node was given an answer, and whether it was taken back."""
    world = room(folder / "data")
    world.alert = Answering(world)
    world.run(script(), kills)
    end_ns = world.clock.now_ns()
    world.run([Turn(end_ns + n * SECOND, {}) for n in range(1, 6)], Kills())
    with closing(answer_store(world.deployment)) as store:
        assert store.unhanded(9) == []
    given = {key: answer_of(body) for key, body in world.alert.bodies.items()}
    return {
        (key.rpartition(".")[0], bool(answer.withdrawn_ns))
        for key, answer in given.items()
        if answer is not None
    }


@pytest.fixture(autouse=True)
def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


def test_killed_at_any_step_the_alert_node_gets_every_answer_and_that_it_was_taken_back(
    tmp_path: Path,
) -> None:
    kills = Kills()
    whole = run(tmp_path / "whole", kills)
    back = {(event_id, True) for event_id, _ in whole}
    assert (len(whole), len(back)) == (4, 2)
    sends = [at for at, step in enumerate(kills.passed) if step == "events.send"]
    often = range(sends[0], len(kills.passed), 36)
    for number, at in enumerate([often, *([one] for one in sends[1:6])]):
        given = run(tmp_path / str(number), Kills(at))
        # One that was taken back before it could go needs not go any more.
        assert back <= given <= whole, f"killed at {list(at)}"
