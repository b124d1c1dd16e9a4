"""What is understood of squeue and sacct, with stand-ins for both; and on a real cluster."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from slurm import commands
from slurm.commands import SlurmUnavailable
from slurm.job_queue import TaskState, accounted, find_job, queued

Answer = Callable[..., None]


@pytest.fixture
def answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answer:
    """Make a program print ``text``; what it was asked lies in ``<program>.asked``."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for program in ("squeue", "sacct"):
        monkeypatch.setenv(f"{program.upper()}_FORMAT", "%u")

    def set_answer(program: str, text: str = "", code: int = 0, last: str = "") -> None:
        (tmp_path / f"{program}.answer").write_text(text)
        path = tmp_path / program
        path.write_text(
            f'#!/bin/sh\necho "$@" > {tmp_path}/{program}.asked\n'
            f"env > {tmp_path}/{program}.environment\n"
            f"cat {tmp_path}/{program}.answer\n{last}\nexit {code}\n"
        )
        path.chmod(0o755)

    set_answer("squeue")
    set_answer("sacct")
    return set_answer


def row(*fields: str, name: str = "study", script: str = "/x/a.sh") -> str:
    *first, comment = fields
    return "\x1e" + "\x1f".join([*first, name, script, comment]) + "\n"


QUEUE = (
    row("7_0", "RUNNING", "None", "n1", "inr:a")
    + row("7_12", "PENDING", "JobArrayTaskLimit", "", "inr:a")
    + row("8", "PENDING", "Dependency", "", "(null)")
    + row("9", "RUNNING", "None", "n2", "two\nlines, from\x1fsomebody\x1eelse")
    + row("nine", "RUNNING", "None", "n2", "x" * 10_000)
)


def test_queue_lists_tasks_of_arrays_and_plain_jobs(answer: Answer) -> None:
    answer("squeue", QUEUE)
    rest = {"name": "study", "command": "/x/a.sh"}
    assert [task for task in queued() if task.job_id in ("7", "8")] == [
        TaskState("7", 0, "RUNNING", "", "n1", "inr:a", **rest),
        TaskState("7", 12, "PENDING", "JobArrayTaskLimit", "", "inr:a", **rest),
        TaskState("8", 0, "PENDING", "Dependency", "", "", **rest),
    ]
    assert len(queued()) == 4


def test_waiting_tasks_of_an_array_may_be_listed_together(answer: Answer) -> None:
    answer("squeue", row("7_[0-4%2]", "PENDING", "Priority", "", "inr:a"))
    assert [task.index for task in queued()] == [0, 1, 2, 3, 4]


def test_text_of_jobs_need_not_be_text(answer: Answer, tmp_path: Path) -> None:
    answer("squeue")
    bad = row("7_0", "RUNNING", "None", "n1", "inr:a", name="caf\xe9").encode("latin-1")
    (tmp_path / "squeue.answer").write_bytes(bad)
    assert [(task.name, task.token) for task in queued()] == [("caf\ufffd", "a")]


def test_defaults_of_the_user_do_not_hide_jobs(answer: Answer, tmp_path: Path) -> None:
    queued()
    environment = (tmp_path / "squeue.environment").read_text()
    assert "SQUEUE_FORMAT" not in environment
    assert "SLURM_BITSTR_LEN=0" in environment
    assert "--me --array" in (tmp_path / "squeue.asked").read_text()


ACCOUNTS = {
    "plain job": ("7|COMPLETED|None|n1|", [(0, "COMPLETED", "", "n1")]),
    "cut off": ("7|CANCELLED+|None|n1|", [(0, "CANCELLED", "", "n1")]),
    "name over lines": ("7|FAILED|None|n1|a\nb|c\n\nd", [(0, "FAILED", "", "n1")]),
    "of two components": ("7+1|FAILED|None|n1|a|", []),
    "who cancelled it is left out": ("7|CANCELLED by 0|None|n1|", [(0, "CANCELLED", "", "n1")]),
    "never ran": ("7_1|CANCELLED|None|None assigned|", [(1, "CANCELLED", "", "")]),
    "waiting tasks together": (
        "7_[0-2,5,10-14:2%3]|PENDING|Priority|None assigned|",
        [(i, "PENDING", "Priority", "") for i in (0, 1, 2, 5, 10, 12, 14)],
    ),
    "a past reason to wait is none to end": (
        "7_3|FAILED|JobArrayTaskLimit|n2|",
        [(3, "FAILED", "", "n2")],
    ),
    "array task by a number of its own": ("12_3|FAILED|None|n2|", []),
    "not an id": ("7+0|FAILED|None|n2|", []),
}


@pytest.mark.parametrize(("line", "tasks"), ACCOUNTS.values(), ids=ACCOUNTS.keys())
def test_accounting_is_expanded(
    answer: Answer, line: str, tasks: list[tuple[int, str, str, str]]
) -> None:
    answer("sacct", line.replace("|", "\x1f") + "\n")
    found = [(each.index, each.state, each.reason, each.node) for each in accounted(["7"])]
    assert found == tasks
    assert {each.job_id for each in accounted(["7"])} <= {"7"}


def test_accounting_that_is_off_says_nothing(answer: Answer) -> None:
    answer("sacct", code=1, last="echo 'Slurm accounting storage is disabled' >&2")
    assert accounted(["7"]) == []


def test_accounting_is_not_asked_about_nothing(answer: Answer, tmp_path: Path) -> None:
    assert accounted([]) == []
    assert not (tmp_path / "sacct.asked").exists()


def test_refusal_is_passed_on(answer: Answer) -> None:
    answer("squeue", code=1, last="echo 'squeue: error: Unable to contact controller' >&2")
    with pytest.raises(SlurmUnavailable, match="squeue failed: Unable to contact"):
        queued()


def test_silence_is_not_waited_for(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "TIMEOUT_SECONDS", 0.2)
    answer("squeue", last="exec sleep 20")
    with pytest.raises(SlurmUnavailable, match=r"no answer within 0\.2 seconds"):
        queued()


VARIABLES = (Path(__file__).parent / "slurm_variables.txt").read_text().split()


def test_no_program_sees_what_the_manuals_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "SLURM_JOBID", "SBATCH_OF_A_LATER_VERSION", "SLURMD_NODENAME"):
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("SLURM_CONF", "here")
    left = commands.clean_environment()
    assert {name: left[name] for name in left if "SLURM" in name or "SBATCH" in name} == {
        "SLURM_CONF": "here"
    }
    assert set(VARIABLES).isdisjoint(left)
    assert left["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize("program", ["sbatch", "scancel", "scontrol", "squeue", "sacct"])
def test_a_program_that_cannot_answer_is_one_line(
    answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr(commands, "TIMEOUT_SECONDS", 0.3)
    answer(program, last="echo still waiting >&2; exec sleep 20")
    with pytest.raises(commands.SlurmTimeout, match=r"within 0\.3 seconds \(still waiting\)$"):
        commands.ask_slurm(program)
    answer(program, code=1, last=f"printf '{program}: error: caf\\351\\n\\nmore\\n' >&2")
    with pytest.raises(SlurmUnavailable, match=f"^{program} failed: caf\ufffd; more$"):
        commands.ask_slurm(program)
    (tmp_path / program).write_text("#!/no/such/interpreter\n")
    with pytest.raises(SlurmUnavailable, match="cannot be started: No such file"):
        commands.ask_slurm(program)


def test_machine_without_slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert accounted(["7"]) == []
    with pytest.raises(SlurmUnavailable, match="no squeue here"):
        queued()


def account(job: str, comment: str) -> str:
    return "\x1f".join([job, "COMPLETED", "None", "n1", "study", comment]) + "\n"


TWO = row("31", "RUNNING", "", "", "inr:a")
TOKENS = {
    "in the queue": (QUEUE, "", "a", "7"),
    "the newest of two": (QUEUE + TWO, "", "a", "31"),
    "ended": (QUEUE, account("5_0", "inr:b") + account("5_1", "inr:b"), "b", "5"),
    "beside others' text": ("", account("5", "x|y inr:b z\nw"), "b", "5"),
    "on a second line": ("", account("5", "budget\ninr:b\n7 of us") + account("6", ""), "b", "5"),
    "part of another": (QUEUE, account("5", "inr:ab"), "b", None),
    "unknown": (QUEUE, account("5", "inr:b"), "c", None),
    "by its script": (
        row("6_0", "RUNNING", "", "", "", script="/x y/0123456789ab_submission.sh"),
        "",
        "0123456789ab",
        "6",
    ),
}


@pytest.mark.parametrize(("queue", "accounts", "token", "job"), TOKENS.values(), ids=TOKENS.keys())
def test_job_is_found_by_its_token(
    answer: Answer, queue: str, accounts: str, token: str, job: str | None
) -> None:
    answer("squeue", queue)
    answer("sacct", accounts)
    assert find_job(token) == job


def test_job_is_not_called_unknown_when_the_queue_is(answer: Answer) -> None:
    answer("squeue", code=1)
    with pytest.raises(SlurmUnavailable):
        find_job("a")


@pytest.mark.slurm
@pytest.mark.skipif("SLURM_CONF" not in os.environ, reason="no cluster")
def test_real_array(tmp_path: Path) -> None:
    if shutil.which("sbatch") is None:
        pytest.fail("SLURM_CONF is set, but there is no sbatch")
    token = f"{time.time_ns()}"
    comment = f"budget\n7|\x1fx inr:{token}\nx"
    options = [
        "--parsable",
        "--job-name=a\nb",
        f"--comment={comment}",
        "--output=/dev/null",
        "--mem=50",
    ]
    command = [
        "sbatch",
        *options,
        "--output=/dev/null",
        "--array=0-6:3%2",
        "--wrap",
        "exit $SLURM_ARRAY_TASK_ID",
    ]
    job = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def waiting() -> list[TaskState]:
        return [task for task in queued() if task.job_id == job]

    tasks = waiting()
    assert {(task.index, task.comment) for task in tasks} == {(i, comment) for i in (0, 3, 6)}
    assert {task.name for task in tasks} == {"a\nb"}
    assert find_job(token) == job

    # accounting learns of it some seconds later than the queue
    ends = {0: "COMPLETED", 3: "FAILED", 6: "FAILED"}
    deadline = time.monotonic() + 90
    while waiting() or {task.index: task.state for task in accounted([job])} != ends:
        assert time.monotonic() < deadline, accounted([job])
        time.sleep(0.5)
    assert find_job(token) == job
