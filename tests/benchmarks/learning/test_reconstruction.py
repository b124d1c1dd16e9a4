"""The page on images from their derivatives: that of its table."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from inr.storage.provenance import ROOT
from tests.benchmarks.learning.reconstruction import TABLES, psnr_of_first_frame, write
from tests.helpers.synthetic import make_config, write_run


def test_the_text_is_that_of_the_table() -> None:
    assert (ROOT / "docs" / "reconstruction.md").read_text(encoding="utf-8") == write(TABLES)


def test_a_constant_does_not_count_and_the_peak_is_two(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    write_run(path, make_config())
    with h5py.File(path, "r+") as file:
        frames = file["frames/value/target"][:]
        stripes = np.where(np.arange(frames.shape[-1]) % 2, 0.02, -0.02)
        file["frames/value/prediction"][:] = frames + 0.5 + stripes
    assert psnr_of_first_frame(path) == pytest.approx(10 * np.log10(4 / 0.02**2), abs=0.01)
