"""One row for each setting and error."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from inr.quantities import QUANTITIES
from inr.results import HELDOUT
from postprocess.dataset.merged_sweep import ensure_merged
from postprocess.stats.settings_table import settings_table
from tests.helpers.synthetic import call, grid, write_run, write_sweep


@pytest.fixture
def layout(tmp_path: Path):
    configs = grid(model__activation=["sine", "elu"], training__seed=range(5))
    return write_sweep(tmp_path / "sweep", configs, shape=(12, 12))


def test_every_setting_has_estimate_interval_and_number_of_each_error(layout) -> None:
    assert call("merge", layout.root) == 0
    written = pd.read_csv(layout.settings)
    assert len(written) == 2 * (1 + len(HELDOUT)) * (1 + len(QUANTITIES))
    runs = ensure_merged(layout).runs
    pd.testing.assert_frame_equal(written, settings_table(runs), check_dtype=False)
    sine = written[written["model.activation"] == "sine"]
    row = sine.query("points == 'heldout' and error == 'laplacian'")
    own = runs[runs["model.activation"] == "sine"]["heldout_nmse_laplacian"]
    middle = np.log10(np.sort(own)[1:-1]).mean()  # of five, a quarter is one run at each end
    assert row["estimate"].item() == pytest.approx(10**middle)
    assert own.min() <= row["low"].item() <= row["estimate"].item() <= row["high"].item()
    assert set(written["interval"]) == {"95 % bootstrap"}
    assert set(written["n"]) == set(written["finite"]) == {5}


def test_few_runs_have_a_range_and_diverged_ones_count(tmp_path: Path) -> None:
    configs = grid(data__image=["camera", "coins"], training__seed=range(2))
    layout = write_sweep(tmp_path / "sweep", configs, shape=(12, 12))
    entry = ensure_merged(layout).runs.iloc[0]
    write_run(layout.run(entry["name"]).results, configs[0], name=entry["name"], status="diverged")
    assert call("merge", layout.root) == 0
    pixels = pd.read_csv(layout.settings).query("points == 'pixels' and error == 'overall'")
    assert list(pixels["data.image"]) == ["camera", "coins"]
    assert set(pixels["interval"]) == {"range"}
    assert list(pixels["finite"]) == [1, 2]
    assert list(pixels["n"]) == [2, 2]
    assert list(pixels["estimate"].isna()) == [True, False]
