"""A page for every reader: contrast, width, screen readers, keyboard, paper."""

from itertools import pairwise

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.helpers.browser import Browser, load_figures
from tests.helpers.reports import SWEEPS, Sweeps

pytestmark = pytest.mark.browser


CONTRAST = """
    const channels = (color) => color.match(/[\\d.]+/g).map(Number);
    const light = (color) => channels(color).slice(0, 3)
        .map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (e) => {
        const color = getComputedStyle(e).backgroundColor;
        return channels(color)[3] === 0 ? behind(e.parentElement) : color;
    };
    const written = [...document.querySelectorAll("body *")].filter((e) =>
        e.checkVisibility() && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()));
    const low = [];
    for (const e of written) {
        const [a, b] = [light(getComputedStyle(e).color), light(behind(e))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < 4.5) low.push([e.textContent.trim(), contrast]);
    }
    return [written.length, low];
"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_has_contrast_in_both_schemes(dark: bool, sweeps: Sweeps, browser: Browser) -> None:
    browser.open(sweeps("failed").report)
    browser.emulate(1280, dark=dark)
    shade = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert shade == ("rgb(20, 23, 26)" if dark else "rgb(255, 255, 255)")
    looked_at, low = browser.run(CONTRAST)
    assert looked_at > 100
    assert low == []


@pytest.mark.parametrize("name", SWEEPS)
def test_page_never_scrolls_sideways(name: str, sweeps: Sweeps, browser: Browser) -> None:
    browser.open(sweeps(name).report, width=320)
    load_figures(browser)
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")


def test_page_is_built_for_screen_readers(sweeps: Sweeps, browser: Browser) -> None:
    browser.open(sweeps("failed").report)
    levels = browser.run("return [...document.querySelectorAll('h1,h2,h3')].map(h => h.tagName[1])")
    assert levels[0] == "1"
    assert levels.count("1") == 1
    assert all(int(b) - int(a) <= 1 for a, b in pairwise(levels))
    for landmark in ("header", "nav", "main", "footer"):
        assert browser.run(f"return document.querySelectorAll('{landmark}').length") == 1
    unlabelled = "[...document.querySelectorAll('input, select')].filter(e => !e.labels.length)"
    assert browser.run(f"return {unlabelled}.length") == 0
    ids = browser.run("return [...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    for target in browser.run("return [...document.querySelectorAll('nav a')].map(a => a.hash)"):
        assert target.removeprefix("#") in ids


def test_focus_is_visible(sweeps: Sweeps, browser: Browser) -> None:
    browser.open(sweeps("quick").report)
    browser.driver.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    focused = browser.driver.switch_to.active_element
    assert focused.text == "Skip to the content"
    assert focused.location["x"] >= 0
    assert focused.value_of_css_property("outline-style") == "solid"


def test_print_shows_figures_and_hides_controls(sweeps: Sweeps, browser: Browser) -> None:
    browser.open(sweeps("quick").report)
    pictures = browser.run("return document.images.length")
    printed = browser.print()  # figures load lazily on screen, but not on paper
    assert printed.count(b"/Subtype /Image") >= pictures == 4
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    hidden = browser.run(
        "return [...document.querySelectorAll('nav, .filters')].map(e => e.checkVisibility())"
    )
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert hidden == [False, False]
