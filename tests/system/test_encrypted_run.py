"""A deployment of several machines with encryption on, from the making of the keys.

Each machine has its key folder and its data folder; all of them are this one, and talk over
the loopback. Each step is typed as a user types it.
"""

from __future__ import annotations

import pytest

from nodes.demo import read_events
from pipeline.core.arrival import SampleArrived
from pipeline.core.event import Phase
from pipeline.core.sample import Encoding
from pipeline.recording.merge import read_many
from tests.requirements import require_module
from tests.system.machines_apart import CAPTURED, DELIVERED, END_S, Machines
from tests.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def machines(tmp_path_factory):
    require_module("torch")
    found = Machines(tmp_path_factory.mktemp("machines"))
    yield found
    for machine in reversed(found.running.copy()):
        found.stop(machine)


@pytest.fixture(scope="module")
def keys(machines):
    """Keys of each machine, and the others' enrolled where they are needed; not the shed's."""
    roles = {"fusion": "fusion", "alert": "alert", "site": "capture", "shed": "capture"}
    for name, role in roles.items():
        machines.type("keys", "create", name, "--role", role, "--keys", f"{name}/keys")
    for here, other in (
        ("site", "fusion"),
        ("shed", "fusion"),
        ("alert", "fusion"),
        ("fusion", "alert"),
        ("fusion", "site"),
    ):
        machines.type(
            "keys", "enrol", f"{other}/keys/{other}.public.json", "--keys", f"{here}/keys"
        )
    return machines.type("keys", "list", "--keys", "fusion/keys", "--json")


@pytest.fixture(scope="module")
def running(machines, keys):
    machines.commission()
    machines.start("alert", "alert", str(machines.config))
    machines.start("fusion", "fusion", str(machines.config))
    machines.start("shed", "capture", str(machines.config), "--node", "shed")
    machines.start("site", "capture", str(machines.config), "--node", "site")
    return machines


def recorded(machines: Machines) -> list[SampleArrived]:
    files = sorted((machines.folder / "recordings").glob("*.mcap"))
    return [a for a in read_many(files) if isinstance(a, SampleArrived)]


def test_a_machine_trusts_only_whom_it_was_told_to(keys):
    assert '"site"' in keys
    assert '"alert"' in keys
    assert '"shed"' not in keys


def test_a_node_whose_key_is_unknown_is_refused_and_says_why(running):
    shed = running.watched("shed")
    wait_until(lambda: shed.total("capture-shed", CAPTURED, stream="shed-sensors") > 0, 60.0)
    wait_until(lambda: "fusewatch keys enrol" in shed.page("capture-shed", "/readyz")[1], 60.0)
    assert shed.page("capture-shed", "/readyz")[0] == 503
    assert shed.page("capture-shed", "/livez")[0] == 200
    assert shed.total("capture-shed", DELIVERED, stream="shed-sensors") == 0
    wait_until(lambda: "fusewatch keys enrol" in running.log("shed").read_text(), 60.0)
    assert "unknown key refused" in running.log("fusion").read_text()
    running.watched("fusion").wait_total(
        1, "fusion", "fusewatch_refused_messages", reason="unknown_key"
    )


def test_the_trusted_node_is_heard_meanwhile(running):
    assert running.running["site"].wait(END_S) == 0
    del running.running["site"]
    wait_until(lambda: [e for e in told(running) if e.phase is Phase.CLEARED], 60.0)


def test_the_refused_node_knocks_about_once_a_second_only(running):
    tries = running.watched("fusion").total(
        "fusion", "fusewatch_refused_messages", reason="unknown_key"
    )
    assert 1 <= tries < 200


def told(machines: Machines):
    return read_events(machines.folder / "events.jsonl")


def test_by_a_token_it_is_let_in_without_a_restart(running):
    waiting, token = running.invite("shed", "fusion/keys")
    running.type("keys", "join", token, "--keys", "shed/keys")
    with waiting:
        assert waiting.wait(END_S) == 0
    trusted = running.type("keys", "list", "--keys", "fusion/keys", "--json")
    assert running.public("shed") in trusted
    shed = running.watched("shed")
    wait_until(lambda: shed.total("capture-shed", DELIVERED, stream="shed-sensors") > 0, 60.0)
    wait_until(lambda: shed.page("capture-shed", "/readyz")[0] == 200, 60.0)


def test_its_key_is_rotated_while_it_runs(running):
    shed, before = running.watched("shed"), running.public("shed")
    running.type(*("keys", "rotate", "shed", "--at", running.fusion_address, "--keys", "shed/keys"))
    assert running.public("shed") != before
    wait_until(
        lambda: before not in running.type("keys", "list", "--keys", "fusion/keys", "--json"), 60.0
    )
    delivered = shed.total("capture-shed", DELIVERED, stream="shed-sensors")
    wait_until(
        lambda: shed.total("capture-shed", DELIVERED, stream="shed-sensors") > delivered, 60.0
    )
    assert "no longer trusted" in running.log("fusion").read_text()


def test_the_alert_node_cuts_off_a_fusion_node_that_is_revoked_there(running):
    alert = running.watched("alert")
    running.type("keys", "revoke", "fusion", "--keys", "alert/keys")
    alert.wait_total(1, "alert", "fusewatch_refused_messages", reason="revoked_key")
    alert.wait_total(1, "alert", "fusewatch_refused_messages", reason="unknown_key")
    running.type("keys", "enrol", "fusion/keys/fusion.public.json", "--keys", "alert/keys")


def test_once_revoked_it_is_out_again(running):
    running.type("keys", "revoke", "shed", "--keys", "fusion/keys")
    shed = running.watched("shed")
    wait_until(lambda: "not trusted" in shed.page("capture-shed", "/readyz")[1], 60.0)
    delivered = shed.total("capture-shed", DELIVERED, stream="shed-sensors")
    captured = shed.total("capture-shed", CAPTURED, stream="shed-sensors")
    wait_until(
        lambda: shed.total("capture-shed", CAPTURED, stream="shed-sensors") > captured + 10, 60.0
    )
    assert shed.total("capture-shed", DELIVERED, stream="shed-sensors") == delivered
    assert running.watched("fusion").page("fusion", "/livez")[0] == 200


def test_all_end_in_order_and_pictures_went_as_jpeg(running):
    for machine in ("shed", "fusion", "alert"):
        assert running.stop(machine) == 0, running.log(machine).read_text()
    samples = recorded(running)
    for camera in ("site-camera", "shed-camera"):
        pictures = [a.sample.encoding for a in samples if a.sample.stream == camera]
        assert set(pictures) == {Encoding.JPEG}


def test_no_secret_key_leaves_its_folder(running):
    for machine in ("fusion", "alert", "site", "shed"):
        keys = running.folder / machine / "keys"
        secret_file = keys / f"{machine}.secret.json"
        assert secret_file.stat().st_mode & 0o077 == 0
        secret = secret_file.read_text().split('"secret": "')[1].split('"')[0].encode()
        for path in running.folder.rglob("*"):
            if path.is_file() and path != secret_file:
                assert secret not in path.read_bytes(), path
