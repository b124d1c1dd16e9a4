"""Where everything of a sweep lies on disk. The one place that knows file names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from inr.errors import UsageError

OUTPUTS = "outputs"  # default parent of all sweeps, below the current directory


@dataclass(frozen=True)
class RunLayout:
    """Files of one run. ``root`` is ``<sweep>/runs/<name>``."""

    root: Path

    @property
    def results(self) -> Path:
        """Metric series and frames: the results contract, see `inr.results`."""
        return self.root / "run.h5"

    @property
    def damaged(self) -> Path:
        """A results file that could not be read, set aside so that the run is trained again."""
        return self.root / "run.h5.damaged"

    @property
    def model(self) -> Path:
        """The trained network, read back by `inr.load`."""
        return self.root / "model.pt"

    @property
    def checkpoint(self) -> Path:
        """State of the run while it is unfinished."""
        return self.root / "checkpoint.pt"

    @property
    def lock(self) -> Path:
        """Who writes the run, and when it last gave a sign of life."""
        return self.root / "run.lock"

    @property
    def attempts(self) -> Path:
        """Every attempt at the run and how it ended."""
        return self.root / "attempts.jsonl"

    @property
    def progress(self) -> Path:
        """Small JSON file, rewritten while the run trains."""
        return self.root / "progress.json"

    @property
    def error(self) -> Path:
        """Traceback of the last failed attempt, if there was one."""
        return self.root / "error.txt"


@dataclass(frozen=True)
class SweepLayout:
    """Files of one sweep. ``root`` is usually ``outputs/<sweep>``."""

    root: Path

    @property
    def name(self) -> str:
        """Name of the sweep."""
        return self.root.resolve().name

    @property
    def specification(self) -> Path:
        """The sweep file as it was resolved at launch."""
        return self.root / "sweep.yaml"

    @property
    def index(self) -> Path:
        """Every run of the sweep: id, name, task, configuration."""
        return self.root / "index.json"

    @property
    def submitit(self) -> Path:
        """Logs and task files of submitit."""
        return self.root / "submitit"

    def submission(self, token: str) -> Path:
        """What one job array trains: its runs, in the order of its tasks."""
        return self.submissions / f"{token}.json"

    @property
    def submissions(self) -> Path:
        """Parent of the files that say what each job trains."""
        return self.root / "submissions"

    @property
    def code(self) -> Path:
        """Parent of the snapshots of the code that was launched."""
        return self.root / "code"

    @property
    def launch_lock(self) -> Path:
        """Who is launching this sweep just now."""
        return self.root / "launch.lock"

    @property
    def finished(self) -> Path:
        """What `jobs.finished` remembers of finished runs. May be deleted at any time."""
        return self.root / ".finished.json"

    @property
    def compiled(self) -> Path:
        """Compiled training steps, shared by the tasks. May be deleted at any time."""
        return self.root / ".compiled"

    @property
    def pack_timings(self) -> Path:
        """What was measured to choose how packs are trained. May be deleted at any time."""
        return self.root / ".pack_timings.json"

    @property
    def runs(self) -> Path:
        """Parent of all run directories."""
        return self.root / "runs"

    @property
    def merged(self) -> Path:
        """All runs in one HDF5 file."""
        return self.root / "merged.h5"

    @property
    def merge_parts(self) -> Path:
        """What a merge that is under way, or was cut off, has collected."""
        return self.root / ".merge"

    @property
    def merge_lock(self) -> Path:
        """Held while merging."""
        return self.root / "merge.lock"

    @property
    def summary(self) -> Path:
        """One row per run."""
        return self.root / "summary.csv"

    @property
    def figures(self) -> Path:
        """Comparison figures."""
        return self.root / "figures"

    @property
    def videos(self) -> Path:
        """Videos of runs, in the same subdirectories as ``runs/``, comparisons and zooms."""
        return self.root / "videos"

    @property
    def report(self) -> Path:
        """One page on all of it."""
        return self.root / "report.html"

    def run(self, name: str) -> RunLayout:
        """Files of the run called ``name``."""
        return RunLayout(self.runs / name)


def find_sweep(given: str | Path | None) -> SweepLayout:
    """The sweep in directory ``given``, or the newest one below ``outputs/``.

    Raises `UsageError` when there is none.
    """
    if given is not None:
        layout = SweepLayout(Path(given))
        if not layout.index.is_file():
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
