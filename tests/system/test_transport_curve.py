from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zmq

from pipeline.core.errors import TransportError
from pipeline.core.ledger import Ledger
from pipeline.core.sample import Encoding, Sample
from pipeline.transport import allow_list, security
from pipeline.transport.key_files import write
from pipeline.transport.key_store import KeyStore, Role
from pipeline.transport.link import connect
from pipeline.transport.protocol import encode
from pipeline.transport.receiver import Receiver
from pipeline.transport.rekeying import NewKey
from pipeline.transport.rotation import rotate
from pipeline.transport.security import CurveClient, curve_client, curve_server
from pipeline.transport.sender import Sender
from tests.system.test_transport_link import CAM, CLOCK, VIB, Pump, reading, until

pytestmark = pytest.mark.system


class Site:
    """A fusion node with a folder of keys and capture nodes with theirs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = KeyStore(folder / "fusion")
        self.public = self.keys.create("fusion", Role.FUSION)
        self.pump = Pump(
            Receiver(
                "tcp://127.0.0.1:0",
                clock=CLOCK,
                curve=curve_server(folder / "fusion", "fusion", Role.FUSION, Role.CAPTURE),
            )
        )
        self.senders: list[Sender] = []

    def node(
        self, name: str, *, enrol: bool = True, says: str = "", keys: str = ""
    ) -> tuple[Sender, Ledger]:
        folder = self.folder / (keys or name)
        store = KeyStore(folder)
        public = store.create(name, Role.CAPTURE)
        store.enrol(self.public)
        if enrol:
            self.keys.enrol(public)
        ledger = Ledger()
        sender = Sender(
            says or name,
            self.pump.receiver.address,
            clock=CLOCK,
            ledger=ledger,
            clock_sync=False,
            curve=curve_client(folder, name, Role.CAPTURE, Role.FUSION),
        )
        sender.add_stream(VIB)
        self.senders.append(sender)
        return sender, ledger

    def close(self) -> None:
        for sender in self.senders:
            sender.close(0.2)
        self.pump.close()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(allow_list, "_LOOK_EVERY_S", 0.0)
    found = Site(tmp_path)
    yield found
    found.close()


def test_an_enrolled_node_is_heard_and_its_frames_go_encrypted(site: Site) -> None:
    sender, ledger = site.node("cam-1")
    sender.add_stream(CAM)
    sender.send(reading(1))
    frame = np.full(CAM.shape, 7, np.uint8)
    sender.send(Sample("cam", 0, CLOCK.now_ns(), frame, Encoding.RAW))
    assert sender.drain(20)
    assert not sender.status.shared
    assert (site.pump.samples("cam")[0].data == 7).all()
    assert ledger.snapshot()["vib"].delivered == 1


def test_an_unknown_key_is_refused_until_it_is_enrolled(site: Site) -> None:
    sender, ledger = site.node("cam-1", enrol=False)
    sender.send(reading())
    assert until(lambda: site.pump.receiver.counters["unknown_key"] >= 1)
    assert not sender.drain(0.1)
    site.keys.enrol(KeyStore(site.folder / "cam-1").own("cam-1", Role.CAPTURE).shared)
    assert sender.drain(30)
    assert ledger.snapshot()["vib"].delivered == 1


def test_a_node_cannot_use_the_name_of_another(site: Site) -> None:
    liar, _ = site.node("cam-2", says="cam-1")
    liar.send(reading())
    assert until(lambda: liar.status.refusal.startswith("not_allowed"))
    honest, ledger = site.node("cam-1")
    honest.send(reading())
    assert honest.drain(20)
    assert ledger.snapshot()["vib"].delivered == 1


def test_a_revoked_node_is_cut_off_under_way_and_others_go_on(site: Site) -> None:
    revoked, ledger = site.node("cam-1")
    other, _ = site.node("cam-2")
    for sender in (revoked, other):
        sender.send(reading())
        assert sender.drain(20)
    site.keys.revoke("cam-1")
    before = len(site.pump.samples("vib"))
    revoked.send(reading())
    other.send(reading())
    assert other.drain(20)
    assert until(lambda: revoked.status.state != "ready")
    assert len(site.pump.samples("vib")) == before + 1
    assert ledger.snapshot()["vib"].spooled == 1


def test_a_rotated_key_takes_over(site: Site) -> None:
    sender, _ = site.node("cam-1")
    sender.send(reading())
    assert sender.drain(20)
    newer, ledger = site.node("cam-1", keys="cam-1-new")
    newer.send(reading())
    assert newer.drain(30)
    assert ledger.snapshot()["vib"].delivered == 1


def test_a_revoked_node_that_says_nothing_is_cut_off_too(site: Site) -> None:
    node, _ = site.node("cam-1")
    assert node.wait_ready(20)
    keys = CurveClient(KeyStore(site.folder / "cam-1"), "cam-1", Role.CAPTURE, Role.FUSION)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    silent = connect(context, site.pump.receiver.address, keys, 1 << 20)
    monitor = silent.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    silent.send(b"")
    assert silent.poll(20_000)
    assert b"malformed" in silent.recv()
    site.keys.revoke("cam-1")
    assert silent.poll(20_000)
    assert b"not trusted" in silent.recv()
    assert monitor.poll(20_000)
    assert site.pump.receiver.counters["revoked_key"] == 2
    silent.disable_monitor()
    context.destroy(0)


def test_a_key_is_rotated_while_its_node_runs_and_the_old_one_goes(site: Site) -> None:
    sender, ledger = site.node("cam-1")
    other, _ = site.node("cam-2")
    sender.send(reading())
    assert sender.drain(20)
    store, address = KeyStore(site.folder / "cam-1"), site.pump.receiver.address
    old = store.own("cam-1", Role.CAPTURE)
    new = rotate(store, "cam-1", address, clock=CLOCK, timeout_s=20)
    assert new != old.shared
    assert new in site.keys.trusted()
    assert until(lambda: old.shared not in site.keys.trusted())
    for node in (sender, other):
        node.send(reading())
        assert node.drain(20)
    assert ledger.snapshot()["vib"].delivered == ledger.snapshot()["vib"].captured == 2
    assert {p.name for p in (site.folder / "cam-1").iterdir()} == {
        "allowed.json",
        "cam-1.public.json",
        "cam-1.secret.json",
    }
    with pytest.raises(TransportError, match="the old keys stay"):
        lost = KeyStore(site.folder / "thief")
        lost.enrol(site.public)
        write(lost.secret_file("cam-1"), old, 0o600)
        rotate(lost, "cam-1", address, clock=CLOCK, timeout_s=1)


def test_a_node_cannot_take_the_key_of_another_for_its_own(site: Site) -> None:
    site.node("cam-1")
    other, _ = site.node("cam-2")
    keys = CurveClient(KeyStore(site.folder / "cam-1"), "cam-1", Role.CAPTURE, Role.FUSION)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    thief = connect(context, site.pump.receiver.address, keys, 1 << 20)
    theirs = KeyStore(site.folder / "cam-2").own("cam-2", Role.CAPTURE).public
    thief.send(encode(NewKey(theirs)))
    assert thief.poll(20_000)
    assert b"cannot be enrolled" in thief.recv()
    for _ in range(50):
        thief.send(encode(NewKey("0" * 40)))
    assert until(lambda: site.pump.receiver.counters["too_fast"] >= 1)
    other.send(reading())
    assert other.drain(20)
    assert len(site.keys.trusted()) == 4
    context.destroy(0)


def test_a_rotation_that_nobody_answers_changes_nothing_and_goes_on_later(site: Site) -> None:
    site.node("cam-1")
    store = KeyStore(site.folder / "cam-1")
    old = store.own("cam-1", Role.CAPTURE)
    with pytest.raises(TransportError, match="the old keys stay"):
        rotate(store, "cam-1", "tcp://127.0.0.1:9", clock=CLOCK, timeout_s=0.2)
    assert store.own("cam-1", Role.CAPTURE) == old
    upcoming = store.upcoming("cam-1", Role.CAPTURE)
    address = site.pump.receiver.address
    assert rotate(store, "cam-1", address, clock=CLOCK, timeout_s=20) == (upcoming.shared)


def test_a_node_stops_trusting_a_fusion_node_that_is_revoked_on_its_side(site: Site) -> None:
    sender, ledger = site.node("cam-1")
    sender.send(reading())
    assert sender.drain(20)
    store = KeyStore(site.folder / "cam-1")
    store.revoke("fusion")
    assert until(lambda: sender.status.state != "ready")
    sender.send(reading())
    assert not sender.drain(0.3)
    store.enrol(site.public)
    assert sender.drain(20)
    assert ledger.snapshot()["vib"].delivered == 2


def test_the_fusion_nodes_own_key_is_rotated_while_all_run(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security, "_STANDS_S", 1.5)
    nodes = [site.node("cam-1"), site.node("cam-2")]
    for sender, _ in nodes:
        sender.send(reading())
        assert sender.drain(20)
    new = site.keys.upcoming("fusion", Role.FUSION).shared
    stores = [KeyStore(site.folder / name) for name in ("cam-1", "cam-2")]
    assert until(lambda: all(new in store.trusted() for store in stores))
    assert all(site.public in store.trusted() for store in stores)
    late, _ = site.node("cam-3")
    assert until(lambda: new in KeyStore(site.folder / "cam-3").trusted())
    assert site.keys.promote("fusion", Role.FUSION) == new
    assert until(lambda: all(store.peers(Role.FUSION) == [new] for store in stores))
    for sender, ledger in [*nodes, (late, Ledger())]:
        sender.send(reading())
        assert sender.drain(20)
        account = ledger.snapshot().get("vib")
        assert account is None or account.captured == account.delivered
    site.public = new
    newcomer, ledger = site.node("cam-4")
    newcomer.send(reading())
    assert newcomer.drain(20)


def test_a_client_without_keys_gets_nowhere(site: Site) -> None:
    plain = Sender(
        "cam-9", site.pump.receiver.address, clock=CLOCK, ledger=Ledger(), clock_sync=False
    )
    plain.add_stream(VIB)
    plain.send(reading())
    assert not plain.wait_ready(1.0)
    plain.close(0.1)
    sender, _ = site.node("cam-1")
    sender.send(reading())
    assert sender.drain(20)


def test_a_server_of_another_key_is_not_believed(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "misled"
    store = KeyStore(folder)
    site.keys.enrol(store.create("cam-3", Role.CAPTURE))
    store.create("fusion", Role.FUSION)
    sender = Sender(
        "cam-3",
        site.pump.receiver.address,
        clock=CLOCK,
        ledger=Ledger(),
        clock_sync=False,
        curve=curve_client(folder, "cam-3", Role.CAPTURE, Role.FUSION),
    )
    sender.add_stream(VIB)
    assert not sender.wait_ready(1.0)
    sender.close(0.1)
