"""Which figures a sweep gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.figure import Figure

from inr.results import METRICS, QUANTITIES
from postprocess.curves import draw_curves
from postprocess.finals import draw_finals
from postprocess.measure import LOSS, RATE, Measure, metric
from postprocess.merged import MergedSweep
from postprocess.overview import draw_overview
from postprocess.scatter import draw_pairs
from postprocess.variation import Variation, find_variation


@dataclass(frozen=True)
class Plan:
    """A figure that can be drawn."""

    name: str  # file name without suffix
    draw: Callable[[], Figure]


def plan_figures(merged: MergedSweep) -> list[Plan]:
    """Every figure of a sweep, in the order of importance."""
    runs = merged.readable
    variation = find_variation(runs)
    # squared errors in units say the same as normalised ones, with less to compare
    measures = [metric(name) for name in METRICS if not name.startswith("mse_")]

    def curves(measure: Measure) -> Plan:
        return Plan(
            f"curve_{measure.column}",
            lambda: draw_curves(measure, merged.series(measure.column), variation),
        )

    def finals(measure: Measure) -> Plan:
        return Plan(f"final_{measure.column}", lambda: draw_finals(measure, runs, variation))

    plans = [Plan("overview", lambda: draw_overview(runs, variation))]
    plans += [curves(measure) for measure in (*measures, LOSS)]
    plans.append(Plan(f"curve_{RATE.column}", lambda: _rates(merged)))
    plans += [finals(measure) for measure in measures]
    plans.append(Plan("heldout", lambda: _heldout(merged, variation)))
    plans.append(Plan("tradeoff", lambda: _tradeoff(merged, variation)))
    return plans


def _rates(merged: MergedSweep) -> Figure:
    """Learning-rate curves: one for each schedule, not one for each run."""
    settings = ("training.learning_rate", "training.schedule", "training.steps")
    runs = merged.readable
    columns = [name for name in runs.columns if name.startswith(settings)]
    distinct = runs[columns].drop_duplicates()
    series = merged.series(RATE.column)
    return draw_curves(RATE, series[series["run"].isin(distinct.index)], find_variation(distinct))


def _heldout(merged: MergedSweep, variation: Variation) -> Figure:
    """Errors between the pixels and frames against errors on them."""
    runs = merged.readable.copy()
    pairs = []
    for name in (*(f"nmse_{quantity}" for quantity in QUANTITIES), "psnr_value", "pde_residual"):
        measure = metric(name)
        between = replace(
            measure, column=f"heldout_{name}", label="held out: between pixels and frames"
        )
        if between.column not in runs:  # no run got as far as measuring it
            runs[between.column] = np.nan
        on_grid = replace(measure, label=f"{measure.label}, on the training grid")
        pairs.append((on_grid, between))
    return draw_pairs(pairs, runs, variation, diagonal=True)


def _tradeoff(merged: MergedSweep, variation: Variation) -> Figure:
    """Error of the value against the errors of its derivatives."""
    value, *derivatives = [metric(f"nmse_{quantity}") for quantity in QUANTITIES]
    pairs = [(value, derivative) for derivative in derivatives]
    return draw_pairs(pairs, merged.readable, variation, diagonal=False)
