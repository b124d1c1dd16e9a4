"""Which figures a sweep gets; draw those that are due, in as many processes as there are cores."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from types import ModuleType

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
from postprocess.stats.factors import Variation, find_variation, name_targets, target_folder
from postprocess.stats.fields import IMAGE
from postprocess.stats.ranking import over_targets
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
# of several targets, some show all in panels of their own; some one, and some of these also what
# comes out over all
_PANELS = (learning_curves, final_values, improvement)
_OVER_ALL = (overview, loss_weights)
_WORTHWHILE = 4  # figures a process: its start costs as much as drawing two or three
_TIMEOUT = 600.0  # seconds for one figure


def plan_figures(merged: MergedSweep) -> Drawings:
    """Every figure of a sweep, in the order of importance.

    Of several targets, those of one are called ``targets/<target>/<name>``.
    """
    variation = find_variation(merged.readable)
    target = variation.target
    if target is None:
        return _plan(_MODULES, merged, variation)
    plans = _plan(_PANELS, merged, variation)
    common = over_targets(merged.readable, variation)
    if len(common):
        over = variation.select(common.index)
        scale = f"geometric means over {name_targets(target)}"
        plans = _plan(_OVER_ALL, replace(merged, runs=common), over, scale) | plans
    single = [module for module in _MODULES if module not in _PANELS]
    for level, runs in variation.by_target(merged.readable).items():
        scale = "" if target.key == IMAGE else f"{target.label}: {level}"
        own = _plan(single, replace(merged, runs=runs), variation.select(runs.index), scale)
        plans |= {f"{target_folder(level)}/{name}": draw for name, draw in own.items()}
    return plans


def _plan(
    modules: Iterable[ModuleType], merged: MergedSweep, variation: Variation, scale: str = ""
) -> dict[str, Callable[[], Figure]]:
    scale = " · ".join(filter(None, [scale, study_scale(merged.readable)]))
    return {
        name: partial(lambda draw: state_scale(draw(), scale), draw)
        for module in modules
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
    if not only:
        _remove_others(layout.figures, every)
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


def _remove_others(folder: Path, planned: Collection[str]) -> None:
    """Remove figures drawn here earlier that the sweep no longer gets, since runs were dropped.

    Or added: of several targets, many figures are drawn for each.
    """
    for path in sorted(folder.rglob("*.png")):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name not in planned and style.is_ours(path):
            for suffix in style.FORMATS:
                path.with_suffix(f".{suffix}").unlink(missing_ok=True)


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
