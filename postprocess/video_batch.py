"""Make the videos of a sweep that are due."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

from inr.errors import UsageError
from inr.files import remove_leftovers, replace_atomically
from inr.layout import SweepLayout
from inr.results import ResultsError, open_run
from postprocess.isolation import Batch, run_isolated
from postprocess.merged import MergedSweep
from postprocess.terminal import track
from postprocess.video_canvas import Canvas
from postprocess.video_encoder import Format, encode
from postprocess.video_frames import RunFrames

_TIMEOUT = 3600.0  # seconds for one video


@dataclass(frozen=True)
class Outcome:
    """What `write_videos` did."""

    written: list[Path]
    kept: int  # files that were up to date
    failed: list[str]  # one line for each run whose frames cannot be read


@dataclass(frozen=True)
class VideoJob:
    """One video to make, in all formats that are due."""

    source: Path  # run.h5
    name: str
    sigmas: tuple[float, float]  # blur of the first and the last frame, px
    outputs: dict[Format, Path]
    fps: float


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
    jobs: list[VideoJob] = []
    kept = 0
    for run in chosen.to_dict("records"):
        outputs: dict[Format, Path] = {f: layout.videos / f"{run['name']}.{f}" for f in formats}
        source = layout.root / run["results"]
        due = {f: path for f, path in outputs.items() if force or not _is_newer(path, source)}
        kept += len(outputs) - len(due)
        sigmas = (float(run["data.sigma_start"]), float(run["data.sigma_end"]))
        if due:
            jobs.append(VideoJob(source, run["name"], sigmas, due, fps))
    reasons = _make(jobs)
    return Outcome(
        written=[
            path
            for job, reason in zip(jobs, reasons, strict=True)
            if not reason
            for path in job.outputs.values()
        ],
        kept=kept,
        failed=[f"{job.name}: {r}" for job, r in zip(jobs, reasons, strict=True) if r],
    )


def _make(jobs: Sequence[VideoJob]) -> list[str]:
    """Make the videos in child processes; why each failed, or ""."""
    reasons = [""] * len(jobs)
    done = run_isolated(make_video, [Batch(job, 1) for job in jobs], timeout=_TIMEOUT)
    for number, replies in track(done, "making videos", total=len(jobs)):
        (reasons[number],) = replies
    return reasons


def make_video(job: VideoJob, crashed: dict[int, str]) -> Iterator[str]:
    """Make one video, in a child process. Yields why the results cannot be shown, or "".

    Raises:
        UserError: a file cannot be written.
    """
    if crashed:
        for path in job.outputs.values():
            remove_leftovers(path)
        yield crashed[0]
        return
    mpl.use("agg")
    try:
        _write_video(job)
        yield ""
    except ResultsError as error:
        yield str(error).removeprefix(f"{job.source}: ")


def _write_video(job: VideoJob) -> None:
    """Render one run once and encode it in every format that is wanted."""
    with open_run(job.source) as file:
        frames = RunFrames(file)
        canvas = Canvas(frames, job.name, job.sigmas)
        with ExitStack() as stack:
            temporary = {
                f: stack.enter_context(replace_atomically(path)) for f, path in job.outputs.items()
            }
            encode(canvas.draw(), canvas.size, len(frames), job.fps, temporary)


def _is_newer(path: Path, source: Path) -> bool:
    return path.is_file() and path.stat().st_mtime_ns >= source.stat().st_mtime_ns
