"""Trained runs of a sweep, as Python reads them."""

from pathlib import Path

import numpy as np
import pytest

import inr
from inr.config import RunConfig
from inr.errors import UserError
from inr.metrics import METRICS
from inr.results import HELDOUT
from inr.storage.paths import SweepLayout
from jobs.worker.train import train_runs
from tests.helpers.local_launch import tiny
from tests.helpers.synthetic import truncate, write_index, write_sweep


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> SweepLayout:
    layout = SweepLayout(tmp_path_factory.mktemp("sweep"))
    rates = ({"training": {"learning_rate": rate, "steps": 40}} for rate in (1e-2, 1e-5))
    configs = [tiny(**fields) for fields in rates]
    for entry in write_index(layout, configs):
        config = RunConfig.model_validate(entry.config).canonical_json()
        train_runs(str(layout.root), [(entry.name, config)])
    return layout


def test_the_best_run_has_the_smallest_error_on_the_points_that_were_asked_for(
    trained: SweepLayout,
) -> None:
    sweep = inr.open_sweep(trained.root)
    assert len(sweep.runs) == 2
    for points in ("pixels", *HELDOUT):
        for what in ("overall", "laplacian", "nmse_value", "psnr_value"):
            sign = -1 if what == "psnr_value" else 1
            best = sweep.best(what, points)
            rest = [sign * run.measured(what, points) for run in sweep.runs]
            assert sign * best.measured(what, points) == min(rest)
    assert sweep.best("value").config.training.learning_rate == 1e-2
    assert set(sweep.runs[0].metrics["pixels"]) == set(METRICS)


def test_errors_at_own_points_are_those_against_the_exact_diffusion(trained: SweepLayout) -> None:
    network = inr.open_sweep(str(trained.root)).best("value").load()
    points = np.array([(0.2, -0.3, -0.5), (0.2, 0.4, -0.5)])
    exact = network.exact([0.2], [-0.3, 0.4], [-0.5])
    found = network.at(points)
    error = found.value - exact.value[0, :, 0]
    assert error.shape == (2,)
    h = 1e-5
    ahead, behind = (network.exact([0.2 + s], [-0.3], [-0.5]).value.item() for s in (h, -h))
    assert exact.gradient[0, 0, 0, 0] == pytest.approx((ahead - behind) / (2 * h), rel=1e-5)


def test_runs_that_have_not_ended_or_are_broken_are_left_out(tmp_path: Path) -> None:
    layout = write_sweep(tmp_path / "sweep", [tiny(), tiny(training={"seed": 1})])
    truncate(layout.run(inr.open_sweep(layout.root).runs[0].name).results)
    left = inr.open_sweep(layout.root)
    assert [run.config.training.seed for run in left.runs] == [1]
    with pytest.raises(ValueError, match=r"what is 'laplace'\. Allowed: overall, value, gradient"):
        left.best("laplace")
    with pytest.raises(ValueError, match="points is 'here'"):
        left.best(points="here")
    other = write_sweep(tmp_path / "other", [tiny(training={"seed": 2})])
    results = layout.run(left.runs[0].name).results  # of another run than the index says
    results.write_bytes(next(other.runs.rglob("run.h5")).read_bytes())
    with pytest.raises(UserError, match="no run has measured value on pixels"):
        inr.open_sweep(layout.root).best("value")


def test_what_is_no_sweep(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a sweep"):
        inr.open_sweep(tmp_path)
