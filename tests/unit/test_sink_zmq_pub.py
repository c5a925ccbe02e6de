from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import zmq

from pipeline.core.clock import ManualClock
from pipeline.core.errors import SinkUnavailable
from pipeline.core.event import from_json
from pipeline.sinks.base import SINKS, Sink, SinkContext
from tests.event_samples import event
from tests.system.ports import free_port
from tests.waiting import wait_until


def built(listen: str, folder: Path) -> Sink:
    settings = SINKS.settings("zmq_pub").model_validate({"listen": listen})
    return settings.build(SinkContext(ManualClock(), "site", folder))


def test_listeners_of_a_scene_get_its_events(tmp_path: Path) -> None:
    listen = f"ipc://{tmp_path / 'events.sock'}"
    with zmq.Context() as context, context.socket(zmq.SUB) as listener:
        listener.subscribe(b"hall")
        with closing(built(listen, tmp_path)) as sink:
            sink.open()
            listener.connect(listen)

            def heard() -> bool:
                sink.deliver(event(scene="yard"))
                sink.deliver(event())
                return bool(listener.poll(50))

            wait_until(heard)
            scene, key, body = listener.recv_multipart()
    assert (scene, key.decode(), from_json(body)) == (b"hall", event().key, event())


def test_who_waits_for_the_address_gets_the_first_event(tmp_path: Path) -> None:
    listen = f"ipc://{tmp_path / 'events.sock'}"
    with zmq.Context() as context, context.socket(zmq.SUB) as listener:
        listener.subscribe(b"")
        listener.connect(listen)
        with closing(built(listen, tmp_path)) as sink:
            sink.open()
            sink.deliver(event())
        assert listener.poll(5000)
        assert listener.recv_multipart()[1].decode() == event().key


def test_an_address_that_is_taken_says_who_may_have_it(tmp_path: Path) -> None:
    listen = f"tcp://127.0.0.1:{free_port()}"
    with closing(built(listen, tmp_path)) as first, closing(built(listen, tmp_path)) as second:
        first.open()
        with pytest.raises(SinkUnavailable, match=r"in use.*by the alert node, if it runs"):
            second.open()


def test_an_address_of_another_machine_is_unavailable(tmp_path: Path) -> None:
    elsewhere = built("tcp://203.0.113.1:7720", tmp_path)
    with closing(elsewhere) as sink, pytest.raises(SinkUnavailable, match="cannot bind"):
        sink.deliver(event())
