"""The engine's timers after a restart: still until the streams are back, then as much later."""

from __future__ import annotations

from pipeline.detection.resume_hold import GRACE_NS, ResumeHold


def test_without_a_restart_timers_go_by_the_time_of_arrivals() -> None:
    timers = ResumeHold({"a"})
    assert timers.now_ns(5) == 5
    assert timers.next_ns([9, 7]) == 7
    assert timers.next_ns([]) is None


def test_they_stand_still_until_every_stream_has_opened_and_run_later_from_then_on() -> None:
    timers = ResumeHold({"a", "b"})
    timers.hold(100)
    timers.opened("a")
    timers.opened("a")
    assert [timers.now_ns(now) for now in (100, 130)] == [100, 100]
    assert timers.holding
    assert timers.next_ns([105]) == 100 + GRACE_NS
    timers.opened("b")
    assert timers.now_ns(150) == 100
    assert not timers.holding
    assert timers.now_ns(151) == 101
    assert timers.next_ns([105]) == 155


def test_a_stream_that_never_comes_back_is_waited_for_no_longer_than_the_grace() -> None:
    timers = ResumeHold({"a"})
    timers.hold(100)
    assert timers.now_ns(99 + GRACE_NS) == 100
    assert timers.now_ns(100 + GRACE_NS) == 100
    assert timers.now_ns(101 + GRACE_NS) == 101


def test_while_the_fusion_node_was_away_no_time_passed_for_timers() -> None:
    timers = ResumeHold({"a"})
    assert timers.now_ns(100) == 100
    timers.away(60)
    assert timers.now_ns(160) == 100
    assert timers.next_ns([105]) == 165
    timers.away(5)
    assert timers.now_ns(170) == 105
