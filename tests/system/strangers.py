"""A receiver with a node that is well, and strangers beside it that are not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import zmq

from pipeline.core.ledger import Ledger
from pipeline.transport.limits import LimitSettings
from pipeline.transport.protocol import (
    PROTOCOL_VERSION,
    Hello,
    Message,
    Refused,
    Welcome,
    decode,
    encode,
)
from pipeline.transport.sender import Sender
from tests.system.test_transport_link import VIB, Pump, link, reading


class Site:
    """A receiver with a node that is well, and reads what strangers are told."""

    def __init__(self, sender: Sender, pump: Pump, ledger: Ledger) -> None:
        self.pump = pump
        self.address = pump.receiver.address
        self._sender = sender
        self._ledger = ledger
        sender.add_stream(VIB)
        self.go_on()

    def go_on(self) -> None:
        """The node that is well sends some more, and all of it comes."""
        for _ in range(50):
            self._sender.send(reading())
        assert self._sender.drain(20)
        account = self._ledger.snapshot()["vib"]
        assert account.captured == account.delivered == len(self.pump.samples("vib"))
        assert self._sender.status.counters["connections"] == 1

    def count(self, reason: str) -> int:
        return self.pump.receiver.counters[reason]


@contextmanager
def site(limits: LimitSettings | None = None, **options: object) -> Iterator[Site]:
    with link("well", limits=limits or LimitSettings(), **options) as (sender, pump, ledger):
        found = Site(sender, pump, ledger)
        yield found
        found.go_on()


class Stranger:
    """A DEALER that says what it likes."""

    def __init__(self, address: str, name: str = "") -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.sndhwm = 100_000
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._socket.connect(address)
        self.said: list[Message] = []
        if name:
            self.say(Hello(PROTOCOL_VERSION, name, "life", 1, []))
            assert isinstance(self.hear(), Welcome)

    def say(self, message: Message, *more: bytes) -> None:
        self._socket.send_multipart([encode(message), *more])

    def hear(self) -> Message:
        assert self._socket.poll(20_000), "no answer"
        return decode(self._socket.recv())

    def refusal(self) -> str:
        """The reason of the next refusal."""
        while not isinstance(message := self.hear(), Refused):
            pass
        return message.code.value

    def was_ended(self) -> bool:
        return bool(self._monitor.poll(20_000))

    def close(self) -> None:
        self._socket.disable_monitor()
        self._context.destroy(0)


@contextmanager
def stranger(where: Site, name: str = "") -> Iterator[Stranger]:
    found = Stranger(where.address, name)
    try:
        yield found
    finally:
        found.close()
