"""The style that figures are drawn in, and a sweep to draw."""

import pytest

from inr.storage.paths import SweepLayout
from postprocess.plots import style
from tests.helpers.synthetic import quickstart, write_sweep


@pytest.fixture(autouse=True)
def _style() -> None:
    style.use_style()


@pytest.fixture(scope="module")
def eight(tmp_path_factory) -> SweepLayout:
    return write_sweep(tmp_path_factory.mktemp("figures") / "quickstart", quickstart())
