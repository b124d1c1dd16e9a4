"""Which figures a sweep gets; draw those that are due, in as many processes as there are cores."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from matplotlib.figure import Figure

from inr.errors import UsageError, UserError
from inr.progress import track
from inr.storage.paths import SweepLayout
from postprocess.dataset.merged_sweep import MergedSweep, read_merged
from postprocess.plots import (
    final_values,
    improvement,
    learning_curves,
    loss_composition,
    loss_weights,
    overview,
    scatter,
    style,
)
from postprocess.plots.layout import Drawings, state_scale, study_scale
from postprocess.stats.factors import find_variation
from postprocess.worker_pool import ChildLostError, run_isolated, usable_cores

# modules with figures, the most important ones first
_MODULES = (
    overview,
    learning_curves,
    final_values,
    scatter,
    improvement,
    loss_weights,
    loss_composition,
)
_WORTHWHILE = 4  # figures a process: its start costs as much as drawing two or three
_TIMEOUT = 600.0  # seconds for one figure


def plan_figures(merged: MergedSweep) -> Drawings:
    """Every figure of a sweep, in the order of importance."""
    variation = find_variation(merged.readable)
    scale = study_scale(merged.readable)

    def with_scale(draw: Callable[[], Figure]) -> Callable[[], Figure]:
        return lambda: state_scale(draw(), scale)

    return {
        name: with_scale(draw)
        for module in _MODULES
        for name, draw in module.figures(merged, variation).items()
    }


def write_figures(
    layout: SweepLayout,
    merged: MergedSweep,
    *,
    formats: Sequence[str] = style.FORMATS,
    only: str = "",
    force: bool = False,
) -> tuple[list[Path], int]:
    """Draw the figures whose name contains ``only`` and that are older than the merged file.

    Returns the files written, and how many were up to date. Raises `UsageError` if no name
    contains ``only``, `UserError` if a figure cannot be written.
    """
    source = merged.path.stat().st_mtime_ns

    def is_current(name: str) -> bool:
        paths = [layout.figures / f"{name}.{suffix}" for suffix in formats]
        return all(path.is_file() and path.stat().st_mtime_ns >= source for path in paths)

    every = plan_figures(merged)
    plans = {name: draw for name, draw in every.items() if only in name}
    if not plans:
        raise UsageError(
            f"--only {only}: no figure has that in its name. Allowed: {', '.join(every)}"
        )
    due = [name for name in plans if force or not is_current(name)]
    workers = min(usable_cores(), len(due) // _WORTHWHILE)
    drawn: Iterable[list[Path] | ChildLostError]
    if workers > 1:
        jobs = [(layout.root, name, tuple(formats)) for name in due]
        drawn = run_isolated(draw_figure, jobs, workers=workers, timeout=_TIMEOUT)
    else:
        style.use_style()
        drawn = (style.save(plans[name](), layout.figures / name, formats) for name in due)
    written: list[Path] = []
    for name, paths in zip(due, track(drawn, "drawing figures", total=len(due)), strict=True):
        if isinstance(paths, ChildLostError):
            raise UserError(f"{layout.figures / name}: cannot be drawn: {paths}")
        written += paths
    return written, (len(plans) - len(due)) * len(formats)


def draw_figure(job: tuple[Path, str, Sequence[str]]) -> list[Path]:
    """Draw a figure, given the root of its merged sweep, its name and formats; in a child process.

    Returns the paths written. Raises `UserError` if a file cannot be written.
    """
    root, name, formats = job
    return style.save(_plans(root)[name](), SweepLayout(root).figures / name, formats)


@lru_cache(maxsize=1)
def _plans(root: Path) -> Drawings:
    """All figures of a sweep; a child draws several of the same sweep."""
    style.use_style()
    return plan_figures(read_merged(SweepLayout(root)))
