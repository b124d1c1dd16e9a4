"""Where everything of a sweep lies on disk. The one place that knows file names."""

import os
from dataclasses import dataclass
from pathlib import Path

from inr.errors import UsageError
from inr.files import exists

OUTPUTS = "outputs"  # default parent of all sweeps, below the current directory


class _Below:
    """A file or directory with a fixed name below the ``root`` of a layout."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, layout: "RunLayout | SweepLayout", owner: type) -> Path:
        return layout.root / self._name


@dataclass(frozen=True)
class RunLayout:
    """Files of one run."""

    root: Path  # ``<sweep>/runs/<name>``

    results = _Below("run.h5")  # metric series and frames: the results contract, see `inr.results`
    damaged = _Below("run.h5.damaged")  # results that could not be read, set aside
    model = _Below("model.pt")  # the trained network, read back by `inr.load`
    checkpoint = _Below("checkpoint.pt")  # state of the run while it is unfinished
    lock = _Below("run.lock")  # who writes the run, and when it last gave a sign of life
    attempts = _Below("attempts.jsonl")  # every attempt at the run and how it ended
    progress = _Below("progress.json")  # small, rewritten while the run trains
    error = _Below("error.txt")  # traceback of the last failed attempt, if there was one


@dataclass(frozen=True)
class SweepLayout:
    """Files of one sweep."""

    root: Path  # usually ``outputs/<sweep>``

    specification = _Below("sweep.yaml")  # the sweep file as it was resolved at the last launch
    index = _Below("index.json")  # every run of the sweep: id, name, task, configuration
    submitit = _Below("submitit")  # logs and task files of submitit
    submissions = _Below("submissions")  # parent of the files that say what each job trains
    code = _Below("code")  # parent of the snapshots of the code that was launched
    launch_lock = _Below("launch.lock")  # who is launching this sweep just now
    # these two may be deleted at any time
    finished = _Below(".finished.json")  # what is known of finished runs, see `jobs.managing`
    compiled = _Below(".compiled")  # compiled training steps, shared by the tasks
    runs = _Below("runs")  # parent of all run directories
    merged = _Below("merged.h5")  # all runs in one HDF5 file
    merge_lock = _Below("merge.lock")  # held while merging
    summary = _Below("summary.csv")  # one row per run
    settings = _Below("settings.csv")  # one row per setting and error
    figures = _Below("figures")  # comparison figures
    videos = _Below("videos")  # of runs, in subdirectories as below ``runs/``; comparisons, zooms
    report = _Below("report.html")  # one page on all of it

    @property
    def name(self) -> str:
        """Name of the sweep."""
        return self.root.resolve().name

    def earlier_specification(self, number: int) -> Path:
        """A sweep file that was launched before another one; 1 is the first."""
        return self.root / f"sweep_{number}.yaml"

    def earlier_specifications(self) -> list[Path]:
        """Those that are there, the last one first."""
        numbers = (path.stem.rpartition("_")[2] for path in self.root.glob("sweep_*.yaml"))
        there = sorted((int(text) for text in numbers if text.isdecimal()), reverse=True)
        return [self.earlier_specification(number) for number in there]

    def submission(self, token: str) -> Path:
        """What one job array trains: its runs, in the order of its tasks."""
        return self.submissions / f"{token}.json"

    def run(self, name: str) -> RunLayout:
        """Files of the run called ``name``."""
        return RunLayout(self.runs / name)


def user_path(text: str) -> Path:
    """A path that a user wrote; a leading ``~`` is a home directory, where there is such a user."""
    return Path(os.path.expanduser(text))  # noqa: PTH111, its counterpart fails for other names


def find_sweep(given: str | Path | None) -> SweepLayout:
    """The sweep in directory ``given``, or the newest one below ``outputs/``.

    Raises `UsageError` when there is none.
    """
    if given is not None:
        layout = SweepLayout(user_path(str(given)))
        if not exists(layout.index):
            what = "holds no index.json" if layout.root.is_dir() else "does not exist"
            raise UsageError(
                f"{given}: not a sweep, it {what}. Give the directory that jobs/launch.py wrote, "
                f"such as {OUTPUTS}/quickstart"
            )
        return layout
    indices = sorted(Path(OUTPUTS).glob("*/index.json"), key=lambda path: path.stat().st_mtime)
    if not indices:
        raise UsageError(
            f"no sweep below {Path(OUTPUTS).resolve()}. Start one with "
            "`python jobs/launch.py --local`, or name the directory of one"
        )
    return SweepLayout(indices[-1].parent)
