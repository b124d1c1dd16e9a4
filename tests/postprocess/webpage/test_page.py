"""The report, as a reader sees it: every page here is opened in a headless Chromium."""

import shutil
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from inr.config import RunConfig
from tests.helpers.browser import Browser, column, load_figures
from tests.helpers.reports import EVIL, SWEEPS, Sweeps, report, write_hostile
from tests.helpers.synthetic import (
    write_run,
)

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("name", SWEEPS)
def test_page_loads_without_complaint_from_its_own_directory(
    name: str, sweeps: Sweeps, browser: Browser
) -> None:
    layout = sweeps(name)
    browser.open(layout.report)
    load_figures(browser)
    for picture in browser.run("return [...document.images].map(i => [i.naturalWidth, i.alt])"):
        assert picture[0] > 0
        assert picture[1].startswith("Figure: ")
    here = layout.root.resolve().as_uri()
    asked = [url for url in browser.requests() if not url.startswith(("data:", "blob:"))]
    assert all(url.startswith(here) for url in asked)
    if name == "embedded":
        assert asked == [layout.report.resolve().as_uri()]
    assert browser.complaints() == []


@pytest.mark.parametrize("name", ["quick", "one", "failed", "hostile", "embedded"])
def test_videos_decode_and_play(name: str, sweeps: Sweeps, browser: Browser) -> None:
    browser.open(sweeps(name).report)
    players = browser.run("return document.querySelectorAll('video').length")
    expected = {"one": 1, "hostile": 3, "failed": 4}  # failed: best, median, worst, any run
    assert players == expected.get(name, 8)
    for i in range(players):
        player = f"document.querySelectorAll('video')[{i}]"
        browser.run(f"{player}.scrollIntoView(); return {player}.play()")
        browser.wait_for(f"{player}.currentTime > 0.1 && {player}.videoWidth > 100")
        assert browser.run(f"return {player}.error") is None
        browser.run(f"{player}.pause()")
    assert browser.complaints() == []


def test_any_run_can_be_chosen_as_video(sweeps: Sweeps, browser: Browser) -> None:
    browser.open(sweeps("many").report)
    choice = Select(browser.driver.find_element(By.CSS_SELECTOR, "#picker select"))
    assert len(choice.options) == 300
    choice.select_by_index(123)
    player = "document.querySelector('#picker video')"
    wanted = choice.first_selected_option.get_attribute("value")
    assert browser.run(f"return {player}.getAttribute('src')") == wanted
    browser.run(f"return {player}.play()")
    browser.wait_for(f"{player}.currentTime > 0.1")


def test_untrusted_names_stay_text(sweeps: Sweeps, browser: Browser) -> None:
    layout = sweeps("hostile")
    browser.open(layout.report)
    load_figures(browser)
    assert browser.run("return typeof hacked") == "undefined"
    assert browser.run("return document.scripts.length") == 1
    assert browser.run("return document.querySelectorAll('svg, img:not(figure img)').length") == 0
    assert browser.run("return document.querySelector('h1').textContent") == layout.name
    cells = "return [...document.querySelectorAll('.runs')].map(cell => cell.textContent)"
    names = ", ".join(browser.run(cells))  # each image has a table
    assert EVIL in names
    assert "100%25 #1?x=y&z" in names
    assert EVIL in browser.run("return document.querySelector('pre').textContent")
    images = browser.run("return [...document.querySelectorAll('h3')].map(h => h.textContent)")
    assert "Image: <svg onload=hacked=0>.png" in images


def test_links_stay_inside_the_sweep(tmp_path: Path, video: Path) -> None:
    layout = write_hostile(tmp_path / "hostile", video)
    outside = layout.videos / "../../outside.mp4"
    shutil.copy(video, outside)
    write_run(
        layout.run("../../outside").results,
        RunConfig(data={"image": "<svg onload=hacked=3>.png", "size": 12, "frames": 2}),
    )
    page = report(layout, "--force").report.read_text()
    assert "outside.mp4" not in page


def test_failed_runs_are_named_with_their_reasons(sweeps: Sweeps, browser: Browser) -> None:
    layout = sweeps("failed")
    browser.open(layout.report)
    rows = browser.run(
        "return [...document.querySelectorAll('#problems tbody tr')].map("
        "row => [...row.cells].map(cell => cell.textContent))"
    )
    statuses = [status for _, status, _ in rows]
    assert {s: statuses.count(s) for s in statuses} == {
        "missing": 1,
        "unfinished": 1,
        "diverged": 5,
    }
    reasons = {status: reason for _, status, reason in rows}
    assert reasons["missing"].endswith(f"RuntimeError: out of {EVIL} memory")
    assert "NaN or infinite" in reasons["diverged"]
    lede = browser.run("return document.querySelector('.lede').textContent")
    assert "11 of 18 runs are complete" in lede
    gone = browser.driver.find_element(By.CSS_SELECTOR, "#table tr[data-status='diverged']")
    assert gone.text.startswith("– sine 1e-3 –")


def test_cost_and_provenance_are_told(sweeps: Sweeps, browser: Browser) -> None:
    browser.open(sweeps("failed").report)
    facts = dict(
        browser.run(
            "return [...document.querySelectorAll('dl div')].map("
            "pair => [...pair.children].map(part => part.textContent))"
        )
    )
    assert facts["training, sum of 16 runs"] == "0:03:20"
    assert column(browser, "wall time, sum of runs")[0] == "3600.0"
    assert facts["attempts"] == "17 (17 complete)"
    assert facts["GPU hours"] == "8.50"
    assert facts["CPU hours"] == "34.0"
    assert facts["CPU efficiency"] == "50%"
    assert facts["machines"] == "node1"
    assert facts["torch"] == "2.13.0"
    assert facts["code version"] == "0.1.0"
