"""When a link that is down is worth a warning, and which one."""

from nodes.link_trouble import HANDSHAKE_FAILED, NO_ANSWER, LinkTrouble
from pipeline.transport.sender_session import LinkState
from pipeline.transport.sender_status import SenderStatus

SECOND_NS = 1_000_000_000


def status(state=LinkState.ASKED, refusal="", failed=0):
    return SenderStatus(state, refusal, 0, 0, False, {"handshake_failed": failed})


def told(trouble, seconds, *, encrypted=False, **what):
    """What is told when the link has been looked at every second for so long."""
    said = []
    for second in range(seconds):
        reason = trouble.look(status(**what), second * SECOND_NS, encrypted=encrypted)
        if trouble.worth_telling:
            said.append((second, reason))
    return said


def test_a_fusion_node_that_is_still_starting_is_not_told():
    assert not told(LinkTrouble(10 * SECOND_NS), 9)


def test_no_answer_is_told_once_when_it_lasts():
    assert told(LinkTrouble(10 * SECOND_NS), 60) == [(10, NO_ANSWER)]


def test_health_knows_at_once():
    assert LinkTrouble(10 * SECOND_NS).look(status(), 0, encrypted=False) == NO_ANSWER


def test_a_refusal_is_told_at_once():
    assert told(LinkTrouble(10 * SECOND_NS), 5, refusal="no such node") == [(0, "no such node")]


def test_a_link_without_keys_that_breaks_off_is_no_matter_of_keys():
    assert told(LinkTrouble(10 * SECOND_NS), 60, failed=3) == [(10, NO_ANSWER)]


def test_an_encrypted_link_that_never_came_up_is_a_matter_of_keys():
    trouble = LinkTrouble(10 * SECOND_NS)
    assert told(trouble, 60, encrypted=True, failed=3) == [(10, HANDSHAKE_FAILED)]


def test_handshakes_that_failed_before_the_link_was_up_count_no_more():
    trouble = LinkTrouble(10 * SECOND_NS)
    assert not told(trouble, 1, encrypted=True, state=LinkState.READY, failed=3)
    assert told(trouble, 60, encrypted=True, failed=3) == [(10, NO_ANSWER)]
