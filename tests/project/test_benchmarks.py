"""Benchmarks are seldom run: each still finds what it names."""

import importlib
from pathlib import Path

import pytest

from inr.storage.provenance import ROOT

BENCHMARKS = sorted((ROOT / "tests" / "benchmarks").rglob("[!_]*.py"))


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_benchmark_can_be_imported(path: Path) -> None:
    try:
        importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    except ModuleNotFoundError as missing:  # the bench extra
        if missing.name not in ("folx", "jax"):
            raise
        pytest.skip(f"needs {missing.name}: make bench-derivatives installs it")
