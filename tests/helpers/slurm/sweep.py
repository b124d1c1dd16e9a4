"""A small sweep on the test cluster, and how to disturb it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from inr.metrics import METRICS
from inr.quantities import QUANTITIES
from inr.results import BASE_SERIES, open_run, read_series
from inr.storage.attempts import Attempt, read_attempts
from inr.storage.lock import read_owner
from inr.storage.paths import RunLayout, SweepLayout
from inr.storage.provenance import ROOT
from inr.storage.sweep_index import IndexEntry, read_index
from jobs.sweeps.yaml_file import write
from jobs.worker.train import train_runs
from tests.helpers.slurm.commands import ask, wait_for

sys.path.insert(0, str(ROOT / "slurm" / "testbed"))

from local_slurm import Cluster

SECONDS_OF_TRAINING = 5  # about, on one free core
_BASE = {
    "data": {"size": 12, "frames": 2},
    "model": {"width": 8, "depth": 1},
    "training": {"steps": 2000 * SECONDS_OF_TRAINING, "batch": 16},
    "record": {
        "metrics_every": 500 * SECONDS_OF_TRAINING,
        "tensorboard": False,
        "checkpoint_seconds": 1.0,
    },
}
LONGER = {"training.steps": 20_000, "record.metrics_every": 10_000}
LONG = {"training.steps": 60_000, "record.metrics_every": 30_000}  # not to be compared
_PROFILE = {"partition": "main", "account": "lab", "time": 10, "gpus": 0, "cpus": 1}


def urgent_job(nodes: int = 2) -> None:
    """Submit a job that needs whole nodes, and goes before those of scavenge and spot."""
    size = [f"--nodes={nodes}", "--exclusive", "--mem=0", "--time=1"]
    ask("sbatch", "--partition=urgent", "--account=lab", *size, "--output=none", "--wrap=sleep 1")


def cluster() -> Cluster:
    """The running test cluster."""
    return Cluster(Path(os.environ["SLURM_CONF"]).parent)


def stop_daemon(name: str, number: signal.Signals) -> None:
    """Send a signal that ends a daemon of the cluster, and wait until it has ended."""
    pid = cluster().running(name)
    assert pid, f"{name} does not run"
    os.kill(pid, number)
    wait_for(lambda: not cluster().running(name))


def start_daemon(name: str) -> None:
    """Bring a daemon back."""
    cluster().start(name)


@contextmanager
def without(name: str, number: signal.Signals = signal.SIGKILL) -> Iterator[None]:
    """A cluster whose daemon ``name`` is dead inside the block."""
    stop_daemon(name, number)
    try:
        yield
    finally:
        start_daemon(name)


class Sweep:
    """A sweep file, a profile and an output directory of their own.

    Args:
        root: where they lie.
        specification: keys of the sweep file; default: two seeds.
        profile: fields of the profile, over the defaults.
    """

    def __init__(
        self, root: Path, specification: Mapping[str, Any] | None = None, **profile: Any
    ) -> None:
        root.mkdir(exist_ok=True)
        self.file, self.profile = root / "faults.yaml", root / "profile.yaml"
        self.output = root / "out"
        self.layout = SweepLayout(self.output)
        # shared by all tests of a session: most of them train the same two runs
        self.reference = SweepLayout(root.parent / "undisturbed")
        document = {"base": _BASE} | dict(specification or {"seeds": 2})
        self.file.write_text(write(document))
        self.profile.write_text(write(_PROFILE | profile))

    def command(self, *more: str, root: Path = ROOT) -> list[str]:
        """The launch command."""
        script = [sys.executable, str(root / "jobs" / "launch.py"), "--array"]
        where = ["--sweep", self.file, "--profile", self.profile, "--output", self.output]
        return [*script, *map(str, where), *more]

    def launch(self, *more: str, code: int = 0) -> str:
        """Launch without preflight and post-processing; standard output and error."""
        done = subprocess.run(
            self.command("--no-preflight", "--no-post", *more),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def manage(self, *words: str, code: int = 0) -> str:
        """Run jobs/manage.py on this sweep."""
        action, *rest = words
        script = [sys.executable, str(ROOT / "jobs" / "manage.py"), action, str(self.output)]
        done = subprocess.run([*script, *rest], capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def states(self) -> dict[str, dict[str, Any]]:
        """What `manage.py status --json` says, by run name."""
        return {run["name"]: run for run in json.loads(self.manage("status", "--json"))["runs"]}

    @property
    def runs(self) -> list[IndexEntry]:
        """All runs of the sweep."""
        return read_index(self.layout)

    def files(self, position: int) -> RunLayout:
        """Files of one run."""
        return self.layout.run(self.runs[position].name)

    def attempts(self, position: int) -> list[Attempt]:
        """Attempts at one run."""
        return read_attempts(self.files(position).attempts)

    @property
    def job_ids(self) -> list[str]:
        """Slurm's ids of the arrays submitted so far."""
        index = json.loads(self.layout.index.read_text())
        return [each["job_id"] for each in index["submissions"]]

    def wait_until_training(self, position: int) -> int:
        """Wait until a run has a checkpoint to go back to; the pid of its process."""
        wait_for(lambda: self.files(position).checkpoint.exists())
        owner = read_owner(self.files(position).lock)
        assert owner is not None
        return owner.pid

    def wait_until_left(self, seconds: float = 180) -> None:
        """Wait until nothing of the sweep is queued or running."""
        jobs = ",".join(self.job_ids)
        wait_for(lambda: ask("squeue", "-h", "--me", "-o", "%A", "-j", jobs) == "", seconds)

    def assert_as_undisturbed(self) -> None:
        """Every run is complete and equal, byte for byte, to one that nothing happened to."""
        for run in self.runs:
            alone = [(run.run_id, json.dumps(run.config))]
            assert train_runs(str(self.reference.root), alone) == ["complete"]
            undisturbed = self._bytes(self.reference.run(run.run_id))
            assert self._bytes(self.layout.run(run.name)) == undisturbed, run.name

    @staticmethod
    def _bytes(run: RunLayout) -> dict[str, bytes]:
        with open_run(run.results) as file:
            assert file.attrs["complete"], run.root
            series = {k: v for k, v in read_series(file).items() if k != "seconds"}
            frames = {q: file[f"frames/{q}/prediction"][:] for q in QUANTITIES}
        assert set(series) == {*BASE_SERIES, *METRICS} - {"seconds"}
        return {name: np.asarray(data).tobytes() for name, data in (series | frames).items()}


def beside(directory: Path, name: str) -> Path:
    """Where one of several sweeps of a test lies, so that all tests share what is undisturbed."""
    return directory.with_name(f"{directory.name}_{name}")


def end_well(sweep: Sweep) -> None:
    sweep.wait_until_left()
    sweep.assert_as_undisturbed()
    assert "nothing to train" in sweep.launch()
