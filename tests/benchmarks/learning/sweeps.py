"""What the benchmarks of learning share: a sweep is trained, settings are chosen, a page written.

``--text`` writes the text and the picture anew from the tables, without training.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from matplotlib.figure import Figure

from inr.storage.paths import SweepLayout
from postprocess.dataset.merged_sweep import MergedSweep, ensure_merged
from tests.benchmarks.learning.comparison import HELD_OUT, log_mean
from tests.benchmarks.report import circumstances

ROOT = Path(__file__).resolve().parents[3]


def train(name: str, sweep: dict[str, Any], outputs: Path) -> MergedSweep:
    """The runs of a sweep, trained by the launcher as far as they are not there."""
    outputs.mkdir(parents=True, exist_ok=True)
    path = outputs / f"{name}.yaml"
    path.write_text(yaml.safe_dump(sweep, sort_keys=False), encoding="utf-8")
    command = [sys.executable, "jobs/launch.py", "--local", "--no-post", "--pack", "1000"]
    command += ["--workers", "1", "--sweep", str(path), "--output", str(outputs / name)]
    subprocess.run(command, cwd=ROOT, check=True)
    return ensure_merged(SweepLayout(outputs / name))


def score(
    tried: pd.DataFrame, settings: Sequence[str], contestant: str = "network"
) -> pd.DataFrame:
    """Each contestant's settings with their ``score``, the mean of `log_mean` over the images.

    It is that of the four errors between pixels and frames; a run that diverged rules its settings
    out.
    """
    groups = [tried[each] for each in (contestant, *settings)]
    return log_mean(tried, HELD_OUT).groupby(groups, sort=False).mean().reset_index(name="score")


def choose(
    tried: pd.DataFrame, settings: Sequence[str], contestant: str = "network"
) -> pd.DataFrame:
    """The settings of each contestant with the lowest `score`."""
    scores = score(tried, settings, contestant)
    best = scores.loc[scores.groupby(contestant, sort=False)["score"].idxmin()]
    return best.set_index(contestant)[list(settings)]


def make_page(
    title: str,
    outputs: str,
    page: str,
    measure: Callable[[Path], Iterator[tuple[str, pd.DataFrame]]],
    picture: tuple[str, Callable[[Path], Figure]],
    write: Callable[[Path], str],
) -> None:
    """Run the command line of a benchmark.

    ``measure`` yields tables and their names, from a folder of outputs; ``picture`` (its name, how
    it is drawn) and ``write`` make docs/``page``.md of the folder of the tables.
    """
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--outputs", type=Path, default=ROOT / "outputs" / outputs)
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / page)
    parser.add_argument("--text", action="store_true", help="from the tables alone")
    given = parser.parse_args()
    given.to.mkdir(parents=True, exist_ok=True)
    if not given.text:
        for name, table in measure(given.outputs.resolve()):
            table.to_csv(given.to / f"{name}.csv", index=False, float_format="%.6g")
        facts = json.dumps(circumstances(), indent=1)
        (given.to / "facts.json").write_text(facts + "\n", encoding="utf-8")
    name, draw = picture
    draw(given.to).savefig(given.to / name)
    given.to.with_suffix(".md").write_text(write(given.to), encoding="utf-8")
