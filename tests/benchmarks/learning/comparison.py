"""Errors of several contestants on the same images: ratios, their intervals, paired tests."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from inr.quantities import QUANTITIES
from inr.results import HELDOUT
from postprocess.stats.paired import LEVEL, difference, holm

NAMES = dict(zip(QUANTITIES, ("value", "gradient", "Laplacian", "time derivative"), strict=True))
SETS = {
    "": "training",
    "heldout_pixels_": "between pixels",
    "heldout_frames_": "between frames",
    "heldout_": "between pixels and frames",
    "heldout_first_": "first interval",
}
ERRORS = [f"{points}nmse_{q}" for points in ("", *(f"{s}_" for s in HELDOUT)) for q in QUANTITIES]
ON_FRAMES = [f"nmse_{quantity}" for quantity in QUANTITIES]
HELD_OUT = [f"heldout_nmse_{quantity}" for quantity in QUANTITIES]


def log_mean(runs: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    """Mean logarithm of some errors, [run]; infinite where the run diverged."""
    errors = np.log(runs[list(columns)]).mean(axis=1, skipna=False)
    return errors.where(runs["status"] == "complete", np.inf).fillna(np.inf)


def log_errors(
    runs: pd.DataFrame, columns: Sequence[str], contestant: str = "network"
) -> pd.DataFrame:
    """Mean logarithm of some errors over seeds, [contestant, image]; infinite if a run diverged."""
    errors = log_mean(runs, columns)
    return errors.groupby([runs[contestant], runs["data.image"]]).mean().unstack()


def ratios(errors: pd.DataFrame, to: str) -> pd.DataFrame:
    """Geometric mean over images of each contestant, and how often that of ``to``.

    ``low``, ``high`` and ``p`` as `postprocess.stats.paired.difference` gives them, image by image.
    """
    rows = []
    for name in errors.index:
        *limits, p = difference(errors.loc[name], errors.loc[to])
        limits = [0.0, 0.0, 0.0] if name == to else limits
        rows.append((*np.exp([errors.loc[name].mean(), *limits]), p))
    return pd.DataFrame(rows, errors.index, ["error", "ratio", "low", "high", "p"])


def compare(errors: pd.DataFrame) -> pd.DataFrame:
    """`ratios` to the best, from best to worst; ``p`` by Holm for all comparisons with it."""
    order = errors.mean(axis=1).sort_values().index
    table = ratios(errors.loc[order], order[0])
    return table.assign(p=[1.0, *holm(table["p"].iloc[1:])])


def best_of(table: pd.DataFrame) -> list[str]:
    """The best contestant, alone or with those that cannot be told apart from it.

    One that diverged is not among them, however seldom it did.
    """
    return list(table.index[(table["p"] >= LEVEL) & np.isfinite(table["error"])])


def with_limits(row: pd.Series) -> str:
    """A ratio with its interval."""
    return f"{row['ratio']:.3g} ({row['low']:.3g} to {row['high']:.3g})"


def diverged(runs: pd.DataFrame, contestant: str = "network") -> str:
    """How many runs of which contestants diverged."""
    bad = runs[runs["status"] != "complete"].groupby(contestant).size()
    return ", ".join(f"{name} {count}" for name, count in bad.items()) or "none"


def told(facts: dict[str, str]) -> str:
    """Facts as a list."""
    return "\n".join(f"- {name}: {fact}" for name, fact in facts.items())
