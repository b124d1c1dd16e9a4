"""Sweeps on a real Slurm: run with `eval "$(slurm/testbed/testbed up)"` and `pytest -m slurm`."""

import subprocess
import sys
from pathlib import Path

import pytest

from inr.config import RunConfig
from inr.errors import UserError
from inr.results import outcome
from inr.storage.attempts import read_attempts
from inr.storage.paths import SweepLayout
from inr.storage.provenance import ROOT
from inr.storage.sweep_index import IndexEntry, Submission, index_json, read_index, read_submissions
from jobs.launching.postprocessing import run_postprocessing
from slurm.profile import Profile, load_profile
from slurm.submit import preview
from tests.helpers.slurm.array_launch import submit_runs
from tests.helpers.slurm.commands import ask, jobs, wait_for

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("running_cluster")]

TINY = {
    "data": {"size": 16, "frames": 2},
    "model": {"width": 8, "depth": 1},
    "training": {"steps": 4},
    "record": {"metrics_every": 2, "images_every": 2, "tensorboard": False},
}


@pytest.fixture
def testbed() -> Profile:
    return load_profile("testbed")


def tiny_runs(count: int) -> list[IndexEntry]:
    entries = []
    for seed in range(count):
        tree = {**TINY, "training": {**TINY["training"], "seed": seed}}
        config = RunConfig.model_validate(tree)
        name = f"{config.name}_seed{seed}"
        entries.append(IndexEntry(config.run_id, name, seed, config.model_dump(mode="json")))
    return entries


def submit_new(layout: SweepLayout, tasks: list[IndexEntry], profile: Profile) -> list[Submission]:
    """Submit a sweep that consists of ``tasks``."""
    layout.root.mkdir(exist_ok=True)
    layout.index.write_text(index_json(layout.name, tasks))
    return submit_runs(layout, tasks, profile)


BUSY = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING")


def states(job_id: str, tasks: int = 1) -> list[str]:
    """Final state of every task of a job, once it has left the queue and accounting knows all."""
    queued = ("squeue", "-h", "-j", job_id, "-o", "%T", f"--states={','.join(BUSY)}")
    wait_for(lambda: ask(*queued) == "")
    wait_for(lambda: len(accounted_states(job_id)) >= tasks)  # a task may be missing for a moment
    wait_for(lambda: set(BUSY).isdisjoint(accounted_states(job_id)))
    return accounted_states(job_id)


def accounted_states(job_id: str) -> list[str]:
    rows = ask("sacct", "-X", "-n", "-P", "-j", job_id, "-o", "State").splitlines()
    return [row.split()[0] for row in rows] or ["PENDING"]


def test_array_trains_every_run(layout: SweepLayout, testbed: Profile) -> None:
    tasks = tiny_runs(3)
    profile = testbed.model_copy(update={"setup": ("export SET_UP=yes",)})
    previewed = preview(layout, tasks, profile)

    [submission] = submit_new(layout, tasks, profile)

    assert submission.tasks == 3
    script = (layout.submitit / f"{submission.job_id}_submission.sh").read_text()
    assert previewed.partition("tasks: 3\n")[2].replace("TOKEN", submission.token) == script
    assert states(submission.job_id, 3) == ["COMPLETED"] * 3
    assert all(outcome(layout.run(task.name).results) for task in tasks)
    for number in range(3):
        assert (layout.submitit / f"{submission.job_id}_{number}_0_log.out").is_file()


def test_single_run_is_a_plain_job(layout: SweepLayout, testbed: Profile) -> None:
    [task] = tiny_runs(1)
    [submission] = submit_new(layout, [task], testbed)
    script = (layout.submitit / f"{submission.job_id}_submission.sh").read_text()
    previewed = preview(layout, [task], testbed).partition("tasks: 1\n")[2]
    assert previewed.replace("TOKEN", submission.token) == script
    assert states(submission.job_id) == ["COMPLETED"]
    assert outcome(layout.run(task.name).results)


def test_job_gets_what_the_profile_asks_for(layout: SweepLayout, testbed: Profile) -> None:
    probe = "echo cpus=$SLURM_CPUS_PER_TASK gpu=$CUDA_VISIBLE_DEVICES >&2; exit 1"
    fields = {"setup": (probe,), "cpus": 2, "gpus": 1, "extra": {"nice": 7}}
    profile = testbed.model_copy(update=fields)
    [submission] = submit_new(layout, tiny_runs(1), profile)
    assert states(submission.job_id) == ["FAILED"]
    log = (layout.submitit / f"{submission.job_id}_0_log.err").read_text()
    assert "cpus=2 gpu=0" in log
    job = ask("scontrol", "show", "job", submission.job_id)
    for words in ("Partition=main", "Account=lab", "Nice=7", "TimeLimit=00:30:00", "mem=2G"):
        assert words in job
    assert "JobName=a sweep" in job


def test_gpu_that_was_asked_for_and_is_none_fails_the_run(
    layout: SweepLayout, testbed: Profile
) -> None:
    [task] = tiny_runs(1)
    [submission] = submit_new(layout, [task], testbed.model_copy(update={"gpus": 1}))
    assert states(submission.job_id) == ["FAILED"]
    log = (layout.submitit / f"{submission.job_id}_0_log.err").read_text()
    assert "error: no GPU: Slurm gave this task 1 on" in log
    (attempt,) = read_attempts(layout.run(task.name).attempts)
    assert attempt.status == "failed"
    assert "no GPU: Slurm gave this task 1" in attempt.reason
    assert run_postprocessing(layout) == 1  # there is nothing to draw
    for path in (layout.summary, layout.report):
        assert "no GPU: Slurm gave this task 1" in path.read_text()


def test_failing_setup_line_stops_the_task(layout: SweepLayout, testbed: Profile) -> None:
    [task] = tiny_runs(1)
    profile = testbed.model_copy(update={"setup": ("cd /nowhere && true", "touch reached")})
    [submission] = submit_new(layout, [task], profile)
    assert states(submission.job_id) == ["FAILED"]
    log = (layout.submitit / f"{submission.job_id}_0_log.err").read_text()
    assert "setup failed: cd /nowhere && true" in log
    assert not layout.run(task.name).root.exists()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        pytest.param({"partition": "nope"}, "partition ('nope')", id="partition"),
        pytest.param({"account": "nope"}, "account ('nope')", id="account"),
        pytest.param({"qos": "nope"}, "qos ('nope')", id="qos"),
        pytest.param({"gpus": 3}, "gpus (3)", id="gpus"),
        pytest.param({"cpus": 99}, "cpus (99)", id="cpus"),
        pytest.param({"memory": "900GB"}, "memory ('900GB')", id="memory"),
        pytest.param({"time": 10_000}, "time (10000)", id="time"),
        pytest.param({"constraint": "nope"}, "constraint ('nope')", id="constraint"),
        pytest.param({"nodelist": "nope"}, "nodelist ('nope')", id="nodelist"),
        pytest.param({"max_array_size": 1000}, "max_array_size (1000)", id="array"),
        pytest.param({"extra": {"frob": 1}}, "extra ({'frob': 1})", id="extra"),
    ],
)
def test_refusal_names_the_field(
    layout: SweepLayout, testbed: Profile, fields: dict[str, object], said: str
) -> None:
    before = jobs()
    tasks = tiny_runs(502 if "max_array_size" in fields else 2)
    with pytest.raises(UserError) as caught:
        submit_new(layout, tasks, testbed.model_copy(update=fields))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(layout.submitit.iterdir()) == []
    assert jobs() == before


@pytest.mark.usefixtures("queue_left_empty")
def test_sweep_longer_than_an_array(layout: SweepLayout, testbed: Profile) -> None:
    held = testbed.model_copy(update={"extra": {"hold": True}})
    assert [each.tasks for each in submit_new(layout, tiny_runs(502), held)] == [251, 251]
    assert [each.tasks for each in submit_new(layout, tiny_runs(501), held)] == [501]


def test_launcher_runs_a_sweep(tmp_path: Path) -> None:
    output = tmp_path / "quickstart"
    overrides = ["data.size=32", "data.frames=2", "model.width=16", "training.steps=6"]
    flags = [word for override in overrides for word in ("--set", override)]
    launch = [sys.executable, str(ROOT / "jobs" / "launch.py"), "--array", "--sweep", "quickstart"]
    arguments = [*launch, "--profile", "testbed", "--output", str(output), *flags]
    first = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path)
    assert first.returncode == 0, first.stderr

    sweep = SweepLayout(output)
    array, post = read_submissions(sweep)
    assert f"job {array.job_id}: 8 tasks" in first.stdout
    assert "\nexpected: " in first.stdout
    assert states(str(array.job_id), 8) == ["COMPLETED"] * 8
    assert all(outcome(sweep.run(entry.name).results) for entry in read_index(sweep))
    assert states(str(post.job_id)) == ["COMPLETED"]
    assert sweep.summary.is_file()
    assert any(sweep.figures.iterdir())

    again = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert read_submissions(sweep) == [array, post]
