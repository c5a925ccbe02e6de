"""The sender's side of the protocol, and both sides together through whatever breaks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.codec import describe
from pipeline.core.ledger import DropReason, Ledger
from pipeline.transport.clock_sync import ClockEstimator
from pipeline.transport.protocol import (
    HEARTBEAT_NS,
    HELLO_RETRY_NS,
    LEDGER_NS,
    LINK_LOST_NS,
    REFUSED_RETRY_NS,
    SAMPLE_COST,
    Ack,
    Bye,
    ClockAnswer,
    ClockAsk,
    Credit,
    End,
    LedgerSaid,
    Refusal,
    Refused,
    Reject,
    Resume,
    StreamSaid,
    Welcome,
    decode,
    encode,
)
from pipeline.transport.receiver_session import ReceiverSession, from_the_start
from pipeline.transport.send_buffer import SendBuffer
from pipeline.transport.sender_session import LinkState, SenderSession
from tests.unit.link_samples import NOW, VIB, S, reading, sequences


class Sending:
    """A sender's session with its buffer and ledger."""

    def __init__(self, capacity: int = 100_000, arena_bytes: int = 0) -> None:
        self.ledger = Ledger()
        self.buffer = SendBuffer(capacity, self.ledger)
        self.link = SenderSession(
            "n1", "s1", self.buffer, self.ledger, arena_bytes=arena_bytes, max_message=5_000
        )
        self.buffer.describe(VIB)

    def give(self, count: int, at: int = NOW, *, placed: bool = True) -> None:
        for _ in range(count):
            self.ledger.captured("vib")
            _, header, payload = describe(reading(0, at))
            stream = self.buffer.streams["vib"]
            assert self.buffer.reserve(stream, 24 + SAMPLE_COST)
            self.buffer.push(stream, header, payload, placed=placed)

    def ready(self, credit: int = 10_000, **resume: Resume) -> None:
        (greeting,) = self.link.open(NOW)
        welcome = Welcome(1, greeting.attempt, credit, 4_000, resume)
        self.link.receive(welcome, NOW)

    def sent(self) -> list[object]:
        found: list[object] = []
        while (item := self.link.next()) is not None:
            found += [k.header.sequence for k in item] if isinstance(item, list) else [item]
        return found


def test_nothing_is_sent_before_the_welcome() -> None:
    sending = Sending()
    sending.give(2)
    assert (sending.link.wants_reconnect, sending.link.news) == (False, "")
    sending.link.open(NOW)
    assert sending.sent() == []
    sending.ready()
    assert sending.sent() == [StreamSaid(VIB), 0, 1]
    assert sending.link.max_message == 4_000


def test_nothing_is_sent_before_it_can_be_put_on_site_time() -> None:
    sending = Sending()
    sending.give(1, at=NOW, placed=False)
    sending.give(1, at=NOW + 2 * S)
    sending.ready()
    assert sending.sent() == []
    assert not sending.link.drained
    assert sending.link.waits_for_clock
    estimator = ClockEstimator("udp")
    estimator.add(NOW, NOW + 5 * S + 10, NOW + 5 * S + 10, NOW + 20)
    sending.link.place(estimator.estimate())
    assert not sending.link.waits_for_clock
    described, samples = sending.link.next(), sending.link.next()
    assert described == StreamSaid(VIB)
    assert isinstance(samples, list)
    stamps = [kept.header.timestamp_ns for kept in samples]
    assert stamps == [pytest.approx(NOW + 5 * S, abs=2), NOW + 2 * S]
    assert samples[0].header.uncertainty_ns >= 10


def test_an_old_welcome_is_ignored() -> None:
    sending = Sending()
    sending.link.open(NOW)
    sending.link.open(NOW)
    sending.link.receive(Welcome(1, 1, 10_000, 4_000, {}), NOW)
    assert sending.link.state is LinkState.ASKED
    sending.link.receive(Welcome(1, 2, 10_000, 4_000, {}), NOW)
    assert sending.link.state is LinkState.READY


def test_sending_stops_at_the_credit_and_goes_on_with_more() -> None:
    sending = Sending()
    sending.give(6)
    cost = 24 + SAMPLE_COST
    sending.ready(credit=3 * cost)
    assert sending.sent() == [StreamSaid(VIB), 0, 1, 2]
    sending.link.receive(Credit(4 * cost), NOW)
    sending.link.receive(Credit(2 * cost), NOW)
    assert not sending.link.drained
    assert sending.sent() == [3]
    assert not sending.link.hungry
    sending.link.receive(Credit(4 * cost + 1), NOW)
    assert sending.link.hungry
    assert sending.sent() == [4]  # one may begin as long as a byte is left


def test_the_end_of_a_stream_is_said_after_its_last_sample() -> None:
    sending = Sending()
    sending.give(2)
    sending.buffer.end("vib")
    sending.ready()
    assert sending.sent() == [StreamSaid(VIB), 0, 1, End("vib")]
    assert sending.link.drained
    assert not sending.link.finished


def test_shared_memory_is_offered_anew_once_a_receiver_has_seen_it() -> None:
    sending = Sending(arena_bytes=1 << 20)
    offers = [sending.link.open(NOW)[0].shared for _ in range(2)]
    assert offers[0] == offers[1] != ""
    sending.link.receive(Welcome(1, 2, 10_000, 4_000, {}, "r", shared=True), NOW)
    assert sending.link.shared
    assert sending.link.receiver == "r"
    later = sending.link.open(NOW)[0].shared
    assert not sending.link.shared
    assert later not in ("", offers[0])
    sending.link.close_arena()
    assert Sending().link.open(NOW)[0].shared == ""


def test_acked_samples_are_delivered_and_rejected_ones_dropped() -> None:
    sending = Sending()
    sending.give(4)
    sending.ready()
    sending.sent()
    sending.link.receive(Reject("vib", [1], DropReason.FUTURE), NOW)
    sending.link.receive(Ack({"vib": 2, "unknown": 9}), NOW)
    account = sending.ledger.snapshot()["vib"]
    assert (account.delivered, account.spooled, account.dropped) == (2, 1, {"future": 1})
    sending.link.receive(Reject("vib", [3], DropReason.FUTURE), NOW)
    assert sending.link.counters["rejected"] == 2
    assert sending.link.finished


def test_each_timer_says_its_word_when_its_time_has_come_and_not_before() -> None:
    sending = Sending()
    sending.ready()
    said = {}
    for tenth in range(40):
        now = NOW + tenth * S // 10
        sending.link.receive(ClockAnswer(NOW, NOW, NOW), now)
        for message in sending.link.tick(now):
            said.setdefault(type(message), []).append(now - NOW)
    assert said == {
        ClockAsk: list(range(0, 4 * S, HEARTBEAT_NS)),
        LedgerSaid: list(range(0, 4 * S, LEDGER_NS)),
    }


def test_the_account_says_whether_samples_wait_to_be_sent() -> None:
    sending = Sending()
    sending.ready()
    sending.give(3)
    (waits,) = (m.waits for m in sending.link.tick(NOW) if isinstance(m, LedgerSaid))
    while sending.link.next() is not None:
        pass
    (sent,) = (m.waits for m in sending.link.tick(NOW + LEDGER_NS) if isinstance(m, LedgerSaid))
    assert (waits, sent) == (True, False)


def test_clock_answers_are_given_once_with_the_time_each_came() -> None:
    sending = Sending()
    sending.ready()
    answers = [ClockAnswer(NOW, NOW + 1, NOW + 2), ClockAnswer(NOW + 3, NOW + 4, NOW + 5)]
    for late, answer in enumerate(answers, 10):
        sending.link.receive(answer, NOW + late)
    assert sending.link.clock_answers() == [(answers[0], NOW + 10), (answers[1], NOW + 11)]
    assert sending.link.clock_answers() == []


def test_what_is_not_said_to_a_sender_in_its_state_is_counted_and_changes_nothing() -> None:
    sending = Sending()
    sending.give(1)
    sending.link.open(NOW)
    sending.link.receive(Credit(10_000), NOW)
    sending.link.receive(Ack({"vib": 0}), NOW)
    assert sending.link.counters["out_of_place"] == 2
    assert sending.link.state is LinkState.ASKED
    assert sending.ledger.snapshot()["vib"].spooled == 1
    sending.ready()
    sending.link.receive(ClockAsk(NOW), NOW)
    assert sending.link.counters["out_of_place"] == 3
    sending.link.receive(Welcome(1, 2, 10**9, 4_000, {}), NOW)
    assert sending.link.counters["stale"] == 1


def test_only_silence_longer_than_allowed_loses_a_link_or_a_greeting() -> None:
    sending = Sending()
    sending.link.open(NOW)
    sending.link.tick(NOW + HELLO_RETRY_NS)
    assert not sending.link.wants_reconnect
    sending.link.tick(NOW + HELLO_RETRY_NS + 1)
    assert sending.link.wants_reconnect
    assert sending.link.state is LinkState.OFFLINE
    sending.ready()
    sending.link.tick(NOW + LINK_LOST_NS)
    assert sending.link.state is LinkState.READY
    sending.link.receive(Ack({}), NOW + LINK_LOST_NS)
    assert sending.link.tick(NOW + 2 * LINK_LOST_NS)
    assert sending.link.tick(NOW + 2 * LINK_LOST_NS + 1) == []
    assert sending.link.state is LinkState.OFFLINE
    assert sending.link.reconnect_at_ns == NOW + 2 * LINK_LOST_NS + 1


def test_silence_loses_the_link_and_unanswered_hellos_are_repeated() -> None:
    sending = Sending()
    sending.ready()
    assert any(isinstance(m, ClockAsk) for m in sending.link.tick(NOW))
    sending.link.tick(NOW + LINK_LOST_NS + 1)
    assert sending.link.wants_reconnect
    sending.link.open(NOW + 6 * S)
    sending.link.tick(NOW + 9 * S)
    assert sending.link.wants_reconnect


def test_a_receiver_that_does_not_know_us_makes_us_start_over() -> None:
    sending = Sending()
    sending.ready()
    sending.link.receive(Refused(Refusal.HELLO_FIRST), NOW)
    assert sending.link.wants_reconnect
    assert sending.link.reconnect_at_ns == NOW


def test_a_refused_hello_is_repeated_later() -> None:
    sending = Sending()
    (greeting,) = sending.link.open(NOW)
    sending.link.receive(Refused(Refusal.NAME_TAKEN, "x", greeting.attempt), NOW)
    assert sending.link.wants_reconnect
    assert sending.link.reconnect_at_ns > NOW
    assert sending.link.refusal is not None
    sending.ready()
    assert sending.link.refusal is None


def test_of_a_failed_handshake_told_twice_the_longer_wait_counts_from_the_first() -> None:
    sending = Sending()
    (greeting,) = sending.link.open(NOW)
    sending.link.receive(Refused(Refusal.NAME_TAKEN, "x", greeting.attempt), NOW)
    sending.link.lost(NOW + 9)
    assert sending.link.reconnect_at_ns == NOW + REFUSED_RETRY_NS
    sending.link.lost(NOW + 10, REFUSED_RETRY_NS)
    assert sending.link.reconnect_at_ns == NOW + REFUSED_RETRY_NS


@pytest.mark.parametrize("attempt", [0, 2])
def test_a_refusal_without_an_attempt_or_of_this_one_ends_the_greeting(attempt: int) -> None:
    sending = Sending()
    sending.link.open(NOW)
    sending.link.open(NOW)
    sending.link.receive(Refused(Refusal.VERSION, "x", 1), NOW)
    assert sending.link.state is LinkState.ASKED
    assert sending.link.refusal is None
    sending.link.receive(Refused(Refusal.VERSION, "x", attempt), NOW)
    assert sending.link.state is LinkState.OFFLINE
    assert sending.link.refusal == Refused(Refusal.VERSION, "x", attempt)
    assert sending.link.reconnect_at_ns == NOW + REFUSED_RETRY_NS
    assert sending.link.counters["refused_version"] == 2


def test_of_refusals_on_a_link_that_is_ready_only_a_key_that_is_not_allowed_ends_it() -> None:
    sending = Sending()
    sending.ready()
    for code in (Refusal.MALFORMED, Refusal.OVER_CREDIT, Refusal.MALFORMED):
        sending.link.receive(Refused(code), NOW)
    assert sending.link.state is LinkState.READY
    assert sending.link.counters["refused_malformed"] == 2
    sending.link.receive(Refused(Refusal.NOT_ALLOWED), NOW + 1)
    assert sending.link.state is LinkState.OFFLINE
    assert sending.link.reconnect_at_ns == NOW + 1 + REFUSED_RETRY_NS


def test_a_receiver_that_says_goodbye_is_greeted_again_later_unless_we_close() -> None:
    sending = Sending()
    sending.ready()
    sending.link.receive(Bye(), NOW)
    assert sending.link.state is LinkState.OFFLINE
    assert sending.link.reconnect_at_ns == NOW + REFUSED_RETRY_NS
    assert sending.link.close() == []
    assert sending.link.state is LinkState.CLOSED
    sending.link.lost(NOW)
    sending.link.receive(Bye(), NOW)
    assert sending.link.state is LinkState.CLOSED


def test_goodbye_comes_with_the_last_account() -> None:
    sending = Sending()
    sending.ready()
    assert [type(m) for m in sending.link.close()] == [LedgerSaid, Bye]
    sending.link.receive(Bye(), NOW)
    assert sending.link.state is LinkState.CLOSED


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(("give", "send", "ack", "break", "restart")), max_size=40))
def test_whatever_breaks_every_sample_arrives_once_and_the_books_add_up(history: list[str]) -> None:
    """Links break before or after delivery, the receiver restarts from what was committed."""
    sending = Sending(10**9)
    committed = -1
    taken: list[int] = []
    link = ReceiverSession(resume=from_the_start, credit=500, max_message=5_000, max_streams=3)
    connection = 0

    def connect() -> None:
        nonlocal connection
        connection += 1
        (greeting,) = sending.link.open(NOW)
        assert link.hello(str(connection).encode(), greeting, NOW, shared=False)
        deliver()

    def deliver() -> None:
        for target, message in link.outgoing:
            if target == str(connection).encode():
                sending.link.receive(decode(encode(message)), NOW)
        link.outgoing.clear()

    connect()
    for action in [*history, "break", "send", "send"]:
        if action == "give":
            sending.give(3)
        elif action == "send":
            while (item := sending.link.next()) is not None:
                wire = str(connection).encode()
                if isinstance(item, list):
                    batch = [reading(k.header.sequence) for k in item]
                    link.data(wire, batch, 24 * len(batch), NOW)
                else:
                    link.receive(wire, item, NOW)
                link.grant({}, NOW)
                deliver()
            taken += sequences(link)
            link.arrivals.clear()
        elif action == "ack" and taken:
            committed = taken[-1]
            link.ack("n1", {"vib": committed})
            deliver()
        elif action == "break":
            sending.link.next()
            sending.link.lost(NOW)
            connect()
        elif action == "restart":
            taken = [n for n in taken if n <= committed]
            points = {"vib": committed + 1}
            link = ReceiverSession(
                resume=lambda *_, points=points: points,
                credit=500,
                max_message=5_000,
                max_streams=3,
            )
            sending.link.lost(NOW)
            connect()
    account = sending.ledger.snapshot().get("vib")
    if account is not None:
        assert taken == list(range(account.captured))
        assert account.missing == 0
        assert account.delivered <= committed + 1


def test_what_was_refused_counts_as_dropped_though_its_refusal_was_lost() -> None:
    sending = Sending()
    sending.give(3)
    sending.ready()
    sending.sent()
    sending.link.lost(NOW)
    sending.ready(vib=Resume(wanted=3, acked=3, rejected={1: DropReason.FUTURE}))
    account = sending.ledger.snapshot()["vib"]
    assert (account.delivered, account.spooled, account.dropped) == (2, 0, {"future": 1})
