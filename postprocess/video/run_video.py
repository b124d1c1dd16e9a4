"""Videos of runs: four panels of the target, and four below it for each network."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import matplotlib as mpl
import numpy as np

from inr.files import remove_leftovers
from inr.progress import track
from inr.quantities import QUANTITIES
from inr.results import ResultsError, open_run
from postprocess.dataset.run_frames import Part, RunFrames
from postprocess.video.canvas import TITLE, Canvas, Layout, place
from postprocess.video.encoder import Format, encode
from postprocess.video.selection import Plan
from postprocess.worker_pool import ChildLostError, run_isolated

BETWEEN = 12  # px between target and first network
ERROR = 34  # px below each network's row
_TIMEOUT = 3600.0  # seconds for one video


Job = tuple[Plan, dict[Format, Path], float]  # what to film, where in each format, frames a second


def write_videos(
    plans: Iterable[Plan], *, formats: Sequence[Format], fps: float, force: bool
) -> tuple[list[Path], int, list[str]]:
    """Make the videos of ``plans`` that are older than what they show.

    Returns the files written, how many were up to date, and a line for each video that cannot be
    made. Raises `UserError` if a file cannot be written.
    """
    jobs: list[Job] = [(plan, plan.find_due(formats, force=force), fps) for plan in plans]
    kept = sum(len(set(formats)) - len(outputs) for _, outputs, _ in jobs)
    jobs = [job for job in jobs if job[1]]
    written: list[Path] = []
    failed: list[str] = []
    done = track(run_isolated(make_video, jobs, timeout=_TIMEOUT), "making videos", len(jobs))
    for (plan, outputs, _), reason in zip(jobs, done, strict=True):
        if isinstance(reason, ChildLostError):
            for path in outputs.values():
                remove_leftovers(path)
        if reason:
            failed.append(f"{plan.label}: {reason}")
        else:
            written += outputs.values()
    return written, kept, failed


def make_video(job: Job) -> str:
    """Make one video, in a child process. Returns why the results cannot be shown, or "".

    Raises `UserError` if a file cannot be written.
    """
    plan, outputs, fps = job
    mpl.rcdefaults()  # nothing from a matplotlibrc of the user's
    sources = [run.results for run in plan.runs]
    try:
        with ExitStack() as stack:
            runs = [RunFrames(stack.enter_context(open_run(source))) for source in sources]
            for rival in runs[1:]:
                runs[0].check_same_target(rival)
            encode(draw_frames(runs, plan.title), len(runs[0]), fps, outputs)
    except ResultsError as error:
        return str(error).removeprefix(f"{sources[0]}: ")
    return ""


def lay_out(shape: tuple[int, int], networks: int = 1, lines: int = 1) -> Layout:
    """Panels in the aspect of an image of these rows and columns, as names and ticks allow.

    ``networks`` are compared; the title has ``lines``.
    """
    aspect = shape[0] / shape[1]
    wanted = min(280, 420 / aspect)
    width, height = max(round(wanted), 170), max(round(wanted * aspect), 60)
    columns = place(44, [width] * 4, [28] * 3)
    top = 92 + (lines - 1) * TITLE  # title, caption, names of the columns
    gaps = [BETWEEN, *[ERROR] * networks]
    *rows, bar = place(top, [*[height] * (1 + networks), 14], gaps)
    end = columns[-1].stop + 24, bar.stop + 62  # ticks and unit of the colour bars
    return Layout(columns, rows, bar, upright=False, end=end)


def draw_frames(runs: Sequence[RunFrames], title: str) -> Iterator[np.ndarray]:
    """Every frame in turn as RGBA [row, column, 4]; valid until the next one is drawn.

    ``runs``: one, or two that learned the same target. Scales are those of the first one's.
    """
    first = runs[0]
    lines = title.splitlines() or [""]
    canvas = Canvas(lay_out(first.shape, len(runs), len(lines)), lines, first.columns)
    for axes, column in zip(canvas.panels[0], first.columns, strict=True):
        axes.set_title(column.title, fontsize=12, pad=7)
    names = ["target", *(["network"] if len(runs) == 1 else ["A", "B"])]
    for row, name in zip(canvas.panels, names, strict=True):
        row[0].set_ylabel(name, fontsize=12, labelpad=8)
    notes = [
        (canvas.add_note(axes), run, column)
        for run, row in zip(runs, canvas.panels[1:], strict=True)
        for axes, column in zip(row, first.columns, strict=True)
    ]
    rows: list[tuple[RunFrames, Part]] = [(first, "target"), *((run, "prediction") for run in runs)]
    for frame, time in enumerate(first.times):
        canvas.caption.set_text(f"frame {frame + 1} of {len(first)}    {first.describe(time)}")
        for note, run, column in notes:
            error = run.error(column, frame)
            note.set_text(f"MSE / variance {error:#.2g}" if np.isfinite(error) else "not finite")
        yield canvas.draw([[run.picture(q, p, frame) for q in QUANTITIES] for run, p in rows])
