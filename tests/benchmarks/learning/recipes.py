"""Tune the reference, train it and the recommended recipe on 12 images, write docs/recipes.md.

Runs that are finished are kept in outputs/recipes: a benchmark that was cut off goes on. ``--text``
writes text and picture anew from the tables in docs/recipes, without training.
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from tests.benchmarks.learning.comparison import ERRORS, ON_FRAMES
from tests.benchmarks.learning.generated_images import write_images
from tests.benchmarks.learning.recipes_design import (
    KEY,
    SETTINGS,
    TUNED,
    Recipe,
    recipes,
    recipes_of,
    report_sweep,
    tuning_sweep,
)
from tests.benchmarks.learning.recipes_report import draw, write
from tests.benchmarks.learning.sweeps import choose, make_page, train

KEPT = (*KEY, *SETTINGS, "status", "seconds", *ERRORS)


def measure(outputs: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    """The tables of the page."""
    tried = train("tuning", tuning_sweep(), outputs).runs.assign(recipe=TUNED)
    yield "tuning", tried.sort_values([*SETTINGS, "data.image"], kind="stable")[list(KEPT)]
    tuned = chosen(tried)
    merged = train("report", report_sweep(tuned, write_images(outputs / "images")), outputs)
    runs = merged.runs.assign(
        recipe=recipes_of(merged.runs, recipes(tuned)),
        **{"data.image": merged.runs["data.image"].map(lambda image: Path(image).stem)},
    )
    yield "runs", runs.sort_values(KEY, kind="stable")[list(KEPT)]
    series = merged.series("seconds", *ON_FRAMES).join(runs[KEY], on="run")
    yield "curves", series.sort_values([*KEY, "step"])[[*KEY, "step", "seconds", *ON_FRAMES]]


def chosen(tried: pd.DataFrame) -> Recipe:
    """The settings of the tuned reference."""
    return choose(tried, SETTINGS, "recipe").loc[TUNED].to_dict()


if __name__ == "__main__":
    picture = ("recipes.png", draw)
    make_page(__doc__.splitlines()[0], "recipes", "recipes", measure, picture, write)
