"""The report, as a reader sees it: every page here is opened in a headless Chromium."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from inr.config import RunConfig
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import IndexEntry, index_json
from postprocess.dataset.read import ensure_merged
from postprocess.plots import style
from postprocess.plots.batch import write_figures
from postprocess.stats.ranking import ERRORS, HELDOUT, OVERALL, rank
from postprocess.webpage.wording import awards, caveats, number
from tests.helpers.browser import Browser, chromium
from tests.helpers.synthetic import (
    call,
    grid,
    make_config,
    quickstart,
    write_index,
    write_run,
    write_sweep,
)

pytestmark = pytest.mark.browser

SMALL: dict[str, Any] = {"data__size": [12], "data__frames": [2]}
EVIL = "<script>hacked=1</script>"


@pytest.fixture(scope="session")
def chrome() -> Iterator[Browser]:
    """One browser for all tests."""
    with chromium() as started:
        yield started


@pytest.fixture
def browser(chrome: Browser) -> Iterator[Browser]:
    """The browser. Whatever a test does in it: the console is silent, no request leaves."""
    yield chrome
    assert chrome.complaints() == []
    outside = [url for url in chrome.requests() if not url.startswith(("file:", "data:", "blob:"))]
    assert outside == []


def report(layout: SweepLayout, *options: str) -> SweepLayout:
    assert call("report", layout.root, *options) == 0
    return layout


def draw(layout: SweepLayout, *names: str) -> None:
    style.use_style()
    for name in names:
        write_figures(layout, ensure_merged(layout), only=name)


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of a run, made by the command."""
    layout = write_sweep(tmp_path_factory.mktemp("video"), [make_config()], shape=(16, 16))
    assert call("videos", layout.root, "--format", "mp4") == 0
    (path,) = layout.videos.rglob("*.mp4")
    return path


def add_videos(layout: SweepLayout, video: Path) -> None:
    for results in layout.runs.rglob("run.h5"):
        path = layout.videos / f"{results.parent.relative_to(layout.runs)}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(video, path)


def write_quick(root: Path, video: Path) -> SweepLayout:
    layout = write_sweep(root, quickstart(), shape=(12, 12))
    layout.specification.write_text("name: quickstart\n")
    draw(layout, "overview", "nmse_value")
    add_videos(layout, video)
    return report(layout)


def write_one(root: Path, video: Path) -> SweepLayout:
    layout = write_sweep(root, [make_config()], shape=(12, 12))
    draw(layout, "overview")
    add_videos(layout, video)
    return report(layout)


def write_failed(root: Path, video: Path) -> SweepLayout:
    """Six settings of three seeds: one run missing, one cut off, five diverged."""
    layout = SweepLayout(root)
    configs = grid(
        model__activation=["sine", "elu"],
        training__learning_rate=[1e-5, 1e-4, 1e-3],
        training__seed=[0, 1, 2],
        **SMALL,
    )
    for entry, config in zip(write_index(layout, configs), configs, strict=True):
        run = layout.run(entry.name)
        if entry.task == 4:
            run.root.mkdir(parents=True)
            run.error.write_text(f"Traceback\nRuntimeError: out of {EVIL} memory\n")
            continue
        write_run(
            run.results,
            config,
            name=entry.name,
            status="diverged" if entry.task in (6, 7, 8, 13, 14) else "complete",
            complete=entry.task != 5,
            shape=None,
        )
        run.attempts.write_text(ATTEMPT)
    draw(layout, "overview")
    add_videos(layout, video)
    return report(layout)


ATTEMPT = "".join(
    json.dumps(record) + "\n"
    for record in (
        {"event": "start", "number": 1, "started": "2026-01-02T03:04:05+00:00", "host": "node1"}
        | {"pid": 1, "job": "77", "cpus": 4, "gpus": 1},
        {"event": "end", "number": 1, "status": "complete", "wall_seconds": 1800.0}
        | {"cpu_seconds": 3600.0},
    )
)


def write_many(root: Path, video: Path) -> SweepLayout:
    """300 runs, all with different weights, as the study has them."""
    rng = np.random.default_rng(0)
    configs = [
        make_config(
            training__loss_weights=tuple(float(f"{10**x:.3g}") for x in rng.uniform(-3, 0, 4)),
            model__activation=("sine", "elu", "tanh")[i % 3],
            data__size=12,
            data__frames=2,
        )
        for i in range(300)
    ]
    layout = SweepLayout(root)
    for entry, config in zip(write_index(layout, configs), configs, strict=True):
        write_run(layout.run(entry.name).results, config, name=entry.name, shape=None)
    draw(layout, "overview", "nmse_value")
    add_videos(layout, video)
    return report(layout)


def write_hostile(root: Path, video: Path) -> SweepLayout:
    """Names that would be markup, code or another address if they were not escaped."""
    layout = SweepLayout(root.with_name(f"{root.name} <img src=x onerror=hacked=1> #%41?"))
    names = [EVIL, "a\"b'c", "100%25 #1?x=y&z", "../../outside"]
    images = [f"<svg onload=hacked={i}>.png" for i in range(len(names))]
    configs = [make_config(data__image=image, data__size=12, data__frames=2) for image in images]
    entries = [
        IndexEntry(c.run_id, name, task, c.model_dump(mode="json"))
        for task, (name, c) in enumerate(zip(names, configs, strict=True))
    ]
    layout.root.mkdir(parents=True)
    layout.index.write_text(index_json(layout.name, entries), encoding="utf-8")
    layout.specification.write_text(f"name: {EVIL}\n")
    for entry, config in zip(entries[:-1], configs, strict=False):
        write_run(layout.run(entry.name).results, config, name=entry.name, shape=None)
    draw(layout, "overview")
    (layout.figures / "overview.png").rename(layout.figures / "'\"><script>hacked=2<.png")
    add_videos(layout, video)
    return report(layout)


def write_embedded(root: Path, video: Path) -> SweepLayout:
    """One file alone, moved away from all that it was made from."""
    made = report(write_quick(root / "made", video), "--embed")
    alone = SweepLayout(root / "alone")
    alone.root.mkdir()
    made.report.rename(alone.report)
    return alone


SWEEPS: dict[str, Callable[[Path, Path], SweepLayout]] = {
    "quick": write_quick,
    "one": write_one,
    "failed": write_failed,
    "many": write_many,
    "hostile": write_hostile,
    "embedded": write_embedded,
}


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory, video: Path) -> Callable[[str], SweepLayout]:
    """Makes each sweep when it is first asked for."""
    root, made = tmp_path_factory.mktemp("reports"), {}

    def sweep(name: str) -> SweepLayout:
        if name not in made:
            made[name] = SWEEPS[name](root / name, video)
        return made[name]

    return sweep


Sweeps = Callable[[str], SweepLayout]


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


def load_figures(browser: Browser) -> None:
    browser.run("for (const image of document.images) image.loading = 'eager'")
    browser.wait_for("[...document.images].every(image => image.complete)")


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


def column(browser: Browser, heading: str, what: str = "dataset.value") -> list[str]:
    """A column of the ranking, of the rows that are shown."""
    script = """
        const table = document.getElementById("table");
        const named = (cell) => cell.textContent.trim() === arguments[0];
        const i = [...table.tHead.rows[0].cells].findIndex(named);
        const cells = [...table.tBodies[0].rows].filter(row => !row.hidden).map(r => r.cells[i]);
    """
    return browser.run(f"{script} return cells.map(cell => cell.{what})", heading)


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


def test_300_runs_open_quickly_and_stay_small(sweeps: Sweeps, browser: Browser) -> None:
    page = sweeps("many").report
    assert page.stat().st_size < 2_000_000  # figures and videos are linked
    assert browser.open(page) < 3
    assert len(column(browser, "Rank")) == 300
    choose(browser, "[data-axis='0']", "tanh")
    assert len(column(browser, "Rank")) == 100


def test_untrusted_names_stay_text(sweeps: Sweeps, browser: Browser) -> None:
    layout = sweeps("hostile")
    browser.open(layout.report)
    load_figures(browser)
    assert browser.run("return typeof hacked") == "undefined"
    assert browser.run("return document.scripts.length") == 1
    assert browser.run("return document.querySelectorAll('svg, img:not(figure img)').length") == 0
    assert browser.run("return document.querySelector('h1').textContent") == layout.name
    names = ", ".join(column(browser, "run", "textContent"))
    assert EVIL in names
    assert "100%25 #1?x=y&z" in names
    assert EVIL in browser.run("return document.querySelector('pre').textContent")
    assert "<svg onload=hacked=0>.png" in column(browser, "image", "textContent")


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
    assert facts["attempts"] == "17 (17 complete)"
    assert facts["GPU hours"] == "8.50"
    assert facts["CPU hours"] == "34.0"
    assert facts["CPU efficiency"] == "50%"
    assert facts["machines"] == "node1"
    assert facts["torch"] == "2.13.0"
    assert facts["code version"] == "0.1.0"


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
@pytest.mark.parametrize("width", [320, 1280])
def test_page_never_scrolls_sideways(
    name: str, width: int, sweeps: Sweeps, browser: Browser
) -> None:
    browser.open(sweeps(name).report, width=width)
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
    assert printed.count(b"/Subtype /Image") >= pictures == 3
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    hidden = browser.run(
        "return [...document.querySelectorAll('nav, .filters')].map(e => e.checkVisibility())"
    )
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert hidden == [False, False]


def table(errors: dict[str, list[float]]) -> pd.DataFrame:
    """Rows of /runs: for each activation its error in all quantities, one per seed."""
    rows = [
        {
            "name": f"{activation}_{seed}",
            "status": "complete" if np.isfinite(error) else "diverged",
            "model.activation": activation,
            "training.seed": seed,
            "psnr_value": -10 * np.log10(error),
        }
        | {score.column: error for score in ERRORS}
        for activation, seeds in errors.items()
        for seed, error in enumerate(seeds)
    ]
    return pd.DataFrame(rows)


def test_settings_are_ranked_by_the_interquartile_mean_over_seeds() -> None:
    lucky = [1e-3, 0.3, 0.3, 0.3]  # holds the best run of all
    steady = [0.19, 0.2, 0.2, 0.22]
    ranking = rank(table({"lucky": lucky, "steady": steady}))
    best = ranking.best[OVERALL.column]
    assert best.levels == ("steady",)
    estimate = best.estimates[OVERALL.column]
    assert estimate.middle == pytest.approx(0.2)  # the two in the middle
    assert (estimate.low, estimate.high) == pytest.approx((0.19, 0.22))
    assert ranking.settings[1].estimates[OVERALL.column].middle == pytest.approx(0.3)
    assert "its range overlaps that of another setting" in awards(ranking)[0].margin
    assert "(0.190 to 0.220)" in awards(ranking)[0].error


def test_a_diverged_seed_counts_as_worse_than_any() -> None:
    one_of_four = [0.1, 0.2, 0.3, np.nan]
    two_of_four = [0.01, 0.01, np.nan, np.nan]
    ranking = rank(table({"two": two_of_four, "one": one_of_four}))
    assert [setting.levels for setting in ranking.settings] == [("one",), ("two",)]
    middle = ranking.best[OVERALL.column].estimates["overall"].middle
    assert middle == pytest.approx(np.sqrt(0.2 * 0.3))  # the two in the middle, by their logarithms
    assert np.isnan(ranking.settings[1].estimates["overall"].middle)
    assert "3 of 4 runs" in awards(ranking)[0].error


def test_best_number_at_an_edge_is_pointed_out() -> None:
    runs = table({"sine": [0.3, 0.2, 0.1]})
    runs["training.learning_rate"] = [1e-5, 1e-4, 1e-3]
    said = caveats(rank(runs.drop(columns="training.seed")))
    assert any("The best learning rate, 1e-3, is the largest that was tried" in s for s in said)
    assert any("one seed" in sentence for sentence in said)


def test_nothing_is_best_when_all_diverged() -> None:
    ranking = rank(table({"sine": [np.nan], "elu": [np.nan]}))
    assert awards(ranking) == []
    assert caveats(ranking) == ["No setting has four finite errors, so none is best over all."]
    assert HELDOUT.column not in ranking.best


NUMBERS = {0.012345: "0.0123", 1.234e-5: "1.23e-5", 0: "0", 123.4: "123", 1: "1.00"}


@pytest.mark.parametrize(("value", "text"), NUMBERS.items(), ids=NUMBERS.values())
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(float(value)) == text
    assert number(float("nan")) == "–"


def test_report_is_written_only_when_due(
    tmp_path: Path, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = report(write_sweep(tmp_path, [make_config()], shape=(12, 12)))
    assert "wrote 1 file" in capsys.readouterr().out
    report(layout)
    assert "kept 1 up-to-date file" in capsys.readouterr().out
    add_videos(layout, video)
    report(layout)
    assert "wrote 1 file" in capsys.readouterr().out
    report(layout, "--embed")
    assert "wrote 1 file" in capsys.readouterr().out
    report(layout, "--embed", "--force")
    assert "wrote 1 file" in capsys.readouterr().out


def test_bad_input_gets_one_clear_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("report", tmp_path) == 2
    assert "not a sweep" in capsys.readouterr().err
    layout = write_sweep(tmp_path, [make_config()], shape=(12, 12))
    layout.figures.mkdir()
    (layout.figures / "overview.png").write_bytes(b"no picture")
    assert call("report", layout.root) == 1
    assert "overview.png" in capsys.readouterr().err
    (layout.figures / "overview.png").unlink()
    layout.report.mkdir()
    assert call("report", layout.root) == 1
    assert "report.html: cannot be written" in capsys.readouterr().err


def test_command_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'matplotlib', 'seaborn', 'tensorboard'}"
    program = f"import sys, postprocess.report; print({heavy} & set(sys.modules))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_network_that_fails_between_the_frames_is_not_praised_alone() -> None:
    runs = table({"sine": [0.1, 0.2, 0.1], "elu": [0.3, 0.4, 0.3]})
    runs["heldout_nmse_time_derivative"] = [4.0, 9.0, 5.0, 0.5, 0.5, 0.5]
    runs["heldout_nmse_value"] = 0.2
    (said,) = [line for line in caveats(rank(runs)) if "predicting the mean for" in line]
    assert "time derivative (error 5" in said
    assert "value" not in said
