"""A small sweep to merge."""

from pathlib import Path

import pytest

from inr.storage.paths import SweepLayout
from tests.helpers.synthetic import quickstart, write_sweep


@pytest.fixture
def sweep(tmp_path: Path) -> SweepLayout:
    return write_sweep(tmp_path / "sweep", quickstart()[:3], shape=(12, 12))
