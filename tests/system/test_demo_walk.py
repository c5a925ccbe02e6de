"""Somebody who has never seen fusewatch, alone with the page of the running demo.

They say what happened, when, why it was raised and whether it is real, and make the same thing
not alarm again; then they take that back. What the page foretells is what a replay gives.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import closing
from pathlib import Path

import pytest

from nodes.demo import read_events
from nodes.exemptions import called_normal
from nodes.places import answer_store, fusion_store
from nodes.replay import replay
from nodes.withholding import Rules
from pipeline.config.deployment import Deployment
from pipeline.core.event import Event
from tests.command_line import fusewatch
from tests.system.browser import DESKTOP, PHONE, Browser
from tests.system.live_demo import live_demo
from tests.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

SHOTS = os.environ.get("FUSEWATCH_SCREENSHOTS")
"""A folder for pictures of every step, for people to look at; none: no pictures."""

ALARM, HELD_BACK = (
    f"[...document.querySelectorAll('a.event')].find(a => /{words}/.test(a.text))"
    for words in ("kHz louder than usual", "not sent")
)
HEARD = "return document.querySelector('img[alt^=\"spectrogram of the sound\"]')?.naturalWidth"
_LONG_S = 90.0  # the machine may be busy


class Visitor:
    """Somebody at the page."""

    def __init__(self, browser: Browser, deployment: Deployment) -> None:
        self.browser = browser
        self.deployment = deployment
        listen = deployment.dashboard.listen if deployment.dashboard else ""
        self._address = f"http://{listen}/"

    def log_in(self) -> None:
        token = (self.deployment.data / "dashboard-token").read_text().strip()
        self.browser.driver.get(f"{self._address}login#{token}")
        self.browser.click("Log in")

    def go(self, view: str) -> None:
        self.browser.driver.get(f"{self._address}#/{view}")

    def look(self, step: str) -> None:
        """The page holds on every screen: nothing sticks out, and nothing is in the way."""
        for size, name in ((DESKTOP, "desktop"), (PHONE, "phone")):
            for dark in (False, True):
                with self.browser.looking(size, dark=dark):
                    wait_until(lambda: not self.browser.wide())
                    if dark and size == PHONE:  # the others are those of `test_dashboard`
                        assert self.browser.barriers() == [], step
                if SHOTS:
                    file = Path(SHOTS) / f"{step}-{name}-{'dark' if dark else 'light'}.png"
                    self.browser.photograph(file, size, dark=dark)

    def told(self) -> list[Event]:
        """The events that reached the demo's file."""
        return read_events(self.deployment.data / "events.jsonl")


def test_somebody_new_understands_an_alarm_and_makes_the_same_not_come_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        live_demo(tmp_path / "demo") as deployment,
        closing(Browser(tmp_path / "profile")) as browser,
    ):
        visitor = Visitor(browser, deployment)
        visitor.log_in()
        sees_the_scene_live(visitor)
        first = opens_the_first_alarm(visitor)
        reads_what_when_and_why(visitor)
        plays_the_clip(visitor)
        says_that_it_is_normal(visitor)
        second = sees_it_held_back(visitor)
        is_told_again(visitor, takes_it_back(visitor))
        ids = {event.id for event in visitor.told()}
        assert first in ids and second not in ids
        assert browser.complaints() == []
    capsys.readouterr()
    assert fusewatch("feedback", "preview", deployment.data / "demo.yaml", first, "--json") == 0
    foretold = {row["id"] for row in json.loads(capsys.readouterr().out)["lost"]}
    assert second in foretold == withheld_in_a_replay(deployment, first)


def sees_the_scene_live(visitor: Visitor) -> None:
    page = visitor.browser
    page.sees(r"live.*score \d")
    visitor.look("1-scenes")
    page.click("site")
    page.sees("as usual here|not normal here")
    wait_until(lambda: page.run("return document.querySelector('img.picture').naturalWidth"))
    for css in ("canvas[aria-label^=spectrogram]", "canvas[aria-label^=readings]"):
        wait_until(lambda css=css: page.painted(css))
    wait_until(lambda: page.painted(".uplot canvas"))
    page.sees("Latest events")


def opens_the_first_alarm(visitor: Visitor) -> str:
    page = visitor.browser
    wait_until(lambda: page.run(f"return {ALARM}"), _LONG_S)
    visitor.look("2-scene")
    view = str(page.run(f"const a = {ALARM}; a.click(); return a.hash"))
    page.sees("What was it")
    return view.rpartition("/")[2]


def reads_what_when_and_why(visitor: Visitor) -> None:
    page = visitor.browser
    page.sees(r"site-microphone")  # what, in one sentence
    page.sees(r"began \d+:\d\d:\d\d.*(so far|lasted) \d")  # when, and how long
    page.sees(r"Why It shows in site-microphone.*where .* dB is usual")  # why, beside what is usual
    page.sees("over")
    wait_until(lambda: page.run(HEARD))


def plays_the_clip(visitor: Visitor) -> None:
    page = visitor.browser
    wait_until(lambda: page.run("return document.querySelector('video')?.readyState >= 2"))
    page.run("const v = document.querySelector('video'); v.muted = true; v.play();")
    wait_until(lambda: page.run("return document.querySelector('video').currentTime > 0.3"))
    page.run("document.querySelector('video').pause()")
    visitor.look("3-event")


def says_that_it_is_normal(visitor: Visitor) -> None:
    page = visitor.browser
    page.click("Normal here")
    page.sees("In the last 7 days .* sent")
    page.sees("No alarm would have been added")
    visitor.look("4-foretold")
    with closing(answer_store(visitor.deployment)) as answers:
        assert answers.all() == []
    page.click("Yes, it is normal")
    page.sees("not sent until .* Held back since then: ")
    visitor.look("5-answered")


def sees_it_held_back(visitor: Visitor) -> str:
    page = visitor.browser
    visitor.go("events")
    wait_until(lambda: page.run(f"return {HELD_BACK}"), _LONG_S)
    view = str(page.run(f"return {HELD_BACK}.hash"))
    page.sees("known here, not sent")
    visitor.look("6-events")
    visitor.go(view.removeprefix("#/"))
    page.sees("Like one that is normal here: it was not sent to anybody")
    page.sees("over")
    wait_until(lambda: page.run(HEARD))
    visitor.look("7-held-back")
    return view.rpartition("/")[2]


def takes_it_back(visitor: Visitor) -> int:
    """When that was, UTC nanoseconds."""
    page = visitor.browser
    visitor.go("health")
    page.sees(r"Held back as normal .*\d of \d+ alarms held back, last week")
    visitor.look("8-health")
    page.click("Take back")
    page.sees("Nothing was said to be normal: every alarm is sent")
    return time.time_ns()


def is_told_again(visitor: Visitor, since_ns: int) -> None:
    def told() -> list[str]:
        return [event.id for event in visitor.told() if event.start_ns > since_ns]

    wait_until(told, _LONG_S)
    visitor.go(f"event/{told()[0]}")
    visitor.browser.sees("began .*What was it")
    assert "not sent" not in visitor.browser.text()


def withheld_in_a_replay(deployment: Deployment, event_id: str) -> set[str]:
    """What a replay of the recordings finds that is held back once an event is called normal."""
    lives: dict[str, list[Event]] = {}
    for event in replay(sorted((deployment.data / "recordings").glob("*.mcap")), deployment).events:
        lives.setdefault(event.id, []).append(event)
    known = called_normal(lives[event_id])
    assert known is not None
    rules = Rules([known])
    with closing(fusion_store(deployment)) as store:  # a replay goes on to the very last sample
        happened = {event.id for event in store.events()}
    return {one for one, life in lives.items() if one in happened and rules.of(life)}
