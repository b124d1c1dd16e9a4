"""Which figures a sweep gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from inr.quantities import METRICS, QUANTITIES
from postprocess.dataset.read import MergedSweep
from postprocess.plots.caption import state_scale, study_scale
from postprocess.plots.final_values import draw_finals
from postprocess.plots.improvement import draw_improvement, find_factor
from postprocess.plots.learning_curves import draw_curves
from postprocess.plots.loss_composition import (
    composed,
    draw_integrated_rate,
    draw_loss_shares,
    loss_columns,
)
from postprocess.plots.loss_weights import draw_influence, draw_pareto, draw_ranking, draw_ranks
from postprocess.plots.overview import draw_overview
from postprocess.plots.plot_variable import LOSS, RATE, Measure, metric
from postprocess.plots.scatter import draw_pairs
from postprocess.stats.factors import PROTOCOL, Variation, find_variation
from postprocess.stats.learning_rates import distinct_schedules, integrated_rates, rate_curves
from postprocess.stats.loss_weightings import MANY, NAMES, find_weightings

_MANY_RATES = 3  # distinct ones, from which on errors can be seen to follow them


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
    plans.append(Plan(f"curve_{RATE.column}", lambda: _rates(runs)))
    plans += [finals(measure) for measure in measures]
    plans.append(Plan("heldout", lambda: _heldout(merged, variation)))
    plans.append(Plan("tradeoff", lambda: _tradeoff(merged, variation)))
    plans += _comparisons(runs, variation)
    plans += _weightings(runs)
    plans += _anatomy(merged, variation)
    scale = study_scale(runs)
    return [replace(plan, draw=_with_scale(plan, scale)) for plan in plans]


def _with_scale(plan: Plan, scale: str) -> Callable[[], Figure]:
    return lambda: state_scale(plan.draw(), scale)


def _comparisons(runs: pd.DataFrame, variation: Variation) -> list[Plan]:
    """Probabilities of improvement: over all, and for each error."""
    factor = find_factor(variation)
    if factor is None:
        return []
    errors = runs[[f"nmse_{quantity}" for quantity in QUANTITIES]].astype(float)
    errors = errors.where(np.isfinite(errors))

    def plan(name: str, scores: pd.Series, what: str) -> Plan:
        return Plan(name, lambda: draw_improvement(scores, what, factor))

    overall = errors.prod(axis=1, skipna=False)  # ranks as the geometric mean does
    return [
        plan("improvement", overall, "mean of the four log errors"),
        *(
            plan(f"improvement_{quantity}", errors[f"nmse_{quantity}"], f"{NAMES[quantity]} error")
            for quantity in QUANTITIES
        ),
    ]


def _weightings(runs: pd.DataFrame) -> list[Plan]:
    """What only a sweep over many weightings can show."""
    weightings = find_weightings(runs)
    if len(weightings) < MANY:
        return []
    draws = {
        "ranking": draw_ranking,
        "ranks": draw_ranks,
        "pareto": draw_pareto,
        "influence": draw_influence,
    }
    return [Plan(f"weights_{name}", partial(draw, weightings)) for name, draw in draws.items()]


def _anatomy(merged: MergedSweep, variation: Variation) -> list[Plan]:
    """What losses consist of, and errors against integrated learning rates that differ."""
    runs = merged.readable
    plans = []
    several = composed(runs)
    if len(several):
        columns = loss_columns(several)
        plans.append(
            Plan(
                "loss_shares",
                lambda: draw_loss_shares(several, merged.series(*columns), variation),
            )
        )
    if len(distinct_schedules(runs)) >= _MANY_RATES:
        plans.append(
            Plan(
                "integrated_rate",
                lambda: draw_integrated_rate(runs, integrated_rates(runs), variation),
            )
        )
    return plans


def _rates(runs: pd.DataFrame) -> Figure:
    """Learning-rate curves: one for each schedule, not one for each run."""
    distinct = distinct_schedules(runs)
    return draw_curves(RATE, rate_curves(runs.loc[distinct.index]), find_variation(distinct))


def _heldout(merged: MergedSweep, variation: Variation) -> Figure:
    """Errors between the pixels and frames against errors on them."""
    runs = merged.readable.copy()
    truth = "held out: between pixels and frames"
    if PROTOCOL in runs and (runs[PROTOCOL] == "original").all():
        truth += ", against the exact diffusion"
    pairs = []
    for name in (*(f"nmse_{quantity}" for quantity in QUANTITIES), "psnr_value", "pde_residual"):
        measure = metric(name)
        between = replace(measure, column=f"heldout_{name}", label=truth)
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
