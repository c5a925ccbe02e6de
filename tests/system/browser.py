"""A headless Chromium, driven by Debian's own driver."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.requirements import missing, require_command
from tests.waiting import wait_until

DESKTOP, PHONE = (1280, 1200), (390, 844)
STANDARDS = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']"
_QUIET = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--lang=en-GB",
)


class Browser:
    """One browser with one page.

    Args:
        profile: An empty folder for it.
        size: Width and height of its window.
    """

    def __init__(self, profile: Path, size: tuple[int, int] = DESKTOP) -> None:
        require_command("chromium", "chromedriver")
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for argument in (*_QUIET, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        if size[0] < 500:
            device = {"width": size[0], "height": size[1], "pixelRatio": 2.0, "touch": True}
            options.add_experimental_option("mobileEmulation", {"deviceMetrics": device})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService("/usr/bin/chromedriver")
        self.driver = webdriver.Chrome(options=options, service=service)
        if size[0] >= 500:
            self.driver.set_window_size(*size)

    def text(self) -> str:
        """All that can be read on the page, words set apart by one space."""
        return " ".join(self.driver.find_element(By.TAG_NAME, "body").text.split())

    def sees(self, words: str) -> None:
        """Wait until the page says so (a regular expression).

        Raises:
            AssertionError: It did not in time; tells what it says instead.
        """
        try:
            wait_until(lambda: self.quietly(lambda: re.search(words, self.text())))
        except AssertionError as error:
            raise AssertionError(f"no {words!r} in: {self.text()}") from error

    def find(self, css: str) -> list[WebElement]:
        """Elements by CSS."""
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def click(self, words: str) -> None:
        """Click the first button or link that says so."""

        def clicked() -> bool:
            for element in self.find("button, a, summary"):
                if words in element.text and element.is_displayed():
                    self.driver.execute_script("arguments[0].scrollIntoView()", element)
                    self.driver.execute_script("arguments[0].click()", element)
                    return True
            return False

        wait_until(lambda: self.quietly(clicked))

    def run(self, script: str) -> object:
        """Run a script in the page; what it returns."""
        return self.driver.execute_script(script)

    def painted(self, css: str) -> bool:
        """Whether a canvas holds more than one colour."""
        return bool(
            self.run(
                f"const c = document.querySelector({css!r}); if (!c || !c.width) return false;"
                "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
                "const first = d.slice(0, 4).join(); for (let i = 0; i < d.length; i += 4)"
                "{ if (d.slice(i, i + 4).join() !== first) return true; } return false;"
            )
        )

    def complaints(self) -> list[str]:
        """What the browser complained of in its console."""
        logged = self.driver.get_log("browser")
        return [line["message"] for line in logged if line["level"] == "SEVERE"]

    def wide(self) -> bool:
        """Whether the page is wider than the window."""
        root = "document.documentElement"
        return bool(self.run(f"return {root}.scrollWidth > {root}.clientWidth + 1"))

    @contextmanager
    def looking(self, size: tuple[int, int], *, dark: bool = False) -> Iterator[None]:
        """The same page on a screen of another size, light or dark."""
        screen = {
            "width": size[0],
            "height": size[1],
            "deviceScaleFactor": 1,
            "mobile": size == PHONE,
        }
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        try:
            yield
        finally:
            self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
            self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})

    def photograph(self, file: Path, size: tuple[int, int], *, dark: bool = False) -> None:
        """The whole page as it is on such a screen, for people to look at."""
        with self.looking(size, dark=dark):
            height = int(str(self.run("return document.documentElement.scrollHeight")))
        with self.looking((size[0], height), dark=dark):
            threading.Event().wait(1.0)  # charts are drawn anew
            self.driver.save_screenshot(str(file))

    def barriers(self) -> list[str]:
        """What keeps people from using the page as it is now, by axe and WCAG 2.1 AA."""
        self.run(axe_script())
        found: list[str] = self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            f"axe.run({{runOnly: {STANDARDS}}}).then(r => done(r.violations.map("
            "v => v.id + ': ' + v.nodes.map(n => n.html).join(' | '))))"
        )
        return found

    def close(self) -> None:
        """End it."""
        self.driver.quit()

    @staticmethod
    def quietly(look: Callable[[], object]) -> object:
        """What a look finds; nothing when the page changed meanwhile."""
        try:
            return look()
        except StaleElementReferenceException:
            return None


def axe_script() -> str:
    """The accessibility checker, from the package that carries it."""
    try:
        import axe_core_python
    except ModuleNotFoundError:
        missing("the Python package 'axe-core-python' is not installed")
    (script,) = Path(axe_core_python.__file__).parent.rglob("axe*.js")
    return script.read_text()
