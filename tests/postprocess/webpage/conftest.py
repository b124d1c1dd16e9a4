"""A browser, a video and sweeps with reports for all tests of the page."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inr.storage.paths import SweepLayout
from tests.helpers.browser import Browser, chromium
from tests.helpers.reports import SWEEPS
from tests.helpers.synthetic import (
    call,
    make_config,
    write_sweep,
)


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


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of a run, made by the command."""
    layout = write_sweep(tmp_path_factory.mktemp("video"), [make_config()], shape=(16, 16))
    assert call("videos", layout.root, "--format", "mp4") == 0
    (path,) = layout.videos.rglob("*.mp4")
    return path


@pytest.fixture(scope="session")
def sweeps(tmp_path_factory: pytest.TempPathFactory, video: Path) -> Callable[[str], SweepLayout]:
    """Makes each sweep when it is first asked for."""
    root, made = tmp_path_factory.mktemp("reports"), {}

    def sweep(name: str) -> SweepLayout:
        if name not in made:
            made[name] = SWEEPS[name](root / name, video)
        return made[name]

    return sweep
