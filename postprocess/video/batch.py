"""Make the videos of a sweep that are due."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

from inr.files import remove_leftovers, replace_atomically
from inr.results import ResultsError, open_run, read_attributes
from postprocess.command_line import track
from postprocess.dataset.run_frames import RunFrames
from postprocess.video.canvas import Canvas
from postprocess.video.encoder import Format, encode
from postprocess.video.plans import Plan, find_due
from postprocess.worker_pool import ChildLostError, run_isolated

_TIMEOUT = 3600.0  # seconds for one video


@dataclass(frozen=True)
class Outcome:
    """What `write_videos` did."""

    written: list[Path]
    kept: int  # files that were up to date
    failed: list[str]  # one line for each video that cannot be made


@dataclass(frozen=True)
class VideoJob:
    """One video to make, in all formats that are due."""

    sources: tuple[Path, ...]  # run.h5: one, or two to compare
    label: str
    title: str
    outputs: dict[Format, Path]
    fps: float


def write_videos(
    plans: Iterable[Plan], *, formats: Sequence[Format], fps: float, force: bool
) -> Outcome:
    """Make the videos of ``plans`` that are older than what they show.

    Raises:
        UserError: a file cannot be written.
    """
    jobs: list[VideoJob] = []
    kept = 0
    for plan in plans:
        due = find_due(plan.target, formats, plan.inputs, force=force)
        kept += len(set(formats)) - len(due)
        sources = tuple(run.results for run in plan.runs)
        if due:
            jobs.append(VideoJob(sources, plan.label, plan.title, due, fps))
    outcome = Outcome([], kept, [])
    done = run_isolated(make_video, jobs, timeout=_TIMEOUT)
    for job, reply in zip(jobs, track(done, "making videos", total=len(jobs)), strict=True):
        reason = reply
        if isinstance(reply, ChildLostError):
            reason = str(reply)
            for path in job.outputs.values():
                remove_leftovers(path)
        if reason:
            outcome.failed.append(f"{job.label}: {reason}")
        else:
            outcome.written.extend(job.outputs.values())
    return outcome


def make_video(job: VideoJob) -> str:
    """Make one video, in a child process; why the results cannot be shown, or "".

    Raises:
        UserError: a file cannot be written.
    """
    mpl.rcdefaults()  # nothing from a matplotlibrc of the user's
    try:
        _write_video(job)
    except ResultsError as error:
        return str(error).removeprefix(f"{job.sources[0]}: ")
    return ""


def _write_video(job: VideoJob) -> None:
    """Render the runs once and encode them in every format that is wanted."""
    with ExitStack() as stack:
        files = [stack.enter_context(open_run(source)) for source in job.sources]
        first, *others = [RunFrames(file) for file in files]
        for other in others:
            first.check_same_target(other)
        data = read_attributes(files[0])["config"]["data"]
        sigmas = (float(data["sigma_start"]), float(data["sigma_end"]))
        canvas = Canvas(first, job.title, sigmas, *others)
        temporary = {
            f: stack.enter_context(replace_atomically(path)) for f, path in job.outputs.items()
        }
        encode(canvas.draw(), canvas.size, len(first), job.fps, temporary)
