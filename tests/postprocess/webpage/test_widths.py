"""Nothing is cut, illegible or blank, on narrow pages and wide ones."""

from collections.abc import Iterator

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from tests.helpers.browser import Browser, load_figures
from tests.helpers.reports import SWEEPS, Sweeps

pytestmark = pytest.mark.browser

LEGIBLE = 0.75  # of the width at which the texts of a figure have the size of the page's
BLANK = 72  # px that may be empty, from one line, figure or control to the next one below

# Texts and controls that the page or the box of their table cuts off, and from where to where
# there is anything to see. Figures and the sweep file scroll sideways in boxes of their own.
SEEN = """
    const [cut, seen] = [[], []];
    const look = (element, what, rects) => {
        if (!element.checkVisibility() || element.closest(".hidden, .skip, option")) return;
        if (element.matches("details:not([open])")) return;
        const box = element.closest(".scroll, pre");
        const edge = box?.getBoundingClientRect();
        const free = element.closest("figure .scroll, pre");
        for (const { left, right, top, bottom } of rects) {
            if (box && (bottom <= edge.top || top >= edge.bottom)) continue; // scrolled away
            const [low, high] = box ? [edge.left, edge.right] : [0, innerWidth];
            if (!free && (left < low - 1 || right > high + 1)) cut.push(what);
            if (right > low && left < high) {
                const [first, last] = [edge?.top ?? -1e9, edge?.bottom ?? 1e9];
                seen.push([Math.max(top, first), Math.min(bottom, last)]);
            }
        }
    };
    const texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const range = document.createRange();
        range.selectNodeContents(texts.currentNode);
        const what = texts.currentNode.data.trim();
        if (what) look(texts.currentNode.parentElement, what, range.getClientRects());
    }
    for (const e of document.querySelectorAll("img, video, input, select, button")) {
        look(e, e.outerHTML.slice(0, 80), e.getClientRects());
    }
    for (const box of document.querySelectorAll(".scroll")) {  // its border is seen
        const { top, bottom } = box.getBoundingClientRect();
        seen.push([top, top], [bottom, bottom]);
    }
    const blocks = "th, td, p, li, dd, dt, label, figcaption, h1, h2, h3";
    for (const e of document.querySelectorAll(blocks)) {
        if (e.checkVisibility() && e.scrollWidth > e.clientWidth + 1) cut.push(e.textContent);
    }
    return [cut, seen];
"""


def views(browser: Browser) -> Iterator[None]:
    """The page with each set of points that can be chosen."""
    yield
    for choice in browser.driver.find_elements(By.ID, "points"):
        Select(choice).select_by_visible_text("held out")
        yield


@pytest.mark.parametrize("width", [400, 800, 1280])
@pytest.mark.parametrize("name", SWEEPS)
def test_nothing_is_cut_or_blank(name: str, width: int, sweeps: Sweeps, browser: Browser) -> None:
    browser.open(sweeps(name).report, width=width)
    load_figures(browser)
    for _ in views(browser):
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
        cut, seen = browser.run(SEEN)
        assert cut == []
        seen.sort()
        reached, gaps = seen[0][0], []
        for top, bottom in seen:
            gaps.append((top - reached, reached))
            reached = max(reached, bottom)
        assert max(gaps)[0] <= BLANK, f"blank below {max(gaps)[1]:.0f} px"
        rows = "[...document.querySelectorAll('tr')].filter(row => row.checkVisibility())"
        assert browser.run(f"return {rows}.every(row => row.innerText.trim())")
        empty = "[...document.querySelectorAll('td')].filter(cell => !cell.textContent.trim())"
        assert browser.run(f"return {empty}.map(cell => cell.parentElement.innerText)") == []


@pytest.mark.parametrize("width", [400, 800, 1280])
@pytest.mark.parametrize("name", SWEEPS)
def test_figures_are_legible(name: str, width: int, sweeps: Sweeps, browser: Browser) -> None:
    browser.open(sweeps(name).report, width=width)
    load_figures(browser)
    sizes = browser.run(
        "return [...document.images].map(i => [i.clientWidth / i.getAttribute('width'),"
        "i.closest('.scroll').scrollWidth - i.offsetWidth,"
        "getComputedStyle(i.closest('.scroll')).overflowX])"
    )
    assert sizes
    for share, reach, overflow in sizes:
        assert share >= LEGIBLE
        assert reach >= 0
        assert overflow == "auto"
