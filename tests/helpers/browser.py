"""A headless Chromium that opens local pages and tells what happened in them."""

import base64
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

_PROGRAMS = {
    "browser": ("chromium", "chromium-browser", "google-chrome"),
    "driver": ("chromedriver",),
}
_TIMEOUT = 20.0  # seconds for anything that a page does


class Browser:
    """One tab. Every `open` starts afresh."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(self, page: Path, *, width: int = 1280, height: int = 900) -> float:
        """Open a page in a window of that size.

        Returns:
            Seconds until all of it was loaded and its scripts had run, by the browser's own clock:
            the end of the load event in Navigation Timing.
        """
        self.emulate(width, height)
        for log in ("browser", "performance"):
            self.driver.get_log(log)  # of the page before
        self.driver.get(page.resolve().as_uri())
        loaded = "performance.getEntriesByType('navigation')[0].loadEventEnd"
        self.wait_for(loaded)
        return float(self.run(f"return {loaded}")) / 1000

    def emulate(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Set the size of the window in CSS pixels, and the colours that the reader prefers."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}  # clicks miss what scrolls
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme, still]})

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a function body in the page; what it returns. ``arguments[i]`` are its arguments."""
        return self.driver.execute_script(script, *arguments)

    def wait_for(self, script: str) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + _TIMEOUT
        while not self.run(f"return Boolean({script})"):
            assert time.monotonic() < end, f"never became true: {script}"
            time.sleep(0.05)

    def complaints(self) -> list[str]:
        """What the console said since the page was opened."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """The URLs that were asked for since the page was opened."""
        events = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        return [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Save a picture of the page as PNG."""
        options = {"captureBeyondViewport": whole}
        answer = self.driver.execute_cdp_cmd("Page.captureScreenshot", options)
        path.write_bytes(base64.b64decode(answer["data"]))

    def print(self) -> bytes:
        """The page as PDF."""
        options = {"preferCSSPageSize": True, "printBackground": True}
        return base64.b64decode(self.driver.execute_cdp_cmd("Page.printToPDF", options)["data"])


def load_figures(browser: Browser) -> None:
    browser.run("for (const image of document.images) image.loading = 'eager'")
    browser.wait_for("[...document.images].every(image => image.complete)")


def column(browser: Browser, heading: str, what: str = "dataset.value") -> list[str]:
    """A column of the ranking, of the rows that are shown."""
    script = """
        const table = document.getElementById("table");
        const named = (cell) => cell.textContent.trim() === arguments[0];
        const i = [...table.tHead.rows[0].cells].findIndex(named);
        const cells = [...table.tBodies[0].rows].filter(row => !row.hidden).map(r => r.cells[i]);
    """
    return browser.run(f"{script} return cells.map(cell => cell.{what})", heading)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium; fails the test where it is not installed."""
    found = {kind: _find(kind, names) for kind, names in _PROGRAMS.items()}
    options = ChromeOptions()
    options.binary_location = found["browser"]
    # as root, and in containers with little shared memory
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(found["driver"]))
    try:
        yield Browser(driver)
    finally:
        driver.quit()


def _find(kind: str, names: tuple[str, ...]) -> str:
    for name in names:
        path = shutil.which(name)
        if path:
            return path
    pytest.fail(
        f"no {' or '.join(names)} ({kind}) on PATH: install both with "
        "`apt-get install chromium chromium-driver`, or take them from your system's packages"
    )
