"""Thresholds, tables and the figure of the benchmark of time to quality."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter

from inr.quantities import QUANTITIES
from tests.benchmarks.quality_training import Curve

# of Okabe and Ito 2008: told apart with any colour vision
COLOURS = {"reference": "#D55E00", "recommended": "#0072B2"}
Curves = Mapping[tuple[str, str, int], Curve]  # recipe, image, seed


def thresholds(references: Iterable[Curve]) -> dict[str, float]:
    """What has to be reached: the best error of each quantity at any look, median of the seeds.

    The best is never above the last: a reference that was better on its way counts as it was.
    """
    curves = list(references)
    return {
        quantity: statistics.median(min(curve.errors[quantity]) for curve in curves)
        for quantity in QUANTITIES
    }


def reached(curve: Curve, wanted: Mapping[str, float]) -> tuple[float, float]:
    """(seconds, steps) at the look from which on all four errors stay within ``wanted``.

    Infinite if they are not within it at the end. A look that was good by chance does not count.
    """
    found = (math.inf, math.inf)
    for look in reversed(range(len(curve.steps))):
        if not all(curve.errors[quantity][look] <= limit for quantity, limit in wanted.items()):
            break
        found = (curve.seconds[look], float(curve.steps[look]))
    return found


def select(curves: Curves, recipe: str, image: str) -> list[Curve]:
    """The curves of all seeds."""
    return [curve for (r, i, _), curve in curves.items() if (r, i) == (recipe, image)]


def last_errors(curves: Sequence[Curve]) -> list[float]:
    """Errors at the end, median of the seeds, in the order of `QUANTITIES`."""
    return [statistics.median(c.errors[quantity][-1] for c in curves) for quantity in QUANTITIES]


def contest_rows(curves: Curves, images: Sequence[str]) -> list[dict[str, str]]:
    """One row an image: what was to be reached, when it was, and what came after."""
    rows = []
    for image in images:
        references, ours = (select(curves, recipe, image) for recipe in COLOURS)
        wanted = thresholds(references)
        times = [reached(curve, wanted)[0] for curve in ours]
        limit = statistics.median(curve.seconds[-1] for curve in references)
        middle = statistics.median(times)
        rows.append(
            {
                "image": image,
                f"reference within {limit:.0f} s: {_NAMES}": _errors(list(wanted.values())),
                "recommended has all four for good after, s (each seed)": (
                    f"**{_number(middle)}** ({', '.join(map(_number, times))})"
                ),
                "times faster": _number(limit / middle),
                "recommended at its end": _errors(last_errors(ours)),
                "end, s": _number(statistics.median(curve.seconds[-1] for curve in ours)),
            }
        )
    return rows


def ablation_rows(
    curves: Curves, recipes: Sequence[str], images: Sequence[str]
) -> list[dict[str, str]]:
    """One row a recipe: steps and seconds to the reference's quality, and errors at the end.

    ``recipes`` starts with the recommended one, to which the others are compared.
    """
    wanted = {image: thresholds(select(curves, "reference", image)) for image in images}
    ends = {
        (recipe, image): last_errors(select(curves, recipe, image))
        for recipe in recipes
        for image in images
    }
    rows = []
    for recipe in recipes:
        row = {"recipe": recipe}
        for image in images:
            found = [reached(curve, wanted[image]) for curve in select(curves, recipe, image)]
            seconds, steps = (statistics.median(column) for column in zip(*found, strict=True))
            row[f"{image}: s (steps)"] = f"{_number(seconds)} ({_number(steps)})"
        ratios = [
            math.log(mine / best)
            for image in images
            for mine, best in zip(ends[recipe, image], ends[recipes[0], image], strict=True)
        ]
        row["errors at the end / the recipe's"] = f"{math.exp(statistics.fmean(ratios)):.2f}"
        rows.append(row)
    return rows


_NAMES = "value, gradient, Laplacian, time derivative"


def _errors(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.2g}" for value in values)


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "never"
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}" if value < 1 else f"{value:.1f}"


def draw(curves: Curves, images: Sequence[str], path: Path) -> None:
    """Error against seconds of training: a row an image, a column a quantity, a line a seed."""
    figure, axes = plt.subplots(
        len(images),
        len(QUANTITIES),
        figsize=(3.1 * len(QUANTITIES), 2.4 * len(images) + 0.6),
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    for line, image in zip(axes, images, strict=True):
        wanted = thresholds(select(curves, "reference", image))
        for panel, quantity in zip(line, QUANTITIES, strict=True):
            for recipe, colour in COLOURS.items():
                for number, curve in enumerate(select(curves, recipe, image)):
                    label = recipe if number == 0 else None
                    style = "--" if recipe == "reference" else "-"
                    panel.loglog(
                        curve.seconds,
                        curve.errors[quantity],
                        style,
                        color=colour,
                        lw=1.3,
                        label=label,
                    )
            panel.axhline(wanted[quantity], color="0.5", lw=0.8, ls=":", label="to be reached")
            panel.grid(alpha=0.25, which="major")
    for panel, quantity in zip(axes[0], QUANTITIES, strict=True):
        panel.set_title(quantity.replace("_", " "))
    for panel in axes[-1]:
        panel.set_xlabel("training (s)")
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        panel.xaxis.set_major_formatter("{x:g}")
        panel.xaxis.set_minor_formatter(NullFormatter())
    for line, image in zip(axes, images, strict=True):
        line[0].set_ylabel(f"{image}\nheld-out error / variance")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
