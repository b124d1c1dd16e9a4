"""Runs of a sweep that are merged, and what may happen to them."""

from __future__ import annotations

import os
from pathlib import Path

from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import read_index


def first_results(layout: SweepLayout) -> Path:
    return layout.run(read_index(layout)[0].name).results


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)
