"""The scale of a study in one line: what all its runs have in common and a reader must know."""

from __future__ import annotations

import textwrap
from pathlib import PurePath

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from postprocess.plots import style
from postprocess.stats.factors import PROTOCOL, SEED

_SIZE = 6.0  # pt
_LINE = 0.115  # inches that a line of it takes
_GAP = 0.05  # inches
_LETTERS_PER_INCH = 22


def study_scale(runs: pd.DataFrame) -> str:
    """Image, network, length and seeds of ``runs``, as far as all runs share them.

    For example ``camera 64 px · 4 hidden layers of 128 · 1,000 steps · 3 seeds``. Settings that
    differ are left out: figures show them. Runs by the original protocol are called so, since
    their errors are against its own targets.

    Args:
        runs: Rows of ``/runs``; the columns are paths of the configuration, any may be missing.
    """
    shared = {
        name: runs[name].iloc[0]
        for name in runs.columns
        if name.startswith(("data.", "model.", "training.")) and runs[name].nunique() == 1
    }
    parts = [_image(shared), _network(shared)]
    if "training.steps" in shared:
        parts.append(f"{shared['training.steps']:,.0f} steps")
    if SEED in runs:
        seeds = runs[SEED].nunique()
        parts.append("1 seed" if seeds == 1 else f"{seeds} seeds")
    if shared.get(PROTOCOL) == "original":
        parts.append("original protocol, errors against its own targets")
    return " · ".join(part for part in parts if part)


def _image(shared: dict[str, object]) -> str:
    name = PurePath(str(shared["data.image"])).name if "data.image" in shared else ""
    size = f"{shared['data.size']:g} px" if "data.size" in shared else ""
    return " ".join(part for part in (name, size) if part)


def _network(shared: dict[str, object]) -> str:
    width, depth = shared.get("model.width"), shared.get("model.depth")
    if width is not None and depth is not None:
        return f"{depth:g} hidden layers of {width:g}"
    if width is not None:
        return f"{width:g} units per hidden layer"
    return f"{depth:g} hidden layers" if depth is not None else ""


def state_scale(figure: Figure, scale: str) -> Figure:
    """Add the line to a finished figure, above its legend; returns the figure.

    It becomes the title of the legend, which has a place of its own below the panels.
    """
    if not scale:
        return figure
    width, height = figure.get_size_inches()
    lines = textwrap.wrap(scale, int(width * _LETTERS_PER_INCH))
    (legend,) = figure.legends or [figure.legend([], [], loc="outside lower center")]
    legend.set_title("\n".join(lines), prop=FontProperties(size=_SIZE))
    legend.get_title().set(color=style.NEUTRAL, multialignment="center")
    figure.set_size_inches(width, height + _LINE * len(lines) + _GAP)
    return figure
