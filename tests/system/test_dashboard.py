"""The page in a real browser: what a person sees, and what answering does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest

from nodes.cluster.narrowing import for_group
from nodes.places import answer_store, fusion_store
from pipeline.config import load_deployment
from pipeline.config.deployment import Deployment
from pipeline.core.event import Evidence
from pipeline.store import Action, Answer, Commit, Holder, Sight
from tests.event_samples import event
from tests.system.browser import DESKTOP, PHONE, Browser
from tests.system.ports import free_port
from tests.waiting import wait_until
from tests.watched_site import Shown, happened, remembered, watched_deployment

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]


@contextmanager
def page_of(deployment: Deployment) -> Iterator[str]:
    """The real process; its address."""
    listen = deployment.dashboard.listen if deployment.dashboard else ""
    config = deployment.data.parent / "site.yaml"
    command = [sys.executable, "-m", "nodes.cli", "dashboard", str(config)]
    process = subprocess.Popen(command, env={**os.environ, "FUSEWATCH_LOG_LEVEL": "warning"})
    try:
        wait_until((deployment.data / "run" / "dashboard.json").exists, 90.0)  # busy machines
        yield f"http://{listen}/"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


@contextmanager
def showing(deployment: Deployment) -> Iterator[None]:
    """Windows as a fusion node shows them, twice a second."""
    done = threading.Event()
    shown = Shown(deployment, time.time_ns())

    def show() -> None:
        while not done.wait(0.5):
            shown.next()
        shown.close()

    thread = threading.Thread(target=show)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def seen(request, tmp_path: Path):
    """A browser logged in at the page of a deployment in which something happened."""
    deployment = watched_deployment(tmp_path, f"127.0.0.1:{free_port()}")
    now_s = time.time_ns() // 10**9
    happened(deployment, now_s - 30 * 3600)
    life = happened(deployment, now_s - 90)
    remembered(deployment, range(now_s // 60 - 50, now_s // 60))
    with (
        page_of(deployment) as address,
        showing(deployment),
        closing(Browser(tmp_path / "profile", request.param)) as browser,
    ):
        token = (deployment.data / "dashboard-token").read_text().strip()
        browser.driver.get(f"{address}login#{token}")
        browser.click("Log in")
        browser.sees("Scenes")
        yield browser, address, deployment, life
        assert browser.complaints() == []


def test_a_person_sees_the_scene_opens_the_alarm_and_answers_it(seen) -> None:
    browser, address, deployment, life = seen
    browser.sees(r"hall.*score 2\.0, alarm from 3\.0.*2 of 2 a week, all used up")
    wait_until(lambda: browser.run("return document.querySelector('img.picture').naturalWidth"))
    browser.click("hall")
    browser.sees(r"as usual here.*How unusual")
    for css in ("canvas[aria-label^=spectrogram]", "canvas[aria-label^=readings]"):
        wait_until(lambda css=css: browser.painted(css))
    browser.sees("Looking back.*1 event")
    assert not browser.wide()

    browser.click("Sound without its cause")
    browser.sees("mic and cam.*heat")
    browser.sees(
        "Normal, for comparison.*Compared with normal.*mic differs most: 4.2 times.*24.5 61"
    )
    wait_until(lambda: browser.run("return document.querySelector('img.normal').naturalWidth"))
    wait_until(lambda: browser.painted("canvas[aria-label='spectrogram of the sound']"))
    assert not browser.wide()
    browser.sees("Download all")
    assert browser.run(
        "return fetch(document.querySelector('a[download$=zip]').href)"
        ".then((answer) => answer.blob()).then((all) => all.size > 10000)"
    )
    browser.run("document.querySelector('details.card').open = true")
    browser.sees("Enough by themselves.*odd: mic does not fit what cam shows, 1 in 10,000")
    browser.find("textarea")[0].send_keys("the cat again")
    browser.click("Normal here")
    browser.sees(
        "In the last 7 days 1 other alarm was sent from this scene; it would have been held back"
    )
    browser.click("Yes, it is normal")
    browser.sees("somebody.*normal here.*the cat again")
    with closing(answer_store(deployment)) as store:
        (answer,) = store.of([life[0].id])[life[0].id]
    assert (answer.action, answer.value, answer.note) == (Action.VERDICT, "normal", "the cat again")
    browser.sees("are not sent until .* Held back since then: none yet.*: 1 like it came")
    browser.click("Take back")
    wait_until(lambda: "the cat again" not in browser.text())
    browser.click("Fault of a sensor")
    browser.sees("how the equipment is under Health.*reported nothing wrong")
    browser.click("Real")
    browser.sees("somebody.*: real")
    browser.click("1 hour")
    browser.sees("nothing more until")
    with closing(answer_store(deployment)) as store:
        given = [(one.action, one.value) for one in store.of([life[0].id])[life[0].id]]
    assert [value for _, value in given[:2]] == ["fault", "real"]
    assert given[2][0] is Action.SNOOZE

    browser.driver.get(f"{address}#/health")
    browser.sees("dashboard well")
    assert not browser.wide()


def test_every_view_is_accessible(seen) -> None:
    browser, address, _, life = seen
    views = {
        "#/": "hall.*score",
        "#/scene/hall": "as usual here",
        "#/events": "Sound without its cause",
        f"#/event/{life[0].id}": "What was it",
        "#/health": "dashboard well",
    }
    for view, words in views.items():
        browser.driver.get(f"{address}{view}")
        browser.sees(words)
        assert browser.barriers() == [], view


def test_what_is_looked_at_only_in_part_is_said_so(tmp_path: Path) -> None:
    deployment = watched_deployment(tmp_path, f"127.0.0.1:{free_port()}")
    now_s, day_s = time.time_ns() // 10**9, 86400
    known = happened(deployment, now_s - 8 * day_s)[0]
    failed = event(now_s - day_s, summary="cam shows nothing", evidence=Evidence())
    failed = msgspec.structs.replace(failed, id=f"health-{failed.id}")
    alarms = [event(now_s - s, scene="yard", evidence=Evidence()) for s in range(1000)]
    with closing(fusion_store(deployment)) as store:
        store.commit(Commit(events=[failed, *alarms]))
    said_ns = (now_s - 8 * day_s + 60) * 10**9
    with closing(answer_store(deployment)) as answers:
        answers.add(Answer(known.id, "hall", Action.VERDICT, "normal", "", "Ada", said_ns))
    with page_of(deployment) as address, closing(Browser(tmp_path / "profile")) as browser:
        token = (deployment.data / "dashboard-token").read_text().strip()
        browser.driver.get(f"{address}login#{token}")
        browser.click("Log in")
        browser.sees("Scenes")
        for view, words in {
            f"#/event/{known.id}": "Held back in the last 7 days: none yet",
            "#/health": "Held back in the last 7 days: none.*last week.*cam shows nothing",
            "#/events?days=7": "1000 events of the newest 1000; older ones",
            "#/events?days=7&kind=health": "1 event.*cam shows nothing",
        }.items():
            browser.driver.get(f"{address}{view}")
            browser.sees(words)
        assert browser.complaints() == []


def test_the_page_of_a_cluster_tells_who_owns_what_and_has_what_a_worker_elsewhere_made(
    tmp_path: Path,
) -> None:
    deployment = of_a_cluster(watched_deployment(tmp_path, f"127.0.0.1:{free_port()}"))
    worker = for_group(deployment, "hall")
    life = happened(worker, time.time_ns() // 10**9 - 90)
    with (
        fusing(worker),
        page_of(deployment) as address,
        closing(Browser(tmp_path / "profile")) as browser,
    ):
        token = (deployment.data / "dashboard-token").read_text().strip()
        browser.driver.get(f"{address}login#{token}")
        browser.click("Log in")
        browser.sees("Scenes")
        browser.driver.get(f"{address}#/health")
        browser.sees(
            r"Groups of scenes.*hall serving 10\.0\.0\.7 machine-7 \(process 41\) 1 0 hall"
        )
        assert browser.barriers() == []
        browser.driver.get(f"{address}#/event/{life[0].id}")
        browser.sees("What was it")
        wait_until(lambda: browser.run("return document.querySelector('img').naturalWidth"))
        browser.click("Real")
        browser.sees("somebody.*: real")
        assert browser.complaints() == []
    with closing(answer_store(worker)) as answers:
        assert [one.value for one in answers.unhanded(9, ["hall"])] == ["real"]


@contextmanager
def fusing(worker: Deployment) -> Iterator[None]:
    """A worker elsewhere has the hall, and renews its lease."""
    done, here = threading.Event(), Holder("fusion of watched", "machine-7", 41, "machine-7 /data")
    with closing(fusion_store(worker)) as store:
        store.leases.claim(["hall"], here)
        store.directory.publish("tcp://10.0.0.7:40", "")
        store.cluster.see([Sight("hall", "10.0.0.7", "serving")])

        def renew() -> None:
            while not done.wait(1.0):
                store.leases.renew()

        thread = threading.Thread(target=renew)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def of_a_cluster(deployment: Deployment) -> Deployment:
    """The same deployment, fused by a worker that has a machine and a data folder of its own."""
    config = deployment.data.parent / "site.yaml"
    store = f"sqlite:///{config.with_name('shared.db')}"
    engine = "{kind: ray, directory: [tcp://127.0.0.1:7712], evidence: evidence-of-all}"
    with config.open("a") as file:
        file.write(f'engine: {engine}\nfusion: {{store: "{store}"}}\n')
    return load_deployment(config)


def test_a_page_whose_server_went_says_so_and_comes_back_by_itself(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    deployment = watched_deployment(tmp_path, f"127.0.0.1:{free_port()}")
    with closing(Browser(tmp_path / "profile")) as browser:
        with page_of(deployment) as address, showing(deployment):
            token = (deployment.data / "dashboard-token").read_text().strip()
            browser.driver.get(f"{address}login#{token}")
            browser.click("Log in")
            browser.sees("live.*hall.*score")
        assert "error" not in capfd.readouterr().err  # though somebody was looking
        browser.sees("link broken.*nothing new for")
        with page_of(deployment), showing(deployment):
            browser.sees("live.*hall.*score")
