"""Errors of several contestants on the same images: ratios, their intervals, paired tests."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import t, ttest_rel

from inr.quantities import QUANTITIES
from inr.results import HELDOUT

LEVEL = 0.05
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

    ``low`` and ``high`` are 95 % limits of that ratio by Student's t over the images, each of which
    is one number; ``p`` is that of the paired t-test, for one comparison.
    """
    rows = []
    for name in errors.index:
        with np.errstate(invalid="ignore"):  # both diverged: no ratio
            ratio = errors.loc[name] - errors.loc[to]
        error, mean = np.exp([errors.loc[name].mean(), ratio.mean(skipna=False)])
        if name == to:
            rows.append((error, 1.0, 1.0, 1.0, 1.0))
        elif not np.isfinite(ratio).all():  # a run diverged
            rows.append((error, mean, mean, mean, 1.0 if np.isnan(mean) else 0.0))
        else:
            half = t.ppf(1 - LEVEL / 2, len(ratio) - 1) * ratio.std() / np.sqrt(len(ratio))
            limits = np.exp([ratio.mean() - half, ratio.mean() + half])
            p = float(ttest_rel(errors.loc[name], errors.loc[to]).pvalue)
            rows.append((error, mean, *limits, p))
    return pd.DataFrame(rows, errors.index, ["error", "ratio", "low", "high", "p"])


def holm(p: pd.Series) -> pd.Series:
    """Holm's correction of the p of so many comparisons."""
    order = p.sort_values()
    steps = order * np.arange(len(order), 0, -1)
    return steps.cummax().clip(upper=1).reindex(p.index)


def compare(errors: pd.DataFrame) -> pd.DataFrame:
    """`ratios` to the best, from best to worst; ``p`` by Holm for all comparisons with it."""
    order = errors.mean(axis=1).sort_values().index
    table = ratios(errors.loc[order], order[0])
    return table.assign(p=pd.concat([table["p"].iloc[:1], holm(table["p"].iloc[1:])]))


def best_of(table: pd.DataFrame) -> list[str]:
    """The best contestant, alone or with those that cannot be told apart from it."""
    return list(table.index[table["p"] >= LEVEL])


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
