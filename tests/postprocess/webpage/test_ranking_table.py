"""The ranking, sorted and filtered in a headless Chromium."""

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from inr.quantities import QUANTITIES
from postprocess.dataset.merged_sweep import ensure_merged
from tests.helpers.browser import Browser, column
from tests.helpers.reports import Sweeps
from tests.helpers.targets import IMAGES

pytestmark = pytest.mark.browser

QUANTITY_NAMES = ("value", "gradient", "Laplacian", "time derivative")


def finite(values: list[str]) -> list[float]:
    """The numbers, which must come before the cells without one."""
    numbers = [float(value) for value in values if value]
    assert values[len(numbers) :] == [""] * (len(values) - len(numbers))
    return numbers


def press(browser: Browser, heading: str) -> str | None:
    """Press a heading's button by keyboard; the order that it then announces."""
    xpath = f"//table[@id='table']//th[normalize-space()='{heading}']"
    head = browser.driver.find_element(By.XPATH, xpath)
    head.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    marked = browser.run("return document.querySelectorAll('#table [aria-sort]').length")
    assert marked == 1
    return head.get_attribute("aria-sort")


@pytest.mark.parametrize("name", ["quick", "failed", "many"])
def test_ranking_is_sorted_by_keyboard(name: str, sweeps: Sweeps, browser: Browser) -> None:
    browser.open(sweeps(name).report)
    ranks = finite(column(browser, "Rank"))
    assert ranks == list(range(1, len(ranks) + 1))
    assert finite(column(browser, "over all")) == sorted(finite(column(browser, "over all")))

    assert press(browser, "Laplacian") == "ascending"
    errors = finite(column(browser, "Laplacian"))
    assert errors == sorted(errors)
    assert press(browser, "Laplacian") == "descending"
    assert finite(column(browser, "Laplacian")) == errors[::-1]
    assert press(browser, "value PSNR (dB)") == "descending"  # higher is better
    assert press(browser, "Rank") == "ascending"
    assert finite(column(browser, "Rank")) == ranks


def test_numbers_are_sorted_as_numbers(sweeps: Sweeps, browser: Browser) -> None:
    browser.open(sweeps("failed").report)
    press(browser, "learning rate")
    levels = column(browser, "learning rate", "textContent")
    assert levels == ["1e-5", "1e-5", "1e-4", "1e-4", "1e-3", "1e-3"]


def choose(browser: Browser, selector: str, text: str) -> None:
    Select(browser.driver.find_element(By.CSS_SELECTOR, selector)).select_by_visible_text(text)


def test_ranking_is_filtered(sweeps: Sweeps, browser: Browser) -> None:
    browser.open(sweeps("quick").report)
    driver = browser.driver
    count = driver.find_element(By.ID, "count")
    assert count.text == "8 of 8 settings shown"
    choose(browser, "[data-axis='0']", "elu")
    assert count.text == "4 of 8 settings shown"
    assert set(column(browser, "activation", "textContent")) == {"elu"}
    driver.find_element(By.ID, "search").send_keys("1e-3 ELU")
    assert count.text == "2 of 8 settings shown"
    assert set(column(browser, "learning rate", "textContent")) == {"1e-3"}
    driver.find_element(By.ID, "search").send_keys(" no such")
    assert count.text == "0 of 8 settings shown"
    driver.find_element(By.CSS_SELECTOR, "button[type=reset]").click()
    browser.wait_for("document.getElementById('count').textContent.startsWith('8 of 8')")
    choose(browser, "[data-axis='status']", "missing")
    assert count.text == "0 of 8 settings shown"


def test_errors_of_each_quantity_are_shown_where_nothing_was_trained(
    sweeps: Sweeps, browser: Browser
) -> None:
    layout = sweeps("quick")
    browser.open(layout.report)
    shown = (
        "return [...document.querySelectorAll('#table thead th')]"
        ".filter(cell => cell.checkVisibility()).map(cell => cell.textContent.trim())"
    )
    assert set(QUANTITY_NAMES) <= {*browser.run(shown)}
    choose(browser, "#points", "held out")
    between = [f"{name}, held out" for name in QUANTITY_NAMES]
    assert not set(QUANTITY_NAMES) & {*browser.run(shown)}
    assert {"over all", "over all, held out", *between} <= {*browser.run(shown)}
    runs = ensure_merged(layout).runs
    for heading, quantity in zip(between, QUANTITIES, strict=True):
        press(browser, heading)
        expected = sorted(runs[f"heldout_nmse_{quantity}"])
        assert finite(column(browser, heading)) == pytest.approx(expected)
    browser.driver.find_element(By.CSS_SELECTOR, "button[type=reset]").click()
    browser.wait_for("document.getElementById('table').dataset.points === 'trained'")
    assert not set(between) & {*browser.run(shown)}


def test_chosen_points_decide_on_the_ranks(sweeps: Sweeps, browser: Browser) -> None:
    browser.open(sweeps("failed").report)
    before = column(browser, "Rank"), column(browser, "over all")
    choose(browser, "#points", "held out")
    errors = finite(column(browser, "over all, held out"))
    assert errors == sorted(errors)
    ranks = column(browser, "Rank")
    assert finite(ranks) == list(range(1, len(errors) + 1))
    assert column(browser, "Rank", "textContent") == [rank or "–" for rank in ranks]
    browser.driver.find_element(By.CSS_SELECTOR, "button[type=reset]").send_keys(Keys.ENTER)
    browser.wait_for("document.getElementById('table').dataset.points === 'trained'")
    assert (column(browser, "Rank"), column(browser, "over all")) == before


def test_settings_that_change_together_are_read_with_their_values(
    sweeps: Sweeps, browser: Browser
) -> None:
    browser.open(sweeps("coupled").report)
    recipes = [
        "scale of the time input 0.2, optimiser muon, largest gradient norm 1",
        "scale of the time input 1, optimiser adam, largest gradient norm none",
    ]
    cells = (
        "return [...document.querySelectorAll('#table .coupled')].map(c => c.textContent.trim())"
    )
    assert {*browser.run(cells)} == {*recipes}
    choose(browser, "[data-axis='1']", recipes[0])
    assert browser.run(cells.replace(".coupled", "tr:not([hidden]) .coupled")) == [recipes[0]] * 3
    names = browser.run(
        "return [...document.querySelectorAll('#choices tbody th')].map(c => c.textContent.trim())"
    )
    assert {*names} == {*recipes, "activation sine", "activation elu", "activation tanh"}


def test_settings_are_ranked_on_each_image_and_over_all(sweeps: Sweeps, browser: Browser) -> None:
    """tanh was not run on two images; sine, the best elsewhere, diverged on one."""
    browser.open(sweeps("images").report)
    ranked = browser.run(
        "return [...document.querySelectorAll('table.ranking')].map(table => [...table.tBodies[0]"
        ".rows].filter(row => !row.hidden).map(row => row.cells[1].textContent))"
    )
    assert ranked == [
        ["elu", "sine"],
        ["sine", "elu", "tanh"],
        ["elu", "tanh", "sine"],
        ["sine", "elu", "tanh"],
        ["sine", "elu", "tanh"],
    ]
    answer = browser.driver.find_element(By.ID, "answer").text
    assert "Best over all, over 4 images on the training grid: activation elu" in answer
    assert "1 setting was not run on all of 4 images" in answer
    winners = browser.driver.find_elements(By.CSS_SELECTOR, "#on-each tbody tr")
    assert [row.text.split()[0] for row in winners] == [
        "camera", "coins.png", "gravel.tif", "moon.png",
    ]  # fmt: skip
    assert winners[0].text.endswith("2 of 3")
    assert winners[1].text.endswith("1 of 2")
    best = "return [...document.querySelectorAll('.answer, .awards td')].map(c => c.textContent)"
    assert not any(image["image"] in text for text in browser.run(best) for image in IMAGES)
    choose(browser, "[data-axis='0']", "tanh")
    assert browser.driver.find_element(By.ID, "count").text == "4 of 14 rows shown"
    wide = "return document.documentElement.scrollWidth <= window.innerWidth"
    assert browser.run(wide)


def test_300_runs_open_quickly_and_stay_small(sweeps: Sweeps, browser: Browser) -> None:
    page = sweeps("many").report
    assert page.stat().st_size < 2_000_000  # figures and videos are linked
    assert browser.open(page) < 3
    assert len(column(browser, "Rank")) == 300
    choose(browser, "[data-axis='0']", "tanh")
    assert len(column(browser, "Rank")) == 100
