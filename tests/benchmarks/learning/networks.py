"""Tune every network on two images, train it on six others, and write docs/benchmark.md.

Runs that are finished are kept in outputs/benchmark: a benchmark that was cut off goes on.
``--text`` writes the text anew from the tables in docs/benchmark, without training.
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from inr.config import RunConfig
from inr.quantities import QUANTITIES
from inr.training.evaluation import Evaluator
from inr.training.spline_grid import baseline, grid_shape
from jobs.launching.cost_model import parameter_count, shape_of
from tests.benchmarks.learning.comparison import ERRORS, SETS
from tests.benchmarks.learning.design import (
    BASE,
    IMAGES,
    SETTINGS,
    networks_of,
    report_sweep,
    tuning_sweep,
)
from tests.benchmarks.learning.networks_report import GRID, draw, write
from tests.benchmarks.learning.sweeps import choose, make_page, train

KEPT = ("network", "data.image", "training.seed", *SETTINGS, "status", "seconds", *ERRORS)


def measure(outputs: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    """The tables of the page."""
    tried = by_network(train("tuning", tuning_sweep(), outputs).runs)
    yield "tuning", tried
    networks = by_network(train("report", report_sweep(choose(tried, SETTINGS)), outputs).runs)
    yield "runs", pd.concat([networks, fit_splines()], ignore_index=True)


def by_network(runs: pd.DataFrame) -> pd.DataFrame:
    """What is kept of the runs of a merged sweep."""
    table = runs.assign(network=networks_of(runs))[list(KEPT)]
    return table.sort_values(["network", "data.image", "training.seed"], kind="stable")


def fit_splines() -> pd.DataFrame:
    """The rows of the splines: about as many coefficients as the networks have parameters."""
    rows = []
    for image in IMAGES:
        data = BASE["data"] | {"image": image}
        config = RunConfig.model_validate(BASE | {"data": data})
        evaluator, size = Evaluator(config), parameter_count(shape_of(config))
        found = baseline(evaluator, grid_shape(evaluator.shape, size))
        errors = {
            f"{points}nmse_{q}": found[points.rstrip("_") or "pixels"][f"nmse_{q}"]
            for points in SETS
            for q in QUANTITIES
        }
        known = {"network": GRID, "data.image": image, "status": "complete", "training.seed": 0}
        rows.append(known | {"seconds": found["seconds"]} | errors)
    return pd.DataFrame(rows, columns=KEPT)


if __name__ == "__main__":
    picture = ("networks.png", lambda tables: draw(pd.read_csv(tables / "runs.csv")))
    make_page(__doc__.splitlines()[0], "benchmark", "benchmark", measure, picture, write)
