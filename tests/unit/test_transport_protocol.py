"""The receiver's side of the protocol; messages are in `test_transport_messages`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.core.arrival import LedgerReport, SampleArrived, StreamEnded, StreamOpened
from pipeline.core.ledger import DropReason, Ledger
from pipeline.core.sample import Encoding, Sample
from pipeline.transport.protocol import (
    NODE_LOST_NS,
    SAMPLE_COST,
    Ack,
    Bye,
    ClockAsk,
    Credit,
    End,
    Hello,
    LedgerSaid,
    Message,
    Refusal,
    Refused,
    Reject,
    Resume,
    StreamSaid,
    Welcome,
)
from pipeline.transport.receiver_session import ReceiverSession, from_the_start
from tests.unit.link_samples import CAM, NOW, VIB, S, hello, reading, sequences


def receiver(**changes: object) -> ReceiverSession:
    options = {"resume": from_the_start, "credit": 10_000, "max_message": 5_000, "max_streams": 3}
    return ReceiverSession(**{**options, **changes})


def opened(**changes: object) -> ReceiverSession:
    session = receiver(**changes)
    session.hello(b"1", hello(), NOW, shared=False)
    session.receive(b"1", StreamSaid(VIB), NOW)
    session.outgoing.clear()
    session.arrivals.clear()
    return session


def said(session: ReceiverSession, kind: type) -> list[Message]:
    return [message for _, message in session.outgoing if isinstance(message, kind)]


def refusals(session: ReceiverSession) -> list[Refusal]:
    return [message.code for message in said(session, Refused)]


def test_a_hello_is_welcomed_with_credit_and_limits() -> None:
    session = receiver()
    assert session.hello(b"1", hello(attempt=7), NOW, shared=False)
    (welcome,) = said(session, Welcome)
    assert (welcome.attempt, welcome.credit, welcome.max_message) == (7, 10_000, 5_000)


def test_streams_open_when_they_are_described_and_again_when_they_change() -> None:
    session = receiver()
    session.hello(b"1", hello(), NOW, shared=False)
    for info in (VIB, VIB, replace(VIB, rate_hz=20.0)):
        session.receive(b"1", StreamSaid(info), NOW)
    assert session.arrivals == [
        StreamOpened(NOW, "n1", VIB, "s1"),
        StreamOpened(NOW, "n1", replace(VIB, rate_hz=20.0), "s1"),
    ]


def test_samples_arrive_in_order_with_their_arrival_time() -> None:
    session = opened()
    session.data(b"1", [reading(0), reading(1)], 48, NOW + 5)
    assert sequences(session) == [0, 1]
    assert {a.arrival_ns for a in session.arrivals} == {NOW + 5}


def test_duplicates_and_replays_are_counted_and_dropped() -> None:
    session = opened()
    session.data(b"1", [reading(0), reading(1)], 48, NOW)
    session.data(b"1", [reading(1), reading(0), reading(2)], 72, NOW)
    assert sequences(session) == [0, 1, 2]
    assert session.counters["duplicate"] == 2
    assert not session.outgoing


def test_gaps_are_accepted_and_what_comes_late_from_a_gap_is_not() -> None:
    session = opened()
    session.data(b"1", [reading(5), reading(3), reading(9)], 72, NOW)
    assert sequences(session) == [5, 9]


def test_data_without_hello_is_refused() -> None:
    session = receiver()
    session.data(b"9", [reading(0)], 24, NOW)
    session.receive(b"9", ClockAsk(1), NOW)
    assert refusals(session) == [Refusal.HELLO_FIRST, Refusal.HELLO_FIRST]
    assert session.counters["hello_first"] == 2


def test_samples_of_unknown_streams_are_rejected_one_by_one() -> None:
    session = opened()
    session.data(b"1", [reading(4, stream="what"), reading(0)], 48, NOW)
    assert sequences(session) == [0]
    assert said(session, Reject) == [Reject("what", [4], DropReason.REFUSED)]


def test_samples_from_the_future_are_rejected_unless_the_stream_is_exact() -> None:
    session = opened()
    session.data(b"1", [reading(0, NOW + 6 * S), reading(1, NOW + 4 * S)], 48, NOW)
    assert sequences(session) == [1]
    assert said(session, Reject) == [Reject("vib", [0], DropReason.FUTURE)]
    session.receive(b"1", StreamSaid(replace(VIB, stamp="exact")), NOW)
    session.data(b"1", [reading(2, NOW + 600 * S)], 24, NOW)
    assert sequences(session) == [1, 2]


def test_samples_that_do_not_fit_their_stream_are_rejected() -> None:
    session = opened()
    two = Sample("vib", 0, NOW, np.zeros(2), Encoding.FLOAT)
    sound = Sample("vib", 1, NOW, np.zeros((4, 1), np.int16), Encoding.PCM)
    session.data(b"1", [two, sound, reading(2)], 48, NOW)
    assert sequences(session) == [2]
    assert session.counters["rejected_corrupt"] == 2


def test_not_a_number_is_data() -> None:
    session = opened()
    session.data(b"1", [Sample("vib", 0, NOW, np.full(3, np.nan), Encoding.FLOAT)], 24, NOW)
    assert sequences(session) == [0]


def test_another_version_is_refused() -> None:
    session = receiver()
    assert not session.hello(b"1", Hello(99, "n1", "s1", 3, []), NOW, shared=False)
    assert session.outgoing == [
        (b"1", Refused(Refusal.VERSION, "version 99, we speak 1: upgrade the older node", 3)),
    ]
    assert not session.nodes()


def test_a_second_node_of_the_same_name_is_refused_while_the_first_is_heard() -> None:
    session = opened()
    assert not session.hello(b"2", hello(session="s2"), NOW + NODE_LOST_NS // 2, shared=False)
    assert refusals(session) == [Refusal.NAME_TAKEN]
    session.data(b"1", [reading(0)], 24, NOW + 1)
    assert sequences(session) == [0]


@pytest.mark.parametrize("how", ["silence", "bye", "connection gone"])
def test_a_name_is_free_again_once_its_node_is_gone(how: str) -> None:
    session = opened()
    later = NOW + 1
    if how == "silence":
        later = NOW + NODE_LOST_NS + 1
    elif how == "bye":
        session.receive(b"1", Bye(), NOW)
    else:
        session.unreachable(b"1")
    assert session.hello(b"2", hello(session="s2"), later, shared=False)


def test_hello_twice_on_one_connection_gives_the_same_welcome() -> None:
    session = receiver()
    for _ in range(2):
        assert session.hello(b"1", hello(), NOW, shared=False)
    first, second = said(session, Welcome)
    assert first == second
    assert session.hello(b"1", hello(node="n2"), NOW, shared=False) is False


def test_a_reconnect_goes_on_where_the_session_was_and_forgets_the_old_connection() -> None:
    session = opened()
    session.data(b"1", [reading(0), reading(1)], 48, NOW)
    session.ack("n1", {"vib": 0})
    session.outgoing.clear()
    session.hello(b"2", hello(attempt=2), NOW, shared=False)
    (welcome,) = said(session, Welcome)
    assert welcome.resume == {"vib": Resume(2, 1)}
    session.data(b"1", [reading(2)], 24, NOW)
    assert refusals(session) == [Refusal.HELLO_FIRST]
    session.receive(b"2", StreamSaid(VIB), NOW)
    session.data(b"2", [reading(1), reading(2)], 48, NOW)
    assert sequences(session) == [0, 1, 2]
    assert not any(isinstance(a, StreamOpened) for a in session.arrivals)


def test_a_belated_hello_of_an_old_connection_changes_nothing() -> None:
    session = receiver()
    session.hello(b"2", hello(attempt=2), NOW, shared=False)
    assert not session.hello(b"1", hello(attempt=1), NOW, shared=False)
    assert session.knows(b"2")


def test_a_new_session_starts_every_stream_anew_and_ends_those_it_lacks() -> None:
    session = receiver()
    session.hello(b"1", hello("n1", "s1", 1, VIB, CAM), NOW, shared=False)
    session.receive(b"1", StreamSaid(VIB), NOW)
    session.receive(b"1", StreamSaid(CAM), NOW)
    session.data(b"1", [reading(0), reading(1)], 48, NOW)
    session.unreachable(b"1")
    session.arrivals.clear()
    session.hello(b"2", hello(session="s2"), NOW, shared=False)
    session.receive(b"2", StreamSaid(VIB), NOW)
    session.data(b"2", [reading(0)], 24, NOW)
    kinds = [type(a) for a in session.arrivals]
    assert kinds == [StreamEnded, StreamOpened, SampleArrived]
    assert session.arrivals[0].stream == "cam"


def test_a_session_that_comes_back_with_fewer_streams_ends_those_it_lacks() -> None:
    session = receiver()
    session.hello(b"1", hello("n1", "s1", 1, VIB, CAM), NOW, shared=False)
    for info in (VIB, CAM):
        session.receive(b"1", StreamSaid(info), NOW)
    session.hello(b"2", hello("n1", "s1", 2, VIB), NOW + S, shared=False)
    assert session.arrivals[2:] == [StreamEnded(NOW + S, "n1", CAM.name)]


def test_acks_of_another_session_are_ignored() -> None:
    session = opened()
    session.data(b"1", [reading(0)], 24, NOW)
    session.ack("n1", {"vib": 0}, "an older one")
    session.ack("nobody", {"vib": 0})
    assert not said(session, Ack)
    assert session.counters["stale_ack"] == 2
    session.ack("n1", {"vib": 0}, "s1")
    session.ack("n1", {"vib": 0}, "s1")
    assert said(session, Ack) == [Ack({"vib": 0})]


def test_nothing_is_acked_that_has_not_arrived() -> None:
    session = opened()
    session.data(b"1", [reading(0)], 24, NOW)
    session.ack("n1", {"vib": 99, "unknown": 5})
    assert said(session, Ack) == [Ack({"vib": 0})]


def test_a_restarted_receiver_resumes_from_what_was_committed() -> None:
    session = receiver(resume=lambda node, session, infos: {"vib": 7})
    session.hello(b"1", hello(), NOW, shared=False)
    (welcome,) = said(session, Welcome)
    assert welcome.resume == {"vib": Resume(7, 7)}
    session.receive(b"1", StreamSaid(VIB), NOW)
    session.data(b"1", [reading(6), reading(7)], 48, NOW)
    assert sequences(session) == [7]


def test_what_is_committed_is_asked_of_each_session_once_with_the_streams_it_has() -> None:
    asked = []

    def resume(*who: object) -> dict[str, int]:
        asked.append(who)
        return {"gone": 4}

    session = receiver(resume=resume)
    for attempt in (1, 2):
        session.hello(b"1", hello("n1", "s1", attempt, VIB), NOW, shared=False)
    assert asked == [("n1", "s1", [VIB])]
    assert said(session, Welcome)[1].resume == {"vib": Resume(0, 0), "gone": Resume(4, 4)}


def test_too_many_streams_are_refused() -> None:
    session = receiver(max_streams=2)
    infos = [replace(VIB, name=f"v{n}") for n in range(3)]
    assert not session.hello(b"1", hello("n1", "s1", 1, *infos), NOW, shared=False)
    session.hello(b"1", hello("n1", "s1", 1, *infos[:2]), NOW, shared=False)
    session.receive(b"1", StreamSaid(infos[2]), NOW)
    assert refusals(session) == [Refusal.TOO_MANY_STREAMS] * 2


def test_an_end_is_told_once_and_goodbye_ends_all() -> None:
    session = opened()
    session.receive(b"1", StreamSaid(CAM), NOW)
    session.arrivals.clear()
    session.receive(b"1", End("vib"), NOW)
    session.receive(b"1", End("vib"), NOW)
    session.receive(b"1", Bye(), NOW)
    assert session.arrivals == [StreamEnded(NOW, "n1", "vib"), StreamEnded(NOW, "n1", "cam")]
    assert said(session, Bye)
    (node,) = session.nodes()
    assert node.ended
    assert not node.lost


def test_the_receivers_own_words_are_out_of_place_from_a_sender() -> None:
    session = opened()
    session.receive(b"1", Credit(10**9), NOW)
    session.receive(b"1", End("unknown"), NOW)
    assert refusals(session) == [Refusal.OUT_OF_PLACE] * 2


def test_a_silent_node_is_lost_and_comes_back() -> None:
    session = opened()
    session.tick(NOW + NODE_LOST_NS + 1)
    assert session.nodes()[0].lost
    session.receive(b"1", ClockAsk(1), NOW + NODE_LOST_NS + 2)
    assert not session.nodes()[0].lost


def test_a_ledger_report_arrives_and_an_endless_one_is_refused() -> None:
    session = opened()
    accounts = Ledger()
    accounts.captured("vib", 3)
    session.receive(b"1", LedgerSaid(accounts.snapshot(), waits=True), NOW)
    assert session.arrivals == [LedgerReport(NOW, "n1", accounts.snapshot(), waits=True)]
    many = {str(n): accounts.snapshot()["vib"] for n in range(7)}
    session.receive(b"1", LedgerSaid(many), NOW)
    assert refusals(session) == [Refusal.TOO_MANY_STREAMS]


def test_credit_comes_back_when_samples_are_handed_over() -> None:
    session = opened(credit=1_000)
    cost = 24 + SAMPLE_COST
    session.data(b"1", [reading(n) for n in range(4)], 96, NOW)
    session.grant({}, NOW)
    assert said(session, Credit) == [Credit(1_000 + 4 * cost)]
    session.grant({}, NOW)
    assert len(said(session, Credit)) == 1


def test_a_sender_that_ignores_its_credit_is_told() -> None:
    session = opened(credit=1_000, max_message=1_000)
    session.data(b"1", [reading(n) for n in range(20)], 480, NOW)
    assert refusals(session) == [Refusal.OVER_CREDIT]


def test_data_that_is_replayed_raises_no_grant() -> None:
    session = opened(credit=1_000)
    for _ in range(5):
        session.data(b"1", [reading(n) for n in range(4)], 96, NOW)
    session.grant({}, NOW)
    assert said(session, Credit) == [Credit(1_000 + 4 * (24 + SAMPLE_COST))]
    assert session.counters["duplicate"] == 16


def test_what_was_refused_is_told_again_though_what_follows_is_committed() -> None:
    session = opened()
    samples = [reading(0), reading(1, NOW + 3600 * S), reading(2)]
    session.data(b"1", samples, 72, NOW)
    session.ack("n1", {"vib": 2})
    session.outgoing.clear()
    session.hello(b"2", hello(attempt=2), NOW, shared=False)
    (welcome,) = said(session, Welcome)
    assert welcome.resume == {"vib": Resume(3, 3, {1: DropReason.FUTURE})}


def test_a_name_is_held_by_the_connection_of_a_live_session_only() -> None:
    session = opened()
    assert session.holder("n2") is None
    assert session.holder("n1") == b"1"
    session.tick(NOW + NODE_LOST_NS + 1)
    assert session.holder("n1") is None
    session.receive(b"1", ClockAsk(1), NOW + NODE_LOST_NS + 2)
    assert session.holder("n1") == b"1"
    session.receive(b"1", Bye(), NOW + NODE_LOST_NS + 3)
    assert session.holder("n1") is None


def test_of_many_nodes_those_that_fall_silent_are_lost_in_time() -> None:
    session = opened()
    for number in range(2, 6):
        session.hello(str(number).encode(), hello(f"n{number}"), NOW, shared=False)
    heard = {f"n{number}": NOW for number in range(1, 6)}
    for step in range(1, 40):
        now_ns = NOW + step * S // 2
        for number in range(1, 6):
            if step < 5 * number:
                session.receive(str(number).encode(), ClockAsk(step), now_ns)
                heard[f"n{number}"] = now_ns
        session.tick(now_ns)
        lost = {status.node for status in session.nodes() if status.lost}
        assert lost == {name for name, at in heard.items() if now_ns - at > NODE_LOST_NS}
        assert session.others("n1") == len(heard) - len(lost | {"n1"})


def test_credit_goes_to_those_who_sent_and_to_nobody_else() -> None:
    session = opened(credit=1_000)
    session.hello(b"2", hello("n2"), NOW, shared=False)
    session.outgoing.clear()
    session.data(b"1", [reading(n) for n in range(4)], 96, NOW)
    session.grant({}, NOW)
    session.grant({}, NOW + S)
    assert [c for c, m in session.outgoing if isinstance(m, Credit)] == [b"1"]
