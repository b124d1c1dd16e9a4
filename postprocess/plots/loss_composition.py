"""Why runs end as they do: what their loss consists of, and how far their learning rate carries."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from inr.quantities import QUANTITIES
from postprocess.plots import style
from postprocess.plots.legends import Section, add_legend
from postprocess.plots.plot_variable import Measure, metric
from postprocess.plots.scatter import draw_pairs
from postprocess.stats.factors import PROTOCOL, WEIGHTS, Variation
from postprocess.stats.loss_weightings import NAMES

INTEGRATED = Measure(
    "integrated_rate", "integrated learning rate (steps at 1e-4)", log_scale=True, ranked=False
)
_PANELS = 6
_TITLE = 36  # letters in a line of a panel's title
_NORMALIZATION = "training.loss_normalization"
_BALANCING = "training.loss_balancing"


def loss_columns(runs: pd.DataFrame) -> list[str]:
    """The series that the losses of ``runs`` are made of."""
    kinds = {"mse" if _is_raw(run) else "nmse" for _, run in runs.iterrows()}
    return [f"{kind}_{quantity}" for kind in sorted(kinds) for quantity in QUANTITIES]


def composed(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of which the loss has several terms of known weight.

    While terms are balanced automatically, their weights change and are not recorded.
    """
    weights = [f"{WEIGHTS}.{quantity}" for quantity in QUANTITIES]
    if not set(weights) <= set(runs.columns):
        return runs.iloc[:0]
    known = (runs[weights] > 0).sum(axis=1) > 1
    if _BALANCING in runs:
        known &= runs[_BALANCING] == "none"
    return runs[known]


def draw_loss_shares(runs: pd.DataFrame, series: pd.DataFrame, variation: Variation) -> Figure:
    """The share of each term in the loss against steps, a panel for each of up to six runs.

    A share is weight x error, with the error divided by the variance of its target or not, as the
    run was trained, over the sum of all four. Settings are chosen at even distances in the
    ranking by the error over all (the geometric mean of the four), the best and the worst among
    them; each is shown by its median run.

    Args:
        runs: What `composed` gave.
        series: Columns run, step and those that `loss_columns` names.
        variation: The settings that differ between all runs of the sweep.
    """
    chosen = _choose(runs, variation)
    wide = style.panels_side_by_side(len(chosen))
    high = -(-len(chosen) // wide)
    width = style.PAGE_WIDTH if wide > 1 else style.COLUMN_WIDTH
    figure = Figure(figsize=(width, 1.8 * high + 0.2))
    axes = figure.subplots(high, wide, sharey=True, squeeze=False)
    shades = style.some_colors(len(QUANTITIES))
    for place, (panel, (run, title)) in enumerate(zip(axes.flat, chosen, strict=False)):
        rows = series[series["run"] == run]
        steps = rows["step"].to_numpy(float)
        panel.stackplot(steps, composition(runs.loc[run], rows), colors=shades, linewidth=0)
        end = max(steps[-1], steps[0] + 1)  # a run of one row
        panel.set(title=title, ylim=(0, 1), xlim=(steps[0], end))
        panel.grid(visible=False)
        if place + wide >= len(chosen):
            panel.set_xlabel("optimiser steps")
    for unused in axes.flat[len(chosen) :]:
        unused.remove()
    for row in axes:
        row[0].set_ylabel("share of the loss")
    patches = [Patch(color=shade, linewidth=0) for shade in shades]
    add_legend(figure, [Section("term", list(zip(patches, _terms(runs), strict=True)))])
    return figure


def composition(run: pd.Series, rows: pd.DataFrame) -> np.ndarray:
    """Share of each term in the loss of one run, from its series, [quantity, row].

    They sum to 1, or are NaN where the loss is not finite.
    """
    kind = "mse" if _is_raw(run) else "nmse"
    weights = np.array([run[f"{WEIGHTS}.{quantity}"] for quantity in QUANTITIES], dtype=float)
    errors = rows[[f"{kind}_{quantity}" for quantity in QUANTITIES]].to_numpy(float).T
    terms = np.zeros(errors.shape)
    used = weights > 0  # else no part of the loss, even if its error is not finite
    terms[used] = weights[used, None] * errors[used]
    total = terms.sum(axis=0)
    usable = np.isfinite(total) & (total > 0)
    shares = np.full(terms.shape, np.nan)
    shares[:, usable] = terms[:, usable] / total[usable]
    return shares


def _choose(runs: pd.DataFrame, variation: Variation) -> list[tuple[int, str]]:
    """Runs to show, each with a title: its place in the ranking and its setting."""
    levels = variation.levels.loc[runs.index].agg(", ".join, axis=1) if variation.axes else None
    names = levels if levels is not None else pd.Series("", index=runs.index)
    columns = [f"nmse_{quantity}" for quantity in QUANTITIES]
    errors = runs[columns].astype(float).clip(lower=np.finfo(float).tiny)
    score = np.log(errors).mean(axis=1, skipna=False).fillna(np.inf).sort_values(kind="stable")
    typical = {}
    for name, members in names.loc[score.index].groupby(names, sort=False):
        middle = members.index[(len(members) - 1) // 2]  # the members are in order
        typical[name] = (score[middle], middle)
    ranked = sorted(typical.items(), key=lambda item: item[1][0])
    places = np.unique(np.linspace(0, len(ranked) - 1, min(_PANELS, len(ranked))).round())
    chosen = []
    for place in places.astype(int):
        name, (error, run) = ranked[place]
        rank = f"rank {place + 1} of {len(ranked)} over all" if np.isfinite(error) else "diverged"
        heading = f"{textwrap.fill(name, _TITLE)}\n{rank}" if name else ""
        chosen.append((run, heading))
    return chosen


def _is_raw(run: pd.Series) -> bool:
    return bool(run.get(_NORMALIZATION, "variance") == "raw")


def _terms(runs: pd.DataFrame) -> list[str]:
    """Names of the four terms; the original protocol does not train that of the Laplacian."""
    names: list[str] = list(NAMES.values())
    if PROTOCOL in runs and (runs[PROTOCOL] == "original").all():
        names[QUANTITIES.index("laplacian")] += " (counted, but without effect)"
    return names


def draw_integrated_rate(runs: pd.DataFrame, rates: pd.Series, variation: Variation) -> Figure:
    """Final errors of the four quantities against the integrated learning rate.

    Args:
        runs: Rows of ``/runs`` that have results.
        rates: What `postprocess.stats.learning_rates.integrated_rates` gave.
        variation: The settings that differ between the runs.
    """
    table = runs.assign(**{INTEGRATED.column: rates.reindex(runs.index)})
    pairs: Sequence[tuple[Measure, Measure]] = [
        (INTEGRATED, metric(f"nmse_{quantity}")) for quantity in QUANTITIES
    ]
    return draw_pairs(pairs, table, variation, diagonal=False)
