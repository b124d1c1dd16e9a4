"""Submission without a cluster: tasks become arrays. See test_real_cluster.py."""

import json
import re
import shutil
from pathlib import Path

import pytest

from inr.errors import UserError
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import read_submissions
from slurm.profile import load_profile
from slurm.submit import preview, split
from tests.helpers.slurm.array_launch import entries, leftovers, profile, submit_runs
from tests.helpers.slurm.fake_slurm import FakeSlurm


@pytest.mark.parametrize(
    ("count", "limit", "sizes"),
    [
        pytest.param(0, 5, [], id="none"),
        pytest.param(1, 5, [1], id="one"),
        pytest.param(5, 5, [5], id="exactly-full"),
        pytest.param(6, 5, [3, 3], id="one-too-many"),
        pytest.param(11, 5, [3, 4, 4], id="uneven"),
        pytest.param(3, 1, [1, 1, 1], id="arrays-of-one"),
        pytest.param(2, 0, [1, 1], id="arrays-forbidden"),
        pytest.param(10_000, 1001, [1000] * 10, id="many"),
    ],
)
def test_tasks_are_split_into_arrays(count: int, limit: int, sizes: list[int]) -> None:
    parts = split(range(count), limit)
    assert [len(part) for part in parts] == sizes
    assert [task for part in parts for task in part] == list(range(count))


def test_submits_what_it_previewed(listed: SweepLayout, slurm: FakeSlurm) -> None:
    tasks = entries(4)
    chosen = profile(setup=["true"], parallelism=3)
    previewed = preview(listed, tasks, chosen)
    [submission] = submit_runs(listed, tasks, chosen)
    assert (submission.job_id, submission.tasks) == ("41", 4)
    script = slurm.submitted()[0]
    assert script == (listed.submitit / "41_submission.sh").read_text()
    assert previewed.partition("tasks: 4\n")[2].replace("TOKEN", submission.token) == script


def test_submission_file_holds_runs_in_task_order(listed: SweepLayout, slurm: FakeSlurm) -> None:
    tasks = entries(3)
    [submission] = submit_runs(listed, tasks, load_profile("testbed"))
    document = json.loads(listed.submission(submission.token).read_text())
    assert document["schema"] == "inr-submission/1"
    assert (document["token"], document["profile"]) == (submission.token, "testbed")
    assert (listed.root / document["code"] / "jobs" / "worker" / "array_task.py").is_file()
    wanted = [{"run_id": t.run_id, "name": t.name, "config": t.config} for t in tasks]
    assert document["runs"] == wanted
    assert f"--comment=inr:{submission.token}\n" in slurm.submitted()[0]
    assert read_submissions(listed) == [submission]


def test_long_sweep_is_split_at_the_clusters_limit(listed: SweepLayout, slurm: FakeSlurm) -> None:
    parts = submit_runs(listed, entries(11), profile())
    assert [(part.job_id, part.tasks) for part in parts] == [("41", 3), ("42", 4), ("43", 4)]
    assert "--array=0-2%3\n" in slurm.submitted()[0]
    assert leftovers(listed) == []


def test_no_more_tasks_run_at_once_than_allowed(listed: SweepLayout, slurm: FakeSlurm) -> None:
    few = profile(max_array_size=2, parallelism=2)
    text = preview(listed, entries(7), few)
    assert "# array 2: tasks: 2\n" in text
    assert text.count("--array=0-1%1\n") + text.count("%j_0_log.out") / 2 >= 2
    assert text.count("--dependency=afterany:JOB\n") == 1
    submit_runs(listed, entries(7), few)
    waits = [re.findall(r"--dependency=(\S+)", script) for script in slurm.submitted()]
    assert waits == [[], [], ["afterany:41"], ["afterany:42"]]


def test_profile_overrides_the_clusters_limit(listed: SweepLayout, slurm: FakeSlurm) -> None:
    assert len(submit_runs(listed, entries(6), profile(max_array_size=2))) == 3


def test_cluster_that_forbids_arrays(
    listed: SweepLayout, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMIT", "0")
    tasks = entries(2)
    assert "# array 1, 2: tasks: 1\n" in preview(listed, tasks, profile())
    assert [each.tasks for each in submit_runs(listed, tasks, profile())] == [1, 1]
    assert "--array" not in slurm.submitted()[1]


def test_nothing_to_submit(listed: SweepLayout, slurm: FakeSlurm) -> None:
    assert submit_runs(listed, [], profile()) == []


@pytest.mark.usefixtures("no_slurm")
def test_without_slurm(listed: SweepLayout) -> None:
    with pytest.raises(UserError, match=r"no sbatch and no srun here.*module load.*--local"):
        submit_runs(listed, entries(2), profile())


def test_cluster_that_does_not_answer(
    listed: SweepLayout, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTER_DOWN", "1")
    assert "no cluster answers" in preview(listed, entries(2), profile())
    with pytest.raises(UserError, match="does not answer"):
        submit_runs(listed, entries(2), profile())
    assert slurm.submitted() == []


def test_preview_works_where_there_is_slurm(layout: SweepLayout, slurm: FakeSlurm) -> None:
    assert shutil.which("scontrol")
    assert "(an array holds at most 5)" in preview(layout, entries(2), profile())


def test_cluster_is_asked_for_its_limit_once(
    listed: SweepLayout, slurm: FakeSlurm, tmp_path: Path
) -> None:
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.write_text(f"{scontrol.read_text()}echo $@ >> {tmp_path}/asked\n")
    submit_runs(listed, entries(11), profile())
    assert (tmp_path / "asked").read_text() == "show config\n"
