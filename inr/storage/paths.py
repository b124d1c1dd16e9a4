"""Where everything of a sweep lies on disk. The one place that knows file names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from inr.errors import UsageError
from inr.files import exists

OUTPUTS = "outputs"  # default parent of all sweeps, below the current directory


class _Below:
    """A file or directory with a fixed name below the ``root`` of a layout."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, layout: RunLayout | SweepLayout, owner: type) -> Path:
        return layout.root / self._name


@dataclass(frozen=True)
class RunLayout:
    """Files of one run. ``root`` is ``<sweep>/runs/<name>``."""

    root: Path

    results = _Below("run.h5")  # Metric series and frames: the results contract, see `inr.results`.
    damaged = _Below("run.h5.damaged")  # Results that could not be read, set aside.
    model = _Below("model.pt")  # The trained network, read back by `inr.load`.
    checkpoint = _Below("checkpoint.pt")  # State of the run while it is unfinished.
    lock = _Below("run.lock")  # Who writes the run, and when it last gave a sign of life.
    attempts = _Below("attempts.jsonl")  # Every attempt at the run and how it ended.
    progress = _Below("progress.json")  # Small JSON file, rewritten while the run trains.
    error = _Below("error.txt")  # Traceback of the last failed attempt, if there was one.


@dataclass(frozen=True)
class SweepLayout:
    """Files of one sweep. ``root`` is usually ``outputs/<sweep>``."""

    root: Path

    @property
    def name(self) -> str:
        """Name of the sweep."""
        return self.root.resolve().name

    specification = _Below("sweep.yaml")  # The sweep file as it was resolved at launch.
    index = _Below("index.json")  # Every run of the sweep: id, name, task, configuration.
    submitit = _Below("submitit")  # Logs and task files of submitit.
    submissions = _Below("submissions")  # Parent of the files that say what each job trains.
    code = _Below("code")  # Parent of the snapshots of the code that was launched.
    launch_lock = _Below("launch.lock")  # Who is launching this sweep just now.
    # These two may be deleted at any time.
    finished = _Below(".finished.json")  # What is known of finished runs, see `jobs.managing`.
    compiled = _Below(".compiled")  # Compiled training steps, shared by the tasks.
    runs = _Below("runs")  # Parent of all run directories.
    merged = _Below("merged.h5")  # All runs in one HDF5 file.
    merge_lock = _Below("merge.lock")  # Held while merging.
    summary = _Below("summary.csv")  # One row per run.
    figures = _Below("figures")  # Comparison figures.
    videos = _Below("videos")  # Of runs, in subdirectories as below ``runs/``; comparisons, zooms.
    report = _Below("report.html")  # One page on all of it.

    def submission(self, token: str) -> Path:
        """What one job array trains: its runs, in the order of its tasks."""
        return self.submissions / f"{token}.json"

    def run(self, name: str) -> RunLayout:
        """Files of the run called ``name``."""
        return RunLayout(self.runs / name)


def find_sweep(given: str | Path | None) -> SweepLayout:
    """The sweep in directory ``given``, or the newest one below ``outputs/``.

    Raises `UsageError` when there is none.
    """
    if given is not None:
        layout = SweepLayout(Path(given))
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
