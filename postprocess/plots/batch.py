"""Draw the figures of a sweep that are due, in as many processes as there are cores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from inr.errors import UserError
from inr.storage.paths import SweepLayout
from postprocess.command_line import track
from postprocess.dataset.read import MergedSweep, read_merged
from postprocess.plots import style
from postprocess.plots.registry import Plan, plan_figures
from postprocess.worker_pool import ChildLostError, run_isolated, usable_cores

_WORTHWHILE = 4  # figures a process: its start costs as much as drawing two or three
_TIMEOUT = 600.0  # seconds for one figure


@dataclass(frozen=True)
class Outcome:
    """What `write_figures` did."""

    written: list[Path]
    kept: int  # files that were up to date


@dataclass(frozen=True)
class FigureJob:
    """One figure to draw, in all formats."""

    sweep: Path  # root of the sweep, already merged
    name: str  # of the plan
    formats: tuple[str, ...]


def write_figures(
    layout: SweepLayout,
    merged: MergedSweep,
    *,
    formats: Sequence[str] = style.FORMATS,
    only: str = "",
    force: bool = False,
) -> Outcome:
    """Draw the figures whose name contains ``only`` and that are older than the merged file.

    Raises:
        UserError: a file cannot be written.
    """
    plans = [plan for plan in plan_figures(merged) if only in plan.name]
    due = [plan for plan in plans if force or not _is_current(layout, merged, plan, formats)]
    workers = min(usable_cores(), len(due) // _WORTHWHILE)
    if workers > 1:
        jobs = [FigureJob(layout.root, plan.name, tuple(formats)) for plan in due]
        written = _draw_in_children(jobs, workers)
    else:
        style.use_style()
        written = []
        for plan in track(due, "drawing figures"):
            written += _draw(plan, layout, formats)
    return Outcome(written, (len(plans) - len(due)) * len(formats))


def _draw_in_children(jobs: Sequence[FigureJob], workers: int) -> list[Path]:
    """Draw figures in child processes; their paths in the order of ``jobs``."""
    done = run_isolated(draw_figure, jobs, workers=workers, timeout=_TIMEOUT)
    written: list[Path] = []
    for job, paths in zip(jobs, track(done, "drawing figures", total=len(jobs)), strict=True):
        if isinstance(paths, ChildLostError):
            path = SweepLayout(job.sweep).figures / job.name
            raise UserError(f"{path}: cannot be drawn: {paths}")
        written += paths
    return written


def draw_figure(job: FigureJob) -> list[Path]:
    """Draw one figure, in a child process; the paths written.

    Raises:
        UserError: a file cannot be written.
    """
    return _draw(_plans(job.sweep)[job.name], SweepLayout(job.sweep), job.formats)


@lru_cache(maxsize=1)
def _plans(sweep: Path) -> dict[str, Plan]:
    """All figures of a sweep by name; a child draws several of the same sweep."""
    style.use_style()
    return {plan.name: plan for plan in plan_figures(read_merged(SweepLayout(sweep)))}


def _draw(plan: Plan, layout: SweepLayout, formats: Sequence[str]) -> list[Path]:
    return style.save(plan.draw(), layout.figures / plan.name, formats)


def _is_current(
    layout: SweepLayout, merged: MergedSweep, plan: Plan, formats: Sequence[str]
) -> bool:
    source = merged.path.stat().st_mtime_ns
    paths = [layout.figures / f"{plan.name}.{suffix}" for suffix in formats]
    return all(path.is_file() and path.stat().st_mtime_ns >= source for path in paths)
