"""Images from their derivatives: runs the sweep ``reconstruction`` and writes its page.

``--text`` writes the text anew from the table in docs/benchmark, without training.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from inr.results import open_run
from inr.storage.paths import SweepLayout
from postprocess.dataset.merged_sweep import ensure_merged
from postprocess.stats.fields import WEIGHT_COLUMNS
from tests.benchmarks.report import circumstances, markdown_table

ROOT = Path(__file__).resolve().parents[3]
TABLES = ROOT / "docs" / "benchmark"
PEAK = 2.0  # values span [-1, 1]
_SHAPE = ("data.size", "model.width", "model.depth", "training.steps", "training.batch")
_SETTING = (*WEIGHT_COLUMNS, "training.value_points", "data.derivatives")
_FOUND = ("psnr_value_mean_removed", "psnr_first", "seconds")


def train(outputs: Path) -> pd.DataFrame:
    """The runs of the sweep, trained as far as they are not there."""
    command = [sys.executable, "jobs/launch.py", "--local", "--no-post", "--sweep"]
    command += ["reconstruction", "--output", str(outputs), "--workers", "1", "--pack", "1000"]
    subprocess.run(command, cwd=ROOT, check=True)
    layout = SweepLayout(outputs)
    runs = ensure_merged(layout).readable
    first = [psnr_of_first_frame(layout.run(name).results) for name in runs["name"]]
    return runs.assign(psnr_first=first)[["data.image", *_SETTING, *_FOUND, *_SHAPE]]


def psnr_of_first_frame(path: Path) -> float:
    """Of the value without its mean error, dB."""
    with open_run(path) as file:
        prediction, target = (file[f"frames/value/{role}"][0] for role in ("prediction", "target"))
    return float(10 * np.log10(PEAK**2 / np.var(prediction - target, dtype=float)))


def write(tables: Path) -> str:
    """The text of the table in a folder."""
    runs = pd.read_csv(tables / "reconstruction.csv")
    facts = json.loads((tables / "reconstruction.json").read_text(encoding="utf-8"))
    images = runs["data.image"].unique()
    rows = []
    for setting, group in runs.groupby([*_SETTING], sort=False):
        *weights, points, derivatives = setting
        by_image = group.set_index("data.image")
        row = {"trained on": _terms(weights, points), "derivatives": derivatives}
        for image in images:
            row[f"{image}, all frames"] = f"{by_image.loc[image, 'psnr_value_mean_removed']:.1f}"
            row[f"{image}, first frame"] = f"{by_image.loc[image, 'psnr_first']:.1f}"
        rows.append(row | {"training, s": f"{group['seconds'].mean():.0f}"})
    shape = {name.rpartition(".")[2]: int(runs[name].iloc[0]) for name in _SHAPE}
    template = Path(__file__).with_suffix(".md").read_text(encoding="utf-8")
    told = "\n".join(f"- {name}: {fact}" for name, fact in facts.items())
    return template.format(**shape, table=markdown_table(rows), facts=told)


def _terms(weights: list[float], points: str) -> str:
    border = " on the border" if points == "border" else ""
    names = (f"value{border}", "gradient", "Laplacian", "time derivative")
    return ", ".join(name for name, weight in zip(names, weights, strict=True) if weight)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--outputs", type=Path, default=ROOT / "outputs" / "reconstruction")
    parser.add_argument("--text", action="store_true", help="from the table alone")
    given = parser.parse_args()
    TABLES.mkdir(parents=True, exist_ok=True)
    if not given.text:
        runs = train(given.outputs)
        runs.to_csv(TABLES / "reconstruction.csv", index=False, float_format="%.6g")
        facts = json.dumps(circumstances(), indent=1)
        (TABLES / "reconstruction.json").write_text(facts + "\n", encoding="utf-8")
    (ROOT / "docs" / "reconstruction.md").write_text(write(TABLES), encoding="utf-8")


if __name__ == "__main__":
    main()
