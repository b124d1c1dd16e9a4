"""The videos that a report shows: of the whole sweep first, then of single runs."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from inr.storage.paths import SweepLayout
from postprocess.dataset.merged_sweep import MergedSweep
from postprocess.dataset.run_reader import READABLE
from postprocess.stats.ranking import AWARDS, OVERALL, Ranking, Setting, add_scores
from postprocess.video.selection import (
    ROLES,
    order_runs,
    plan_comparison,
    plan_selection,
    split_targets,
)
from postprocess.webpage.wording import capitalize, describe, number

_MOST_PLAYERS = 8  # up to here every video gets one


@dataclass(frozen=True)
class Clip:
    """A video, and what it shows."""

    name: str  # of the run, or of both
    title: str  # why it is shown
    caption: str
    path: Path
    whole_run: bool = True  # all that a video of the run itself would show


def find_highlights(layout: SweepLayout, merged: MergedSweep) -> list[Clip]:
    """Videos that tell of the whole sweep: best, median and worst run, side by side, and a zoom.

    Of each target those that exist, and one zoom. One that ranks runs counts only if it was made
    since the last merge.
    """
    if merged.readable.empty:
        return []
    errors = add_scores(merged.runs).set_index("name")[OVERALL.column]
    clips, ordered = [], []
    plans = [(plan, "") for plan in plan_selection(layout, merged, ",".join(ROLES))]
    for where, folder, own in split_targets(merged):
        ordered += list(order_runs(own.readable)["name"])
        if len(own.readable) > 1:
            compared = plan_comparison(layout, own, ("best", "worst"), where, folder)
            plans.append((compared, f"Best and worst run{where}"))
    for plan, title in plans:
        if plan.find_due(["mp4"]):
            continue
        first, *second = plan.runs
        caption = f"Error over all {number(errors[first.name])}"
        if second:
            caption = "The target above, below it the best run (A) and the worst (B)"
        names = ", ".join(run.name for run in plan.runs)
        title = title or capitalize(first.role)
        clips.append(Clip(names, title, caption, plan.output("mp4"), whole_run=not second))
    zooms = {name: layout.videos / "zoom" / f"{name}.mp4" for name in ordered}
    if best := next((name for name, path in zooms.items() if path.is_file()), None):
        title = "Between the pixels and between the frames"
        caption = (
            "Zooming in while time runs to the last frame and back: pixels of the sequence on "
            "the left, the network on the right; the value above, a derivative below"
        )
        clips.append(Clip(best, title, caption, zooms[best], whole_run=False))
    return [clip for clip in clips if _is_inside(clip.path, layout)]


def find_videos(layout: SweepLayout, ranking: Ranking) -> dict[str, Path]:
    """The videos of all runs that have one, by name, best settings first."""
    paths = {
        name: layout.videos / f"{name}.mp4"
        for part in ranking.parts
        for setting in part.settings
        for name in setting.runs.loc[setting.runs["status"].isin(READABLE), "name"]
    }
    return {n: path for n, path in paths.items() if path.is_file() and _is_inside(path, layout)}


def _is_inside(path: Path, layout: SweepLayout) -> bool:
    """Whether the file itself, where links lead, lies among the videos of the sweep."""
    return path.resolve().is_relative_to(layout.videos.resolve())


def choose_clips(
    ranking: Ranking, videos: Mapping[str, Path], highlights: Sequence[Clip] = ()
) -> list[Clip]:
    """Videos to show: highlights, then all if they are few, or else those of chosen settings.

    ``videos`` are those of single runs, by name; runs that a highlight shows whole are not shown
    again.
    """
    chosen = _all if len(videos) <= _MOST_PLAYERS else _chosen
    shown = {highlight.name for highlight in highlights if highlight.whole_run}
    clips = [*highlights]
    for target, part in ranking.targets.items() or [("", ranking)]:
        for setting, run, title in chosen(part):
            if run["name"] in videos.keys() - shown:
                words = ", ".join(filter(None, [target, *describe(setting, part.variation.axes)]))
                caption = f"{words}; error over all {number(run[OVERALL.column])}"
                clips.append(Clip(run["name"], capitalize(title), caption, videos[run["name"]]))
    return clips


def _all(ranking: Ranking) -> Iterator[tuple[Setting, pd.Series, str]]:
    """Every run, with its setting and its place."""
    for place, setting in enumerate(ranking.settings, start=1):
        for _, run in setting.runs.iterrows():
            ranked = math.isfinite(run[OVERALL.column])
            yield setting, run, f"rank {place}" if ranked else "diverged"


def _chosen(ranking: Ranking) -> Iterator[tuple[Setting, pd.Series, str]]:
    """A run of each setting that is best at something, in the middle, or last, and why."""
    named = [
        (ranking.best[score.column], f"best {'' if score is OVERALL else 'on '}{score.label}")
        for score in AWARDS
        if score.column in ranking.best
    ]
    if ordered := ranking.ordered(OVERALL):
        named += [
            (ordered[len(ordered) // 2], "in the middle over all"),
            (ordered[-1], "worst over all"),
        ]
    for setting in {id(setting): setting for setting, _ in named}.values():
        which = ", ".join(why for one, why in named if one is setting)
        yield setting, setting.typical, f"a run of the setting that is {which}"
