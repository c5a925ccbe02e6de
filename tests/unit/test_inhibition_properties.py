"""Whatever happens in whatever order: an event is sent, or withheld for a cause that was told."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.core.event import Event, Phase
from tests.handed_on import SECOND_NS, Site, blind, equipment, gone, seen

HOLD_NS = 3 * SECOND_NS
DARK = {"cam": "dark"}
CAUSES = range(6)


def scene_event(start_s: int, scene: str) -> list[Event]:
    raised = seen(start_s, scene=scene, cam=5.0, mic=1.0, degraded=DARK)
    return [raised, replace(raised, revision=1, phase=Phase.CLEARED)]


def lives() -> list[list[Event]]:
    """Two nodes' worth of what may follow from what, in all scenes."""
    return [
        equipment("hall", "node:gate", 901),
        equipment("yard", "node:gate", 902),
        blind("hall", "cam", "dark", 903),
        gone("lane", "cam", 904),
        gone("hall", "climate", 905),
        blind("yard", "mic", "late", 906),
        equipment("lane", "ledger:cam", 907),
        scene_event(908, "hall"),
        scene_event(909, "hall"),
        scene_event(910, "yard"),
    ]


STEP = st.one_of(
    st.tuples(st.just("commit"), st.lists(st.integers(0, 9), min_size=1, max_size=4)),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 1.0, 2.5, 4.0])),
    st.tuples(st.just("kill"), st.none()),
    st.tuples(st.just("cut"), st.booleans()),
)


class Account:
    """When each phase was committed, beside what arrived."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.lives = {life[0].id: life for life in lives()}
        self.left = {name: list(life) for name, life in self.lives.items()}
        self.at_ns: dict[str, int] = {}

    def commit(self, which: list[int]) -> None:
        left = list(self.left.values())
        events = [left[one].pop(0) for one in which if left[one]]
        self.at_ns |= {event.key: self.site.clock.now_ns() for event in events}
        self.site.commit(*events)

    def check(self) -> None:
        """Every phase came, but of lives whose cause stands; what is withheld has told causes."""
        for name, life in self.lives.items():
            phases = [p for p in life if p.key in self.at_ns]
            came = [self.site.arrived.get(p.key) for p in phases]
            if any(one is None for one in came):
                held = self.site.store.held.of([name])[name]
                assert came == [None] * len(came), "never a part of an event"
                assert self.stands(held.cause, self.site.clock.now_ns())
            elif came and came[0].withheld:
                assert len(phases) == 2, "what stands is not withheld for good"
                assert all(one.withheld for one in came)
                ended_ns = self.at_ns[life[1].key]
                assert self.stands(came[0].cause, ended_ns - HOLD_NS), "it outlived its cause"
            else:
                assert not any(one.withheld for one in came), "what was told is told to its end"

    def stands(self, cause: str, at_ns: int) -> bool:
        """Whether an event was told, and not over before a time."""
        first, last = self.lives[cause]
        told = self.site.arrived[first.key]
        return not told.withheld and self.at_ns.get(last.key, 1 << 62) >= at_ns


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEP, min_size=3, max_size=25))
def test_every_event_is_sent_or_withheld_for_a_cause_that_was_told(steps) -> None:
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        account = Account(site)
        for kind, what in steps:
            if kind == "commit":
                account.commit(what)
            elif kind == "wait":
                site.wait(what)
            elif kind == "kill":
                site.start()
            else:
                site.link.loses = bool(what)
        site.link.loses = False
        site.start()  # what was lost on the way is sent again, as the link would
        site.settle()
        site.wait(4)
        account.check()
        account.commit([*CAUSES, *CAUSES])
        site.wait(4)
        account.check()
        assert all(key in site.arrived for key in account.at_ns), "the causes are over"
        site.close()
