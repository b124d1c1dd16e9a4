"""Launches of job arrays without a cluster: by the launcher, or of some runs only."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from inr.config import RunConfig
from inr.storage.paths import SweepLayout
from inr.storage.provenance import ROOT, take_snapshot
from inr.storage.sweep_index import IndexEntry, Submission, read_index, read_submissions
from slurm.batch_script import BatchScripts
from slurm.profile import Profile
from slurm.submit import plan_arrays, submit
from tests.helpers.synthetic import write_run

SWEEP = """
base: {data: {size: 16, frames: 2}, model: {width: 8, depth: 1}, training: {steps: 4}}
seeds: %d
"""


def command(runs: int, *more: str) -> list[str]:
    """The arguments of a launch of that many runs."""
    Path("sweep.yaml").write_text(SWEEP % runs)
    sweep = ["--array", "--sweep", "sweep.yaml", "--profile", "testbed", "--output", "out"]
    return [*sweep, "--no-preflight", *more]


def launch_and_die(runs: int, **environment: str) -> None:
    """Launch in another process, which sbatch kills after it accepted a job."""
    launcher = [sys.executable, str(ROOT / "jobs" / "launch.py"), *command(runs, "--no-post")]
    died = subprocess.run(launcher, env=os.environ | {"KILLED": "yes"} | environment)
    assert died.returncode == -signal.SIGKILL


def finish(layout: SweepLayout, task: int) -> None:
    """Let a run be complete."""
    entry = read_index(layout)[task]
    path = layout.run(entry.name).results
    write_run(path, RunConfig.model_validate(entry.config), name=entry.name)


def entries(count: int) -> list[IndexEntry]:
    configs = [RunConfig.model_validate({"training": {"seed": seed}}) for seed in range(count)]
    return [
        IndexEntry(config.run_id, f"{config.name}_{task}", task, config.model_dump(mode="json"))
        for task, config in enumerate(configs)
    ]


def profile(**fields: object) -> Profile:
    return Profile.model_validate({"time": 30, "gpus": 1, "cpus": 2, **fields})


def leftovers(layout: SweepLayout) -> list[str]:
    """Files of jobs that were not submitted."""
    known = {submission.token for submission in read_submissions(layout)}
    kept = {str(submission.job_id or submission.token) for submission in read_submissions(layout)}
    scripts = [f for f in layout.submitit.glob("*.sh") if f.name.split("_")[0] not in kept]
    files = [f for f in layout.submissions.glob("*") if f.stem not in known]
    return [file.name for file in (*scripts, *files)]


def submit_runs(
    layout: SweepLayout, runs: Sequence[IndexEntry], profile: Profile
) -> list[Submission]:
    """Submit runs, with a snapshot of the code that runs now."""
    scripts = BatchScripts(layout, profile, take_snapshot(layout))
    return submit(plan_arrays(scripts, runs))
