"""A headless Chromium, driven by Debian's own driver."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.requirements import missing, require_command
from tests.waiting import wait_until

DESKTOP, PHONE = (1280, 1200), (390, 844)
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
            wait_until(lambda: self._quietly(lambda: re.search(words, self.text())))
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

        wait_until(lambda: self._quietly(clicked))

    def run(self, script: str) -> object:
        """Run a script in the page; what it returns."""
        return self.driver.execute_script(script)

    def complaints(self) -> list[str]:
        """What the browser complained of in its console."""
        logged = self.driver.get_log("browser")
        return [line["message"] for line in logged if line["level"] == "SEVERE"]

    def wide(self) -> bool:
        """Whether the page is wider than the window."""
        return bool(self.run("return document.documentElement.scrollWidth > innerWidth + 1"))

    def close(self) -> None:
        """End it."""
        self.driver.quit()

    @staticmethod
    def _quietly(look: Callable[[], object]) -> object:
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
