"""Tune every network on two images, train it on six others, and write docs/benchmark.md.

Runs that are finished are kept in outputs/benchmark: a benchmark that was cut off goes on.
``--text`` writes the text anew from the tables in docs/benchmark, without training.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from inr.config import RunConfig
from inr.quantities import QUANTITIES
from inr.results import HELDOUT
from inr.storage.paths import SweepLayout
from inr.training.evaluation import Evaluator
from inr.training.spline_grid import baseline, grid_shape
from jobs.launching.cost_model import parameter_count, shape_of
from postprocess.dataset.merged_sweep import ensure_merged
from tests.benchmarks.learning.design import (
    BASE,
    IMAGES,
    SETTINGS,
    networks_of,
    report_sweep,
    tuning_sweep,
)
from tests.benchmarks.learning.networks_report import GRID, draw, write
from tests.benchmarks.report import circumstances

ROOT = Path(__file__).resolve().parents[3]
ERRORS = [f"{points}nmse_{q}" for points in ("", *(f"{s}_" for s in HELDOUT)) for q in QUANTITIES]
KEPT = ("network", "data.image", "training.seed", *SETTINGS, "status", "seconds", *ERRORS)


def train(name: str, sweep: dict[str, Any], outputs: Path) -> pd.DataFrame:
    """The runs of a sweep, trained by the launcher as far as they are not there."""
    outputs.mkdir(parents=True, exist_ok=True)
    path = outputs / f"{name}.yaml"
    path.write_text(yaml.safe_dump(sweep, sort_keys=False), encoding="utf-8")
    command = [sys.executable, "jobs/launch.py", "--local", "--no-post", "--pack", "1000"]
    command += ["--workers", "1", "--sweep", str(path), "--output", str(outputs / name)]
    subprocess.run(command, cwd=ROOT, check=True)
    runs = ensure_merged(SweepLayout(outputs / name)).runs
    table = runs.assign(network=networks_of(runs))[list(KEPT)]
    return table.sort_values(["network", "data.image", "training.seed"], kind="stable")


def choose(tried: pd.DataFrame) -> pd.DataFrame:
    """The settings of each network with the lowest error over all, held out, over the images.

    The geometric mean of the four errors between pixels and frames; a run that diverged has none,
    and rules its settings out.
    """
    errors = np.log(tried[[f"heldout_nmse_{q}" for q in QUANTITIES]]).mean(axis=1, skipna=False)
    errors = errors.where(tried["status"] == "complete", np.inf).fillna(np.inf)
    settings = ["network", *SETTINGS]
    scores = (
        errors.groupby([tried[each] for each in settings], sort=False)
        .mean()
        .reset_index(name="score")
    )
    best = scores.loc[scores.groupby("network", sort=False)["score"].idxmin()]
    return best.set_index("network")[list(SETTINGS)]


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
            for points in ("", *(f"{each}_" for each in HELDOUT))
            for q in QUANTITIES
        }
        known = {"network": GRID, "data.image": image, "status": "complete", "training.seed": 0}
        rows.append(known | {"seconds": found["seconds"]} | errors)
    return pd.DataFrame(rows, columns=KEPT)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--outputs", type=Path, default=ROOT / "outputs" / "benchmark")
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "benchmark")
    parser.add_argument("--text", action="store_true", help="from the tables alone")
    given = parser.parse_args()
    given.to.mkdir(parents=True, exist_ok=True)
    if not given.text:
        tried = train("tuning", tuning_sweep(), given.outputs)
        tried.to_csv(given.to / "tuning.csv", index=False, float_format="%.6g")
        networks = train("report", report_sweep(choose(tried)), given.outputs)
        reported = pd.concat([networks, fit_splines()], ignore_index=True)
        reported.to_csv(given.to / "runs.csv", index=False, float_format="%.6g")
        facts = circumstances()
        (given.to / "facts.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    draw(pd.read_csv(given.to / "runs.csv")).savefig(given.to / "networks.png")
    given.to.with_suffix(".md").write_text(write(given.to), encoding="utf-8")


if __name__ == "__main__":
    main()
