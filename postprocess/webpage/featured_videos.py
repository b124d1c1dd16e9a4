"""Videos that tell of the whole sweep: best, median and worst run, side by side, and a zoom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from inr.storage.paths import SweepLayout
from postprocess.dataset.read import MergedSweep
from postprocess.stats.ranking import OVERALL, add_scores
from postprocess.video.plans import comparison_target, is_newer, output_path, zoom_target
from postprocess.video.selection import ROLES, choose_by_role, order_runs
from postprocess.webpage.wording import number


@dataclass(frozen=True)
class Clip:
    """A video, and what it shows."""

    name: str  # of the run, or of both
    title: str  # why it is shown
    caption: str
    path: Path
    whole_run: bool = True  # all that a video of the run itself would show


def find_highlights(layout: SweepLayout, merged: MergedSweep) -> list[Clip]:
    """Those that exist. A video that ranks runs counts only if it was made since the last merge."""
    if merged.readable.empty:
        return []
    root = layout.videos.resolve()
    found = [*_roles(layout, merged), *_comparison(layout, merged), *_zoom(layout, merged)]
    return [h for h in found if h.path.resolve().is_relative_to(root)]


def _roles(layout: SweepLayout, merged: MergedSweep) -> Iterator[Clip]:
    errors = add_scores(merged.runs).set_index("name")[OVERALL.column]
    for role in ROLES:
        path = output_path(layout.videos / role, "mp4")
        if is_newer(path, [merged.path]):
            run = choose_by_role(layout, merged, role)
            caption = f"Error over all {number(errors[run.name])}"
            yield Clip(run.name, _sentence(run.role), caption, path)


def _comparison(layout: SweepLayout, merged: MergedSweep) -> Iterator[Clip]:
    path = output_path(comparison_target(layout, "best", "worst"), "mp4")
    if is_newer(path, [merged.path]):
        best, worst = (choose_by_role(layout, merged, role).name for role in ("best", "worst"))
        caption = "The exact diffusion above, below it the best run (A) and the worst (B)"
        yield Clip(f"{best}, {worst}", "Best and worst run", caption, path, whole_run=False)


def _zoom(layout: SweepLayout, merged: MergedSweep) -> Iterator[Clip]:
    """The zoom into the best run that has one."""
    for name in order_runs(merged.readable)["name"]:
        path = output_path(zoom_target(layout, name), "mp4")
        if path.is_file():
            caption = (
                "Zooming in while time runs to the last frame and back: pixels of the sequence on "
                "the left, the network on the right; the value above, a derivative below"
            )
            title = "Between the pixels and between the frames"
            yield Clip(name, title, caption, path, whole_run=False)
            return


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
