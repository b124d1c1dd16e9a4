"""Make the videos of a sweep that are due."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

from inr.errors import UsageError
from inr.files import replace_atomically
from inr.layout import SweepLayout
from inr.results import ResultsError, open_run
from postprocess.merged import MergedSweep
from postprocess.terminal import track
from postprocess.video_canvas import Canvas
from postprocess.video_encoder import Format, encode
from postprocess.video_frames import RunFrames


@dataclass(frozen=True)
class Outcome:
    """What `write_videos` did."""

    written: list[Path]
    kept: int  # files that were up to date
    failed: list[str]  # one line for each run whose frames cannot be read


def write_videos(
    layout: SweepLayout,
    merged: MergedSweep,
    *,
    name: str = "",
    formats: Sequence[Format],
    fps: float,
    force: bool = False,
) -> Outcome:
    """Make the videos of all runs whose name contains ``name`` and whose results are newer.

    Raises:
        UsageError: no run has such a name.
        UserError: a file cannot be written.
    """
    chosen = merged.readable
    chosen = chosen[chosen["name"].str.contains(name, regex=False)]
    if chosen.empty:
        raise UsageError(
            f"--run {name}: no readable run of {layout.root} has that in its name. "
            f"One that exists: {merged.readable['name'].iloc[0]}"
        )
    mpl.use("agg")
    outcome = Outcome([], 0, [])
    kept = 0
    for run in track(list(chosen.to_dict("records")), "making videos"):
        outputs: dict[Format, Path] = {f: layout.videos / f"{run['name']}.{f}" for f in formats}
        source = layout.root / run["results"]
        due = {f: path for f, path in outputs.items() if force or not _is_newer(path, source)}
        kept += len(outputs) - len(due)
        if not due:
            continue
        try:
            _write_video(source, run, due, fps)
            outcome.written.extend(due.values())
        except ResultsError as error:
            outcome.failed.append(f"{run['name']}: {error}")
    return Outcome(outcome.written, kept, outcome.failed)


def _write_video(
    source: Path, run: dict[str, Any], outputs: dict[Format, Path], fps: float
) -> None:
    """Render one run once and encode it in every format of ``outputs``."""
    sigmas = (float(run["data.sigma_start"]), float(run["data.sigma_end"]))
    with open_run(source) as file:
        frames = RunFrames(file)
        canvas = Canvas(frames, run["name"], sigmas)
        with ExitStack() as stack:
            temporary = {f: stack.enter_context(replace_atomically(p)) for f, p in outputs.items()}
            encode(canvas.draw(), canvas.size, len(frames), fps, temporary)


def _is_newer(path: Path, source: Path) -> bool:
    return path.is_file() and path.stat().st_mtime_ns >= source.stat().st_mtime_ns
