"""The text and the picture of the benchmark of networks, from its tables alone."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from inr.quantities import QUANTITIES
from postprocess.plots import style
from tests.benchmarks.learning.comparison import (
    HELD_OUT,
    NAMES,
    SETS,
    best_of,
    compare,
    diverged,
    log_errors,
    told,
    with_limits,
)
from tests.benchmarks.learning.design import (
    BASE,
    IMAGES,
    SEEDS,
    SETTINGS,
    TRIALS,
    TUNING_IMAGES,
)
from tests.benchmarks.report import markdown_table

GRID = "cubic B-splines"


def write(tables: Path) -> str:
    """The text of the tables in a folder."""
    tried, runs = (pd.read_csv(tables / f"{name}.csv") for name in ("tuning", "runs"))
    facts = json.loads((tables / "facts.json").read_text(encoding="utf-8"))
    overall = compare(log_errors(runs, HELD_OUT))
    errors = {q: compare(log_errors(runs, [f"heldout_nmse_{q}"])) for q in QUANTITIES}
    template = Path(__file__).with_name("networks.md").read_text(encoding="utf-8")
    return template.format(
        networks=runs.loc[runs["network"] != GRID, "network"].nunique(),
        images=", ".join(IMAGES),
        count=len(IMAGES),
        tuning=" and ".join(TUNING_IMAGES),
        seeds=SEEDS,
        trials=TRIALS,
        runs=f"{(runs['network'] != GRID).sum():,}",
        **BASE["model"],
        **BASE["data"],
        steps=BASE["training"]["steps"],
        batch=BASE["training"]["batch"],
        tried=f"{len(tried):,}",
        verdicts=markdown_table(list(_verdicts(runs))),
        equals="\n".join(_equals(runs)),
        splines=_splines(overall),
        errors=markdown_table(list(_error_rows(errors | {"overall": overall}))),
        sets=markdown_table(list(_set_rows(runs, overall.index))),
        settings=markdown_table(list(_setting_rows(runs))),
        diverged=diverged(runs),
        facts=told(facts),
    )


def _verdicts(runs: pd.DataFrame) -> Iterator[dict[str, str]]:
    """For each error and set of points the best network, and how many are as good."""
    networks = runs[runs["network"] != GRID]
    for quantity, name in NAMES.items():
        row = {"error": name}
        for points, words in SETS.items():
            best, *equals = best_of(compare(log_errors(networks, [f"{points}nmse_{quantity}"])))
            row[words] = f"{best}, with {len(equals)} more" if equals else f"**{best}**"
        yield row


def _equals(runs: pd.DataFrame) -> Iterator[str]:
    """Of the errors between pixels and frames, all that are as good as the best."""
    networks = runs[runs["network"] != GRID]
    worse = set(networks["network"])
    for quantity, name in NAMES.items():
        found = best_of(compare(log_errors(networks, [f"heldout_nmse_{quantity}"])))
        worse -= set(found)
        told = "the best alone" if len(found) == 1 else "cannot be told apart"
        yield f"- {name}: {', '.join(found)} ({told})"
    yield f"- worse than the best on each of the four: {', '.join(sorted(worse)) or 'none'}"


def _splines(overall: pd.DataFrame) -> str:
    """How the splines stand to the best network, over all four errors."""
    first, second = overall.index[:2]
    if first != GRID:
        times = with_limits(overall.loc[GRID])
        return f"The splines have {times} times the errors of the best, {first}."
    times = with_limits(overall.loc[second])
    return f"The best network, {second}, has {times} times the errors of the splines."


def _error_rows(tables: dict[str, pd.DataFrame]) -> Iterator[dict[str, str]]:
    for network in tables["overall"].index:
        row = {"network": network}
        for name, table in tables.items():
            one = table.loc[network]
            ratio = "" if one["ratio"] == 1 else f", {with_limits(one)}"
            row[NAMES.get(name, "all four")] = f"{one['error']:.2e}{ratio}"
        yield row


def _set_rows(runs: pd.DataFrame, order: pd.Index) -> Iterator[dict[str, str]]:
    by_set = {
        name: np.exp(log_errors(runs, [f"{points}nmse_{q}" for q in QUANTITIES]).mean(axis=1))
        for points, name in SETS.items()
    }
    for network in order:
        yield {"network": network} | {name: f"{by_set[name][network]:.2e}" for name in by_set}


def _setting_rows(runs: pd.DataFrame) -> Iterator[dict[str, str]]:
    for network, row in runs.groupby("network", sort=False)[[*SETTINGS]].first().iterrows():
        if network != GRID:
            yield {"network": str(network)} | {each: f"{row[each]:g}" for each in SETTINGS}


def draw(runs: pd.DataFrame) -> Figure:
    """Each network's error over that of the best one: a dot an image, and the mean's interval."""
    style.use_style()
    tables = {q: compare(log_errors(runs, [f"heldout_nmse_{q}"])) for q in QUANTITIES}
    order = list(compare(log_errors(runs, HELD_OUT)).index)[::-1]
    figure = Figure(figsize=(11, 6.2), layout="constrained")
    panels = figure.subplots(1, len(tables), sharey=True)
    for axes, (quantity, name), table in zip(panels, NAMES.items(), tables.values(), strict=True):
        errors = log_errors(runs, [f"heldout_nmse_{quantity}"])
        ratios = np.exp(errors - errors.loc[table.index[0]]).loc[order]
        for place, network in enumerate(order):
            one = table.loc[network]
            axes.plot(
                ratios.loc[network], [place] * ratios.shape[1], "o", color="0.75", markersize=4
            )
            axes.plot([one["low"], one["high"]], [place, place], color="#0072B2", linewidth=2)
            axes.plot(one["ratio"], place, "D", color="#0072B2", markersize=5)
        axes.axvline(1, color="0.5", linewidth=0.8)
        axes.set(xscale="log", title=name, xlabel=f"error / that of {table.index[0]}")
    panels[0].set_yticks(range(len(order)), order)
    return figure
