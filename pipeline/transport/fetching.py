"""How pictures are fetched back from a capture node that sends small ones and keeps the full.

The receiver says FETCH to a node whose HELLO says that it keeps full pictures of the stream; no
other is asked. The sender answers with FULL, one picture each, oldest first, and with FETCHED
when it has given what it has. Pictures are no samples: they have no sequence, are in no ledger and
no recording, are sent once and acked by nobody. At worst they are missing.

They go behind everything: only while no sample waits, at the pace of a backlog
(`pipeline.transport.backlog_pace`) and within half of the credit, of which they take their size and
`SAMPLE_COST` like a sample.

Numbers of requests grow for as long as the receiver lives. On one connection a sender answers a
number once, and none below one it has heard: a FETCH that comes again, or late, is counted and
passed over. With its connection a request is forgotten by the sender; the receiver says what is
still open again on the next one, from behind the last picture it has. What is not over in time is
given up by both: a FULL that comes then is counted, paid for, and thrown away.

What cannot be answered (no such stream, no such span, too many at once) is over with a reason. A
FULL that nobody asked this node for, or that is not of the span that was asked for, or no JPEG, is
refused.
"""

from __future__ import annotations

import msgspec

from pipeline.transport.bounds import Count, Name, Time, Words

LONGEST_NS = 600_000_000_000
"""Longest span of one request."""
MOST_WAITING = 64
"""Most requests that wait at one sender."""
MOST_PICTURES = 20_000
"""Most pictures that answer one request."""


class Fetch(msgspec.Struct, array_like=True, tag=16, frozen=True):
    """Receiver: the full pictures of a stream with stamps in ``[from_ns, to_ns)``.

    Attributes:
        request: Number of the request.
        stream: The stream.
        event: Event they are for, to be told in the node's log.
        from_ns: Site time.
        to_ns: Site time.
        within_ns: After so long they are of no use any more.
    """

    request: Count
    stream: Name
    event: Name
    from_ns: Time
    to_ns: Time
    within_ns: Count


class Full(msgspec.Struct, array_like=True, tag=17, frozen=True):
    """Sender: one full picture, a JPEG, which follows in a frame of its own.

    Attributes:
        request: Number of the request.
        number: Of the picture within the answer on this connection, from 0, growing.
        timestamp_ns: Site time, the very stamp of the small picture.
    """

    request: Count
    number: Count
    timestamp_ns: Time


class Fetched(msgspec.Struct, array_like=True, tag=18, frozen=True):
    """Sender: that was all. ``why`` says why there was nothing or not all, where it is known."""

    request: Count
    why: Words = ""
