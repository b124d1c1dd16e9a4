"""What losses consist of while they fall."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from inr.quantities import QUANTITIES
from postprocess.dataset.merged_sweep import MergedSweep
from postprocess.plots import layout, style
from postprocess.plots.plot_variable import ON_GRID
from postprocess.stats.factors import Variation
from postprocess.stats.fields import PROTOCOL, WEIGHT_COLUMNS
from postprocess.stats.loss_weightings import NAMES
from postprocess.stats.ranking import OVERALL, add_scores

_PANELS = 6
_TITLE = 36  # letters in a line of a panel's title
_WEIGHTS = [*WEIGHT_COLUMNS]
_NORMALIZATION = "training.loss_normalization"
_BALANCING = "training.loss_balancing"
_POINTS = "training.value_points"


def figures(merged: MergedSweep, variation: Variation) -> layout.Drawings:
    """One, where a loss has several terms."""
    runs = composed(merged.readable)
    if runs.empty:
        return {}
    columns = loss_columns(runs)
    return {"loss_shares": lambda: draw_loss_shares(runs, merged.series(*columns), variation)}


def composed(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of which the loss has several terms of known weight and error.

    While terms are balanced automatically, their weights change and are not recorded. Nor is the
    error of the value on the border, where it is trained there alone.
    """
    known = (runs.reindex(columns=_WEIGHTS) > 0).sum(axis=1) > 1
    for field, usual in ((_BALANCING, "none"), (_POINTS, "all")):
        if field in runs:
            known &= runs[field] == usual
    return runs[known]


def loss_columns(runs: pd.DataFrame) -> list[str]:
    """The series that the losses of ``runs`` are made of."""
    kinds = {_error_kind(run) for _, run in runs.iterrows()}
    return [f"{kind}_{quantity}" for kind in sorted(kinds) for quantity in QUANTITIES]


def draw_loss_shares(runs: pd.DataFrame, series: pd.DataFrame, variation: Variation) -> Figure:
    """The share of each term in the loss against steps, a panel for each of up to six runs.

    A share is weight x error, with the error divided by the variance of its target or not, as the
    run was trained, over the sum of all four. Settings are chosen at even distances in the
    ranking by the error over all (the geometric mean of the four), the best and the worst among
    them; each is shown by its median run.

    ``runs`` is what `composed` gave; ``series`` has the columns run, step and `loss_columns`.
    """
    chosen, count = _choose(runs, variation)
    width = style.PAGE_WIDTH if len(chosen) > 1 else style.COLUMN_WIDTH
    shared = {"sharex": True, "sharey": True}
    figure, panels = layout.make_panels(len(chosen), height=1.9, width=width, **shared)
    shades = style.COLORS[: len(QUANTITIES)]
    for panel, (run, title) in zip(panels, chosen.items(), strict=True):
        rows = series[series["run"] == run]
        shares = composition(runs.loc[run], rows)
        panel.stackplot(rows["step"], shares, colors=shades, linewidth=0)
        panel.set(title=title, ylim=(0, 1))
        panel.margins(x=0)
        panel.grid(visible=False)
    layout.name_axes(panels, "optimiser steps", "share of the loss")
    if len(chosen) < count:
        which = f"{len(chosen)} of {count} settings, from the best to the worst {ON_GRID}"
        layout.add_heading(figure, which)
    names = {**NAMES}
    # the original protocol does not train the Laplacian
    if PROTOCOL in runs and (runs[PROTOCOL] == "original").all():
        names["laplacian"] += " (counted, but without effect)"
    terms = zip(shades, names.values(), strict=True)
    entries = [(Patch(color=shade, linewidth=0), name) for shade, name in terms]
    layout.add_legend(figure, [("term", entries)])
    return figure


def composition(run: pd.Series, rows: pd.DataFrame) -> np.ndarray:
    """Share of each term in the loss of one run, from its series, [quantity, row].

    They sum to 1, or are NaN where the loss is not finite.
    """
    weights = run[_WEIGHTS].to_numpy(float)[:, None]
    errors = rows[[f"{_error_kind(run)}_{quantity}" for quantity in QUANTITIES]].to_numpy(float).T
    with np.errstate(invalid="ignore"):
        # without a weight no part of the loss, even if the error is not finite
        terms = np.where(weights > 0, weights * errors, 0.0)
        total = terms.sum(axis=0)
        return np.asarray(terms / np.where(np.isfinite(total) & (total > 0), total, np.nan))


def _choose(runs: pd.DataFrame, variation: Variation) -> tuple[dict[int, str], int]:
    """Runs to show, with titles of setting and place; and how many settings there are."""
    levels = variation.levels.loc[runs.index]
    names = levels.agg(", ".join, axis=1) if variation.axes else pd.Series("", runs.index)
    # failed runs come last
    ordered = add_scores(runs)[OVERALL.column].sort_values(na_position="last", kind="stable")
    members = ordered.groupby(names, sort=False)
    middle = members.cumcount() == (members.transform("size") - 1) // 2
    ranked = ordered[middle]  # the median run of each setting
    places = np.unique(np.linspace(0, len(ranked) - 1, min(_PANELS, len(ranked))).round())
    chosen = {}
    for place in places.astype(int):
        run, error = ranked.index[place], ranked.iloc[place]
        rank = f"rank {place + 1} of {len(ranked)} over all" if np.isfinite(error) else "diverged"
        name = names[run]
        chosen[run] = f"{layout.wrap(name, _TITLE)}\n{rank}" if name else ""
    return chosen, len(ranked)


def _error_kind(run: pd.Series) -> str:
    return "mse" if run.get(_NORMALIZATION, "variance") == "raw" else "nmse"
