"""Launching an array again and again: never a run twice, never a run lost. Without a cluster."""

import json
import os
import re
from pathlib import Path

import pytest

from inr.errors import UsageError, UserError
from inr.storage.lock import RunLock
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import Submission, index_json, read_index, read_submissions
from jobs.launch import main
from slurm import sbatch, submit
from tests.helpers.slurm.array_launch import command, finish, launch_and_die
from tests.helpers.slurm.fake_slurm import FakeSlurm


@pytest.fixture(autouse=True)
def _here(slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def layout(tmp_path: Path) -> SweepLayout:
    return SweepLayout(tmp_path / "out")


def trained_once(layout: SweepLayout, slurm: FakeSlurm, runs: int) -> bool:
    """Whether every run is the work of exactly one task in the queue."""
    tokens = {s.job_id: s.token for s in read_submissions(layout)}
    work = []
    for job, index in slurm.waiting():
        document = json.loads(layout.submission(tokens[job]).read_text())
        work += document["runs"][int(index) if index.isdigit() else 0 : int(index) + 1]
    return sorted(run["name"] for run in work) == sorted(e.name for e in read_index(layout))


def test_second_launch_submits_nothing(layout, slurm, capsys):
    assert main(command(12, "--no-post")) == 0
    assert len(slurm.waiting()) == 12
    assert trained_once(layout, slurm, 12)
    before = layout.index.read_text()
    capsys.readouterr()
    assert main(command(12, "--no-post")) == 0
    assert "already queued or running: 12 runs" in capsys.readouterr().out
    assert len(slurm.submitted()) == 3
    assert layout.index.read_text() == before


def test_only_what_neither_waits_nor_is_complete_is_submitted(layout, slurm):
    assert main(command(4, "--no-post")) == 0
    tasks = slurm.queue.read_text().split("\x1e")
    slurm.queue.write_text("\x1e".join(["", *tasks[3:]]))  # tasks 0 and 1 have ended
    finish(layout, 0)
    assert main(command(5, "--no-post")) == 0
    latest = read_submissions(layout)[-1]
    runs = json.loads(layout.submission(latest.token).read_text())["runs"]
    entries = read_index(layout)
    assert [run["name"] for run in runs] == [entries[1].name, entries[4].name]


def test_cancelled_tasks_are_submitted_again(layout, slurm):
    assert main(command(3, "--no-post")) == 0
    slurm.take_away("41")
    assert main(command(3, "--no-post")) == 0
    assert slurm.waiting() == [("42", "0"), ("42", "1"), ("42", "2")]
    assert trained_once(layout, slurm, 3)


@pytest.mark.parametrize("index", ["kept", "deleted"])
def test_job_of_a_killed_launcher_is_adopted(layout, slurm, index):
    launch_and_die(12)  # with the first of three arrays accepted
    assert [s.job_id for s in read_submissions(layout)] == [None] * 3
    assert len(slurm.waiting()) == 4
    if index == "deleted":
        layout.index.unlink()
    assert main(command(12, "--no-post")) == 0
    assert len(slurm.waiting()) == 12
    assert trained_once(layout, slurm, 12)
    assert None not in [s.job_id for s in read_submissions(layout)]
    # what was announced and never submitted is gone
    assert len(list(layout.submissions.iterdir())) == len(read_submissions(layout)) == 3


def test_launcher_killed_before_it_submitted(layout, slurm):
    launch_and_die(3)
    slurm.take_away("41")  # as if sbatch had never been
    (token,) = [s.token for s in read_submissions(layout)]
    assert main(command(3, "--no-post")) == 0
    assert len(slurm.waiting()) == 3
    # should that job appear after all, it finds no work
    assert not layout.submission(token).exists()


def test_launcher_killed_before_it_wrote_anything(layout, slurm):
    layout.root.mkdir()
    layout.launch_lock.write_text('{"host": "elsewhere"')
    os.utime(layout.launch_lock, (0, 0))
    (layout.root / ".sweep.0123abcd.yaml").touch()
    assert main(command(3, "--no-post")) == 0
    assert len(slurm.waiting()) == 3


def test_second_launcher_is_refused(layout, slurm):
    layout.root.mkdir()
    with (
        RunLock(layout.launch_lock),
        pytest.raises(UserError, match=r"out: in use by process \d+ on"),
    ):
        main(command(3))
    assert slurm.submitted() == []
    assert main(command(3)) == 0


def test_nothing_is_submitted_while_slurm_cannot_say_what_runs(layout, slurm, monkeypatch):
    assert main(command(3, "--no-post")) == 0
    monkeypatch.setenv("CLUSTER_DOWN", "yes")
    with pytest.raises(UserError, match="does not say whether they still wait or run") as caught:
        main(command(4, "--no-post"))
    assert "\n" not in str(caught.value)
    assert len(slurm.submitted()) == 1


def test_complete_sweep_needs_no_slurm(layout, slurm, monkeypatch, capsys):
    assert main(command(1)) == 0
    finish(layout, 0)
    monkeypatch.setenv("CLUSTER_DOWN", "yes")
    files = sorted(layout.root.rglob("*"))
    assert main(command(1)) == 0
    assert "1 of 1 complete: nothing to train" in capsys.readouterr().out
    assert sorted(layout.root.rglob("*")) == files


def test_machine_without_slurm(layout, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match=r"no sbatch and no srun here.*--local"):
        main(command(1))
    assert not layout.root.exists()


@pytest.mark.parametrize("mode", ["--array", "--local"])
@pytest.mark.parametrize(
    ("name", "reason"),
    [("a:b", "':' separates"), ("%j", "'%' has a meaning"), ("\udce9", r"'\\udce9' is a byte")],
)
def test_directory_that_tasks_cannot_work_in(mode, name, reason):
    with pytest.raises(UsageError, match=f"--output {name}: {reason}"):
        main([mode, "--output", name])
    assert not Path(name).exists()


OTHERS = {
    "without a comment": ({"inr:TOKEN": "", "TOKEN_submission": "other"}, 1),
    "another comment": ({"inr:TOKEN": "budget 7", "TOKEN_submission": "other"}, 1),
    "another comment and name": ({"inr:TOKEN": "budget 7", "out": "site_out"}, 1),
    "another script": ({"TOKEN_submission": "wrapped"}, 1),
    "another name": ({"inr:TOKEN": "", "TOKEN_submission": "other", "out": "out_b"}, 2),
    "another sweep's comment": ({"inr:TOKEN": "inr:0123456789ab"}, 2),
    "another sweep's script": ({"inr:TOKEN": "", "TOKEN": "0123456789ab"}, 2),
}


@pytest.mark.parametrize(("changes", "jobs"), OTHERS.values(), ids=OTHERS.keys())
def test_number_name_and_token_say_whose_a_job_is(layout, slurm, changes, jobs):
    assert main(command(2, "--no-post")) == 0
    (submission,) = read_submissions(layout)
    tasks = []
    for task in slurm.queue.read_text().split("\x1e")[1:]:
        *fields, name, script, comment = task.rstrip("\n").split("\x1f")
        for old, new in changes.items():
            old = old.replace("TOKEN", submission.token)
            comment, script = comment.replace(old, new), Path(script).name.replace(old, new)
            name = new if name == old else name
        tasks.append("\x1f".join([*fields, name, f"/spool/{script}", comment]))
    slurm.queue.write_text("".join(f"\x1e{task}\n" for task in tasks))
    assert main(command(2, "--no-post")) == 0
    assert len(slurm.submitted()) == jobs


def test_lost_answer_is_found_where_comments_are_written_over(layout, slurm):
    launch_and_die(3)
    slurm.queue.write_text(re.sub("inr:[0-9a-f]+", "budget 7", slurm.queue.read_text()))
    assert main(command(3, "--no-post")) == 0
    assert [s.job_id for s in read_submissions(layout)] == ["41"]
    assert trained_once(layout, slurm, 3)


ANSWERS = {
    "sentence": "echo Submitted batch job $job on cluster big",
    "cluster": "echo $job';big'",
    "banner": "echo Welcome to BIG, 3 users; echo $job; echo Bye",
    "on the wrong stream": "echo Submitted batch job $job >&2",
    "over two lines": "printf 'Submitted batch\\njob %s\\n' $job",
    "carriage return": "printf '%s\\r\\n' $job",
    "another language": "echo Auftrag $job angenommen",
    "nothing": "true",
    "two numbers": "echo 7; echo $job",
    "latin-1": "printf '\\xe9t\\xe9\\n'",
    "then it fails": "echo $job; echo logging failed >&2; exit 1",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_answer_of_a_site_is_understood_or_looked_up(layout, slurm, monkeypatch, answer):
    monkeypatch.setenv("ANSWER", answer)
    assert main(command(3, "--no-post")) == 0
    assert [s.job_id for s in read_submissions(layout)] == ["41"]
    assert (layout.submitit / "41_submission.sh").is_file()
    assert main(command(3, "--no-post")) == 0
    assert len(slurm.submitted()) == 1


def test_answer_that_names_no_job_is_no_refusal(layout, slurm, monkeypatch):
    monkeypatch.setenv("ANSWER", "echo queued; mv $QUEUE $QUEUE.later; touch $QUEUE")
    with pytest.raises(UserError, match="sbatch named no job: 'queued'"):
        main(command(3, "--no-post"))
    (submission,) = read_submissions(layout)
    assert (submission.job_id, layout.submission(submission.token).is_file()) == (None, True)
    Path(f"{slurm.queue}.later").replace(slurm.queue)
    assert main(command(3, "--no-post")) == 0
    assert len(slurm.submitted()) == 1


def test_sbatch_that_gives_no_answer_is_looked_up(layout, slurm, monkeypatch):
    monkeypatch.setattr(sbatch, "SECONDS", 1.0)
    monkeypatch.setenv("ANSWER", "exec sleep 60")
    assert main(command(3, "--no-post")) == 0
    assert [s.job_id for s in read_submissions(layout)] == ["41"]


def test_job_gets_nothing_of_the_shell_that_only_concerns_another_job(layout, slurm, monkeypatch):
    poison = [
        *("SLURM_MEM_PER_CPU", "SLURM_ARRAY_TASK_ID", "SLURM_EXPORT_ENV", "SLURM_CLUSTERS"),
        *("SBATCH_PARTITION", "SBATCH_TIMELIMIT", "SRUN_CPUS_PER_TASK", "SALLOC_QOS"),
        *("SUBMITIT_EXECUTOR", "PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK"),
        *("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "OMP_NUM_THREADS"),
    ]
    for name in poison:
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    monkeypatch.setenv("PROJECT", "thesis")
    assert main(command(2, "--no-post")) == 0
    environment = dict(e.split("=", 1) for e in slurm.environment.read_text().splitlines())
    assert set(poison).isdisjoint(environment)
    assert (environment["SLURM_CONF"], environment["PROJECT"]) == ("/etc/slurm.conf", "thesis")


def test_tasks_that_are_ending_are_waited_for(layout, slurm, monkeypatch, capsys):
    assert main(command(2, "--no-post")) == 0
    slurm.queue.write_text(slurm.queue.read_text().replace("PENDING", "COMPLETING"))
    monkeypatch.setattr(submit.time, "sleep", lambda seconds: slurm.take_away("41"))
    assert main(command(2, "--no-post")) == 0
    assert "waiting for 2 tasks that are about to end" in capsys.readouterr().out
    assert len(slurm.submitted()) == 2


def test_a_refused_sweep_leaves_nothing(tmp_path, layout, slurm, monkeypatch):
    monkeypatch.setenv("ACCEPT", "0")
    monkeypatch.setenv("REFUSAL", "sbatch: error: Batch job submission failed: no")
    with pytest.raises(UserError, match="Slurm refused"):
        main(command(3))
    assert not layout.root.exists()


def test_index_keeps_submissions(layout):
    layout.root.mkdir()
    wanted = [Submission("ab", "2030-01-01", "p", 3, None), Submission("cd", "2030", "", 0, "7")]
    layout.index.write_text(index_json("x", [], wanted))
    assert read_submissions(layout) == wanted
    assert read_index(layout) == []


def test_index_of_an_earlier_version_has_no_submissions(layout):
    layout.root.mkdir()
    layout.index.write_text('{"schema": "inr-index/1", "sweep": "x", "runs": []}')
    assert read_submissions(layout) == []
