"""`fusewatch top`: what processes say over HTTP, read, put together and shown."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import cast

import pytest
from rich.console import Console

from nodes.alarm_rates import rates_of
from nodes.alert_metrics import AlertMetrics
from nodes.alert_routing import AlertRouting
from nodes.capture_metrics import CaptureMetrics
from nodes.commands.top import looks
from nodes.fusion_metrics import FusionMetrics
from nodes.handing_on import Outcome as Handed
from nodes.health import Health, HealthServer
from nodes.holding import QUIET, Holding
from nodes.keeping_up import KeepingUp
from nodes.run_files import RunFile, write_run_file
from nodes.top_model import Status
from nodes.top_reading import Place, Reading, places, read_all
from nodes.top_status import status_of
from nodes.top_view import LiveView, view
from pipeline.config import load_deployment
from pipeline.config.deployment import Deployment, SecuritySettings
from pipeline.config.http_settings import HttpSettings
from pipeline.core.clock import ManualClock
from pipeline.core.errors import ConfigError, SinkUnavailable
from pipeline.core.ledger import DropReason, Ledger
from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.live_rate import Watched
from pipeline.detection.outcome import Outcome
from pipeline.detection.score import WindowScore
from pipeline.detection.scoring_state import SceneScoring
from pipeline.detection.stream_books import StreamBooks
from pipeline.models.past import Past, ScenePast
from pipeline.sinks.lane import Outlet
from pipeline.sinks.outbox import OutboxDelivery
from pipeline.store import OutboxStore
from pipeline.store.outbox_holds import Ruling
from pipeline.store.outbox_tables import HELD
from tests.command_line import fusewatch
from tests.event_samples import event, life
from tests.http_receiver import HttpReceiver

NOW_S = 1_700_000_000
CONFIG = """\
name: site
data: data
nodes:
  hall:
    sources: [{type: csv_file, stream: climate, path: climate.csv}]
  yard:
    http: 127.0.0.1:9101
    sources: [{type: csv_file, stream: weather, path: weather.csv}]
scenes:
  site: {streams: [climate, weather]}
alert:
  sinks: [{type: jsonl}]
"""


class Down:
    def open(self) -> None: ...

    def close(self) -> None: ...

    def deliver(self, event: object) -> None:
        raise SinkUnavailable("no route")


class Site:
    """A deployment of which the capture node ``hall``, fusion and alert run, by their metrics."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "site.yaml"
        self.config.write_text(CONFIG)
        self.deployment: Deployment = load_deployment(self.config)
        self.healths = {name: Health() for name in ("capture-hall", "fusion", "alert")}
        self.ledger = Ledger()
        CaptureMetrics(self.healths["capture-hall"].registry, self.ledger)
        self.fusion = FusionMetrics(self.healths["fusion"].registry)
        self.equipment = self.fusion.equipment
        self.store = OutboxStore(folder / "alert.db")
        outlets = {"jsonl": Outlet([Down()])}
        clock = ManualClock(100 * 10**9)
        self.delivery = OutboxDelivery(self.store, outlets, clock, rng=Random(1))
        metrics = AlertMetrics(
            self.store,
            self.delivery,
            lambda: {"accepted": 4},
            AlertRouting([], self.store.told),
            Holding([], self.store),
            clock,
        )
        self.healths["alert"].registry.register(metrics)
        self.servers = [self._serve(name, health) for name, health in self.healths.items()]

    def _serve(self, name: str, health: Health) -> HealthServer:
        health.ready("node", True)
        server = HealthServer("127.0.0.1:0", health)
        file = self.deployment.data / "run" / f"{name}.json"
        write_run_file(file, RunFile(name, 1, server.start(), 0))
        return server

    def status(self, before: dict[str, Reading] | None = None) -> Status:
        where = [place for place in places(self.deployment) if place.name != "capture-yard"]
        where.append(Place("capture-yard", ""))
        return status_of(self.deployment, read_all(where), before or {}, NOW_S)

    def close(self) -> None:
        for server in self.servers:
            server.close()
        self.store.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def shown(status: Status, width: int = 120) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(view(status))
    return console.export_text()


def in_window(status: Status, height: int) -> list[str]:
    console = Console(width=80, height=height, file=io.StringIO(), record=True)
    console.print(LiveView(status), height=height)
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_a_streams_account_is_told_as_its_node_has_it(site: Site) -> None:
    site.ledger.captured("climate", 100)
    site.ledger.delivered("climate", 70)
    site.ledger.dropped("climate", DropReason.BUFFER_FULL, 12)
    site.ledger.dropped("climate", DropReason.CORRUPT, 3)
    site.equipment.books({"climate": StreamBooks("hall", last_ns=(NOW_S - 2) * 10**9)})
    status = site.status()
    climate, weather = status.streams
    assert climate.dropped == {"buffer_full": 12, "corrupt": 3}
    assert (climate.captured, climate.delivered, climate.spooled) == (100, 70, 15)
    assert climate.captured == climate.delivered + 15 + climate.spooled
    assert (climate.age_s, climate.unexplained, climate.clock_bound_s) == (2.0, 0, None)
    assert (weather.node, weather.captured, weather.age_s) == ("yard", None, None)
    assert "12 buffer_full" in shown(status)
    assert "3 corrupt" in shown(status)


def test_what_was_spent_of_a_scenes_budget_is_told_and_marked_when_it_is_too_much(
    site: Site,
) -> None:
    (scene,) = site.status().scenes
    assert (scene.budget, scene.spent, scene.over) == ("2/day", None, False)
    live = SceneScoring("site", "", 1, ScenePast(Past(1, ())))
    for count, said in ((2, "2 of 2/day"), (3, "3 of 2/day, over")):
        raised = {str(n): 10**9 for n in range(count)}
        watched = Watched([(0, 2 * 10**9)])
        found = rates_of("site", AlarmSettings(), raised, frozenset(), watched)
        site.fusion.scoring("site", live, found)
        status = site.status()
        assert (status.scenes[0].spent, status.scenes[0].over) == (count, count > 2)
        assert said in shown(status)
        assert ("over" in shown(status)) == (count > 2)
        narrow = shown(status, width=80).splitlines()
        assert any(f"{count} of" in line and line.startswith("site ") for line in narrow)
        assert any(re.search(r"(^|\s)2/day", line) for line in narrow)  # words stay whole
        assert max(map(len, narrow)) <= 80


class Load:
    """How one scene keeps up, as the fusion node says it."""

    news = True

    def __init__(self, waits_s: float, times: int, needed: float) -> None:
        self.lags_ns = {"site": round(waits_s * 10**9)}
        self.times = {"site": times}
        self.needed = {"site": needed}


def test_a_fusion_node_that_cannot_keep_up_is_told_with_who_is_looked_at_less_often(
    site: Site,
) -> None:
    assert "needs" not in shown(site.status())
    metrics = site.fusion.load
    metrics.look(cast("KeepingUp", Load(0.1, 1, 0.2)))
    (scene,) = site.status().scenes
    assert (scene.waits_s, scene.hop_times, scene.load) == (0.1, 1, 0.2)
    assert "needs" not in shown(site.status())
    metrics.look(cast("KeepingUp", Load(0.1, 1, 0.6)))
    assert "60%" in shown(site.status())
    metrics.look(cast("KeepingUp", Load(4.2, 4, 0.8)))
    status = replace(site.status(), processes=())
    lines = shown(status, width=80).splitlines()
    assert "cannot keep up, looked at less often: site" in lines[0]
    assert ["site", "80%", "4.2", "s", "x4"] in [line.split() for line in lines]
    assert max(map(len, lines)) <= 80


def test_the_delay_is_that_of_the_windows_since_the_look_before(site: Site) -> None:
    def aged(seconds: float) -> None:
        score = WindowScore("site", 0, 0, 0, 1.0)
        site.fusion.turn(Outcome(scores=[score]), round(seconds * 10**9))

    aged(1.0)
    before = read_all(places(site.deployment))
    assert site.status(before).scenes[0].delay_s == 1.0
    aged(5.0)
    assert site.status().scenes[0].delay_s == 3.0
    assert site.status(before).scenes[0].delay_s == 5.0


def test_samples_that_no_entry_explains_are_what_is_said_first(site: Site) -> None:
    site.ledger.captured("climate", 100)
    assert "samples are unaccounted for" not in shown(site.status())
    site.equipment.books({"climate": StreamBooks("hall", unexplained=3)})
    status = site.status()
    assert status.streams[0].unexplained == 3
    assert "3 samples are unaccounted for" in shown(status).splitlines()[0]


def test_a_rate_is_told_from_the_second_look_on(site: Site) -> None:
    site.ledger.captured("climate", 100)
    before = read_all(places(site.deployment))
    assert site.status().streams[0].rate_hz is None
    site.ledger.captured("climate", 30)
    earlier = {name: replace(one, at_s=one.at_s - 3.0) for name, one in before.items()}
    rate = site.status(earlier).streams[0].rate_hz
    assert rate is not None
    assert 5.0 < rate <= 10.0


def test_a_queue_has_a_length_an_age_and_failures(site: Site) -> None:
    for phase in (*life(10), event(50)):
        site.store.accept(phase, ["jsonl"])
    site.delivery.step("jsonl")
    (sink,) = site.status().sinks
    assert (sink.up, sink.pending, sink.failures, sink.dead) == (False, 4, 1, 0)
    assert sink.oldest_s == pytest.approx(100 - 11)
    assert "down: jsonl" not in shown(site.status())  # the node that is away is worse


def test_what_is_held_is_told_with_its_reason_and_where_to_look(site: Site) -> None:
    (scene,), (sink,) = site.status().scenes, site.status().sinks
    assert (scene.held, sink.held) == (0, {})
    assert "--held" not in shown(site.status())
    site.fusion.held({"site": 2}, {("site", Handed.HELD): 2})
    ruling = Ruling(HELD, 500 * 10**9, QUIET)
    for phase in life(10):
        site.store.accept(phase, ["jsonl"], rulings={"jsonl": ruling})
    status = site.status()
    assert (status.scenes[0].held, status.sinks[0].held) == (2, {"quiet hours": 3})
    assert status.sinks[0].pending == 0
    for width in (80, 120):
        lines = shown(status, width).splitlines()
        held = lines[[line.split()[:1] == ["sink"] for line in lines].index(True) + 1]
        assert "3 quiet hours" in held
        assert "while its cause stands" in lines[-1]
        assert max(map(len, lines)) <= width


def test_what_cannot_be_reached_or_is_not_ready_says_why(site: Site) -> None:
    site.healths["fusion"].ready("capture nodes", False, "yard")
    by_name = {one.name: one for one in site.status().processes}
    assert by_name["fusion"].trouble == "capture nodes: yard"
    assert by_name["fusion"].answers
    assert "elsewhere: --at capture-yard=HOST:PORT" in by_name["capture-yard"].trouble
    assert by_name["alert"].memory_mb or by_name["alert"].memory_mb is None
    assert "not reached: capture-yard" in shown(site.status()).splitlines()[0]


def test_of_what_does_not_answer_nothing_is_claimed(site: Site) -> None:
    while site.servers:
        site.servers.pop().close()
    status = site.status()
    stream, (sink,), (scene,) = status.streams[0], status.sinks, status.scenes
    assert (stream.unexplained, stream.unseen) == (None, None)
    assert (sink.up, sink.pending, sink.dead) == (None, None, None)
    assert (scene.windows, scene.alarms, scene.raised_day) == (None, None, None)
    lines = shown(status).splitlines()
    for name in ("climate ", "site ", "jsonl "):
        line = [line for line in lines if line.startswith(name)][-1]
        assert set(line.removeprefix(name).split()) == {"-"}


def test_a_ratio_that_is_no_number_yet_is_not_known(site: Site) -> None:
    live = SceneScoring("site", "", 1, ScenePast(Past(1, ())))
    for spans, known in (([], False), ([(0, 3600 * 10**9)], True)):
        watched = Watched(spans)
        found = rates_of("site", AlarmSettings(), {"0": 1800 * 10**9}, frozenset(), watched)
        site.fusion.scoring("site", live, found)
        assert (site.status().scenes[0].budget_ratio is not None) == known


def test_what_has_no_room_in_a_window_is_counted(site: Site) -> None:
    status = site.status()
    whole = [line.rstrip() for line in shown(status, width=80).splitlines()]
    assert in_window(status, len(whole) + 1) == [*whole, "Ctrl-C ends"]
    dense = [line for line in whole if line]
    assert in_window(status, len(dense) + 1)[:-1] == dense
    low = in_window(status, len(dense) - 2)
    assert low[:-1] == dense[:-3]
    assert low[-1].startswith("3 more lines: ")


def test_a_process_is_found_by_run_file_by_the_deployment_or_by_what_is_given(site: Site) -> None:
    found = {place.name: place.address for place in places(site.deployment)}
    assert found["capture-yard"] == "127.0.0.1:9101"
    assert found["fusion"].startswith("127.0.0.1:")
    given = places(site.deployment, ["capture-yard=127.0.0.1:9"])
    assert {place.name: place.address for place in given}["capture-yard"] == "127.0.0.1:9"
    for wrong in ("yard=127.0.0.1:9", "fusion", "fusion=here"):
        with pytest.raises(ConfigError, match="NAME=HOST:PORT"):
            places(site.deployment, [wrong])


def test_a_page_that_others_can_reach_is_asked_with_the_token(site: Site) -> None:
    guard = HttpSettings(token="correct-horse-battery", certificate="c.pem", key="k.pem")
    guarded = site.deployment.model_copy(update={"security": SecuritySettings(http=guard)})
    far = {p.name: p.guard for p in places(guarded, ["capture-yard=yard.lan:9101"])}
    assert far["capture-yard"] == guard and far["fusion"] is None
    near = {p.name: p.guard for p in places(guarded, ["capture-yard=127.0.0.1:9101"])}
    assert near["capture-yard"] is None


def test_another_machine_that_does_not_answer_is_told_with_what_may_be_wrong() -> None:
    (reading,) = read_all([Place("fusion", "localhost.invalid:9")]).values()
    assert reading.error.startswith("localhost.invalid:9: ")
    assert "security.http is to be given here" in reading.error
    (near,) = read_all([Place("fusion", "127.0.0.1:9")]).values()
    assert near.error == "127.0.0.1:9: Connection refused"


def test_a_process_that_starts_while_one_watches_is_found(site: Site) -> None:
    def answering(status: Status) -> bool:
        return next(one.answers for one in status.processes if one.name == "fusion")

    file = site.deployment.data / "run" / "fusion.json"
    written = file.read_bytes()
    file.unlink()
    seen = looks(site.deployment, ["capture-yard=127.0.0.1:9"], 0)
    assert not answering(next(seen))
    file.write_bytes(written)
    assert answering(next(seen))


def test_something_else_on_the_port_is_no_fusewatch() -> None:
    with HttpReceiver() as other:
        (reading,) = read_all([Place("fusion", f"127.0.0.1:{other.port}")]).values()
    assert "is no fusewatch" in reading.error


def test_names_and_numbers_stay_whole_on_a_narrow_terminal(site: Site) -> None:
    site.ledger.captured("climate", 123_456)
    site.ledger.dropped("climate", DropReason.BUFFER_FULL, 12)
    lines = shown(site.status(), width=80).splitlines()
    assert max(map(len, lines)) <= 80
    (line,) = [line for line in lines if line.startswith("climate ")]
    assert "123,456" in line
    assert "123,444" in line
    assert "…" not in "".join(lines)


def test_scripts_get_one_line_of_json_and_an_exit_code(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.ledger.captured("climate", 7)
    typed = ("top", site.config, "--once", "--json", "--interval", 0.1)
    elsewhere = ("--at", "capture-yard=127.0.0.1:9")
    assert fusewatch(*typed, *elsewhere) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["deployment"] == "site"
    assert status["streams"][0]["captured"] == status["streams"][0]["spooled"] == 7
    while site.servers:
        site.servers.pop().close()
    assert fusewatch(*typed, *elsewhere) == 69
