"""Other people's clusters and shells: what a launch finds there, on a real Slurm."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

if "SLURM_CONF" in os.environ:
    from tests.helpers.slurm.sweep import Sweep, urgent_job

from inr.storage.sweep_index import read_submissions
from tests.helpers.slurm.commands import ask, wait_for

# All that the manuals of Slurm's commands name, but SLURM_CONF.
VARIABLES = (Path(__file__).parent / "slurm_variables.txt").read_text().split()

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif("SLURM_CONF" not in os.environ, reason="no cluster: make test-slurm"),
    pytest.mark.usefixtures("queue_left_empty"),
]


def run(command: list[str], environment: dict[str, str] | None = None) -> str:
    """Output of a launch that must succeed, in a shell with umask 077."""
    done = subprocess.run(
        command, env=environment, umask=0o077, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def program(path: Path, *lines: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(("#!/bin/bash", *lines, "")))
    path.chmod(0o755)


@pytest.mark.parametrize("value", ["nowhere", "7"])
def test_poisoned_shell_changes_nothing(tmp_path: Path, value: str) -> None:
    sweep = Sweep(tmp_path / "sweep", memory="600MB")
    (tmp_path / "false").mkdir()
    (tmp_path / "false" / "numpy.py").write_text("raise ImportError('a false numpy')\n")
    (tmp_path / "repository").mkdir()
    ask("git", "init", "-q", str(tmp_path / "repository"))
    poison = dict.fromkeys(VARIABLES, value) | {
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "GIT_DIR": str(tmp_path / "repository" / ".git"),
        "PYTHONPATH": str(tmp_path / "false"),
        "LC_ALL": "C",
        "TMPDIR": str(tmp_path / "missing"),
        "CUDA_VISIBLE_DEVICES": "NoDevFiles",
        "OMP_NUM_THREADS": "7",
    }
    assert run(sweep.command("--dry-run"), os.environ | poison) == run(sweep.command("--dry-run"))
    run(sweep.command(), os.environ | poison)
    array, post = read_submissions(sweep.layout)
    wait_for(lambda: ask("squeue", "-h", "-j", str(array.job_id)) == "")
    sweep.assert_as_undisturbed()
    assert sweep.attempts(0)[0].job == f"{array.job_id}_0"
    # the job that merges and draws saw the same shell; its videos are not waited for
    drawn = sweep.layout.figures.glob
    wait_for(lambda: any(drawn("*.png")) or not ask("squeue", "-h", "-j", str(post.job_id)))
    assert sweep.layout.summary.is_file()
    assert any(drawn("*.png"))


def test_launched_inside_a_task_of_an_array(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "sweep", {"seeds": 1}, memory="600MB")
    launch = shlex.join(sweep.command("--no-preflight", "--no-post"))
    log = tmp_path / "log"
    options = ["--parsable", "--array=7", "--mem-per-cpu=900", f"--output={log}"]
    parent = ask("sbatch", *options, "--export=ALL", "--wrap", launch)
    wait_for(lambda: ask("squeue", "-h", "-j", parent) == "")
    assert sweep.layout.index.is_file(), log.read_text()
    sweep.wait_until_left()
    sweep.assert_as_undisturbed()
    (attempt,) = sweep.attempts(0)
    assert attempt.job == sweep.job_ids[0] != parent


def test_comment_written_over_by_the_site(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, extra={"hold": True})
    sweep.launch()
    (job,) = sweep.job_ids
    for task in (0, 1):
        ask("scontrol", "update", f"jobid={job}_{task}", "comment=budget 7")
    assert "already queued or running: 2 runs" in sweep.launch()
    assert sweep.job_ids == [job]
    assert {run["state"] for run in sweep.states().values()} == {"waiting"}
    assert f"Slurm {job}" in sweep.manage("cancel", "--yes")
    wait_for(lambda: ask("squeue", "-h", "-j", job) == "")


def test_lost_answer_and_a_comment_of_the_site(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "sweep", comment="budget 7", extra={"hold": True})
    program(
        tmp_path / "bin" / "sbatch",
        'PATH="${PATH#*:}" sbatch "$@" > /dev/null',
        f"[ -e {tmp_path}/answers ] || kill -KILL $PPID",
    )
    path = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    command = sweep.command("--no-preflight", "--no-post")
    assert subprocess.run(command, env=os.environ | path).returncode == -9
    (tmp_path / "answers").touch()
    assert "already queued or running: 2 runs" in run(command, os.environ | path)
    (job,) = sweep.job_ids
    assert ask("squeue", "-h", "-r", "-j", job, "-o", "%k").splitlines() == ["budget 7"] * 2
    assert (sweep.layout.submitit / f"{job}_submission.sh").is_file()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param('echo "$id"', id="number"),
        pytest.param('echo Welcome; echo "Submitted batch job $id on cluster c" >&2', id="banner"),
        pytest.param("true", id="nothing"),
        pytest.param('echo "$id"; exit 3', id="fails"),
        pytest.param("echo your quota is nearly exceeded; exit 1", id="complains"),
    ],
)
def test_wrapper_around_sbatch(tmp_path: Path, answer: str) -> None:
    sweep = Sweep(tmp_path / "sweep", {"seeds": 1}, extra={"hold": True})
    program(
        tmp_path / "bin" / "sbatch",
        'id=$(PATH="${PATH#*:}" sbatch "$@") || exit',
        answer,
    )
    path = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    command = sweep.command("--no-preflight", "--no-post")
    run(command, os.environ | path)
    assert "already queued or running: 1 run" in run(command, os.environ | path)
    (job,) = sweep.job_ids
    assert ask("squeue", "-h", "--me", "-o", "%A") == job


def test_limit_on_submitted_jobs(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, {"seeds": 4}, max_array_size=2, extra={"hold": True})
    user = ["sacctmgr", "-i", "modify", "user", "root", "where", "account=lab", "set"]
    ask(*user, "maxsubmitjobs=3")
    try:
        said = sweep.launch(code=1)
    finally:
        ask(*user, "maxsubmitjobs=-1")
    assert "AssocMaxSubmitJobLimit" in said
    assert "--pack" in said
    assert "account (" not in said
    assert f"Already submitted: 2 tasks as {sweep.job_ids[0]}" in said
    wait_for(lambda: "4 runs" in sweep.launch() or len(sweep.job_ids) == 2)


def test_container_of_its_own_environment_without_scontrol(tmp_path: Path) -> None:
    image = tmp_path / "image"  # a stand-in: programs of its own, and none of Slurm
    program(image / "python3", f'exec {shlex.quote(sys.executable)} "$@"')
    for name in ("env", "bash", "sh", "cat"):
        (image / name).symlink_to(f"/usr/bin/{name}")
    program(tmp_path / "apptainer", '[ "$1 $2" = "exec --nv" ] || exit 1', 'cd "$3" && shift 3')
    with (tmp_path / "apptainer").open("a") as file:
        file.write('exec /usr/bin/env -i PATH=$PWD "$@"\n')
    container = [str(tmp_path / "apptainer"), "exec", "--nv", str(image)]
    longer = {"training.steps": 20_000, "record.metrics_every": 10_000}
    sweep = Sweep(tmp_path, {"seeds": 2, "set": longer}, container=container, partition="spot")
    assert "nothing was tried" not in run(sweep.command("--no-post"))
    for position in (0, 1):
        sweep.wait_until_training(position)
    ask("scancel", "--signal=USR2", f"{sweep.job_ids[0]}_0")
    urgent_job()  # the other task is preempted
    sweep.wait_until_left()
    sweep.assert_as_undisturbed()
    for position in (0, 1):
        first, *_, last = sweep.attempts(position)
        assert (first.status, last.status) == ("stopped", "complete")
        assert last.first_step >= first.last_step > 0
        log = (sweep.layout.submitit / f"{sweep.job_ids[0]}_{position}_0_log.out").read_text()
        assert "the script of the job requeues it" in log
