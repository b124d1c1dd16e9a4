"""The figure of the derivatives benchmark: time of a step, and speed by width."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

# Okabe and Ito's colours, told apart by people of all kinds of colour vision
OURS, PEERS, FLOOR = "#0072B2", "#999999", "#E69F00"
LINES = {
    "ours, compiled": ("#0072B2", "o"),
    "ours": ("#56B4E9", "s"),
    "forward Laplacian, compiled": ("#009E73", "^"),
    "folx, jax.jit": ("#CC79A7", "v"),
    "torch.func": ("#D55E00", "D"),
}


def draw(document: Mapping[str, Any], path: Path) -> None:
    """Write the figure of a finished benchmark."""
    by_width = document["tables"].get("By width", [])
    columns = 2 if by_width else 1
    figure, axes = plt.subplots(1, columns, figsize=(5.6 * columns, 3.6), squeeze=False)
    _bars(axes[0, 0], document["tables"]["The step"][0])
    if by_width:
        _speed_by_width(axes[0, 1], by_width)
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _bars(axis: plt.Axes, case: Mapping[str, Any]) -> None:
    rows = case["rows"][::-1]
    names = [row["contestant"] for row in rows]
    colours = [
        OURS if n.startswith("ours") else FLOOR if n.startswith(("bare", "pixels")) else PEERS
        for n in names
    ]
    times = [1e3 * row["median_s"] for row in rows]
    spread = [1e3 * row["spread_s"] for row in rows]
    bars = axis.barh(names, times, xerr=spread, color=colours)
    axis.bar_label(bars, labels=[f"{t:.0f}" for t in times], padding=4, fontsize=8)
    axis.margins(x=0.12)
    axis.set_xlabel("time of one training step, ms")
    axis.set_title(case["case"], fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def _speed_by_width(axis: plt.Axes, cases: list[Mapping[str, Any]]) -> None:
    for name, (colour, marker) in LINES.items():
        speeds = []
        for case in cases:
            medians = {row["contestant"]: row["median_s"] for row in case["rows"]}
            if name in medians:
                speeds.append((case["width"], medians["nested autograd"] / medians[name]))
        if speeds:
            axis.plot(*zip(*speeds, strict=True), color=colour, marker=marker, label=name)
    axis.axhline(1, color="black", linewidth=0.8, linestyle=":")
    axis.set_xscale("log", base=2)
    widths = [case["width"] for case in cases]
    axis.set_xticks(widths, [str(width) for width in widths])
    axis.set_ylim(bottom=0)
    axis.set_xlabel("width, units per hidden layer")
    axis.set_ylabel("speed over nested autograd")
    axis.legend(fontsize=8, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
