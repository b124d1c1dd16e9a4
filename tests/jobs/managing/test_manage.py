"""`jobs/manage.py` as people call it, on stand-ins for Slurm."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import OwnerRecord
from filelock._identity import host_name, process_start_token

from inr.config import RunConfig
from inr.errors import run_main
from inr.storage.attempts import AttemptLog
from inr.storage.lock import RunLock
from inr.storage.paths import SweepLayout
from inr.storage.provenance import ROOT
from inr.storage.sweep_index import IndexEntry, read_index, read_submissions
from jobs import launch, manage
from jobs.launching import modes, plan
from jobs.managing import logs
from jobs.managing.arguments import parse_options
from jobs.managing.cancel import _interrupt
from jobs.managing.exit_reason import tail
from jobs.managing.retry import _set_aside_damaged
from jobs.managing.sweep_status import read_status
from tests.helpers.fake_slurm import FakeSlurm, install
from tests.helpers.synthetic import write_run

SWEEP = """
base: {data: {size: 16, frames: 2}, model: {width: 8, depth: 1}, training: {steps: 4}}
seeds: 4
"""


@pytest.fixture(autouse=True)
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    fake = install(tmp_path, monkeypatch)
    scancel = tmp_path / "bin" / "scancel"
    scancel.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/cancelled\n')
    scancel.chmod(0o755)
    return fake


@pytest.fixture
def layout(slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]) -> SweepLayout:
    """Four runs, submitted as array 41; post-processing as 42."""
    Path("sweep.yaml").write_text(SWEEP)
    options = ["--sweep", "sweep.yaml", "--profile", "testbed", "--output", "out"]
    assert launch.main(["--array", *options, "--no-preflight"]) == 0
    capsys.readouterr()
    return SweepLayout(Path("out"))


def runs(layout: SweepLayout) -> list[IndexEntry]:
    return read_index(layout)


def finish(layout: SweepLayout, run: IndexEntry) -> None:
    write_run(layout.run(run.name).results, RunConfig.model_validate(run.config), shape=None)


def fail(
    layout: SweepLayout, run: IndexEntry, status: Any, reason: str = "", job: int = 41
) -> None:
    """Let the run's task end so."""
    files = layout.run(run.name)
    files.root.mkdir(parents=True, exist_ok=True)
    log = AttemptLog(files.attempts, f"{job}_{run.task}", 1, 0)
    log.start()
    log.end(status, reason, [])


def call(*words: str) -> int:
    return run_main(lambda: manage.main(words))


# --- the command line


WRONG = {
    "no command": ([], "COMMAND"),
    "unknown command": (["mend"], "'status', 'logs', 'cancel', 'retry'"),
    "no such sweep": (["status", "nowhere"], "nowhere: not a sweep, it does not exist"),
    "directory after --watch": (["status", "--watch", "out"], "Write OUTPUT_DIR before --watch"),
    "too eager": (["status", "--watch", "0"], "between 0.1 and 86400"),
    "no lines": (["logs", "1", "--lines", "0"], "--lines 0: at least 1 is needed"),
    "three words": (["logs", "a", "b", "c"], "give one RUN"),
    "all and failed": (["retry", "--all", "--timed-out"], "--all and --timed-out"),
    "memory here": (["retry", "--local", "--memory", "1GB"], "--memory 1GB: is for Slurm"),
    "workers there": (["retry", "--workers", "2"], "--workers 2: goes with --local only"),
    "not here": (["retry", "--without-slurm"], "--without-slurm: goes with --local only"),
}


@pytest.mark.parametrize(("words", "said"), WRONG.values(), ids=WRONG.keys())
def test_wrong_command_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*words) == 2
    assert said in capsys.readouterr().err


def test_logs_takes_run_and_directory_in_either_order(layout: SweepLayout) -> None:
    for words in (["out", "1"], ["1", "out"]):
        options = parse_options(["logs", *words])
        assert (options.output, options.run) == ("out", "1")
    assert parse_options(["logs", "1"]).output is None


def test_help_answers_at_once() -> None:
    command = [sys.executable, "-X", "importtime", str(ROOT / "jobs" / "manage.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not any(name in done.stderr for name in ("torch", "h5py", "rich", "pydantic", "numpy"))


# --- status


def test_status_of_what_waits_and_what_ended(
    layout: SweepLayout, slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, *_ = runs(layout)
    finish(layout, first)
    assert call("status", "out") == 0
    text = capsys.readouterr().out
    assert "out: 1 of 4 runs finished (25 %)" in text
    assert "waiting     3  Priority" in text
    assert "note" not in text

    slurm.take_away("41")
    fail(layout, second, "failed", "ValueError: no")
    assert call("status", "out", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert [run["state"] for run in document["runs"]] == ["done", "failed", "lost", "lost"]
    assert document["notes"] == [
        "Slurm's accounting says nothing: how runs ended is told by their files alone"
    ]


def test_status_without_slurm(
    layout: SweepLayout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *_ = runs(layout)
    fail(layout, first, "failed", "ValueError: no")
    monkeypatch.setenv("CLUSTER_DOWN", "yes")
    assert call("status", "out", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert [run["state"] for run in document["runs"]] == ["failed"] + ["waiting"] * 3
    [note] = document["notes"]
    assert note.startswith("squeue failed: Unable to contact slurm controller")


def test_job_of_a_launcher_that_was_killed_is_found_by_its_token(
    layout: SweepLayout, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(layout.index.read_text())
    for submission in document["submissions"]:
        submission["job_id"] = None
    layout.index.write_text(json.dumps(document))
    assert call("status", "out", "--json") == 0
    [run, *_] = json.loads(capsys.readouterr().out)["runs"]
    assert (run["state"], run["job"]) == ("waiting", "41_0")


def test_watch_ends_when_nothing_is_under_way(
    layout: SweepLayout, slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]
) -> None:
    threading.Timer(0.5, lambda: slurm.take_away("41")).start()
    assert call("status", "out", "--watch", "0.1") == 0
    text = capsys.readouterr().out
    assert "waiting     4" in text
    assert text.rindex("lost") > text.rindex("waiting     4")


# --- logs


def test_logs_of_an_array_task(layout: SweepLayout, capsys: pytest.CaptureFixture[str]) -> None:
    run = runs(layout)[1]
    assert call("logs", "out", "1") == 1
    assert "no log yet" in capsys.readouterr().out
    layout.submitit.mkdir(exist_ok=True)
    for name, text in {
        "41_1_0_log.out": "".join(f"line {n}\n" for n in range(50)),
        "41_1_0_log.err": "",
        "41_10_0_log.out": "another run\n",
        "41_2_0_log.out": "another run\n",
    }.items():
        (layout.submitit / name).write_text(text)
    files = layout.run(run.name)
    files.root.mkdir(parents=True)
    files.error.write_text("Traceback\nValueError: no\n")
    assert call("logs", "out", run.name, "--lines", "3") == 0
    assert capsys.readouterr().out.splitlines() == [
        "==> out/submitit/41_1_0_log.out <==", "line 47", "line 48", "line 49",
        f"==> {files.error} <==", "Traceback", "ValueError: no",
    ]  # fmt: skip


def test_logs_of_a_task_here(layout: SweepLayout, capsys: pytest.CaptureFixture[str]) -> None:
    run, other, *_ = runs(layout)
    folder = layout.submitit / "local-20260101-120000-7"
    folder.mkdir(parents=True)
    (folder / "8_0_log.out").write_text(f"submitit\n{run.name} ({run.run_id}), mine\n")
    (folder / "8_0_log.err").write_text("warning\n")
    (folder / "9_0_log.out").write_text(f"submitit\n{other.name} ({other.run_id}), other\n")
    assert call("logs", "out", run.run_id) == 0
    text = capsys.readouterr().out
    assert "mine" in text
    assert "warning" in text
    assert "other" not in text


def test_logs_of_an_unclear_run(layout: SweepLayout, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("logs", "out", "sine") == 2
    assert "sine: 4 runs have this in their name" in capsys.readouterr().err
    assert call("logs", "out", "cosine") == 2
    assert "cosine: no such run. Give a name such as" in capsys.readouterr().err


def test_follow_prints_what_is_written(
    layout: SweepLayout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layout.submitit.mkdir(exist_ok=True)
    out, err = (layout.submitit / f"41_0_0_log.{kind}" for kind in ("out", "err"))
    out.write_text("begin\n")

    def steps() -> Iterator[None]:
        out.write_text("begin\nmore\n")
        yield
        err.write_text("oops\n")
        yield
        raise KeyboardInterrupt

    script = steps()
    monkeypatch.setattr(logs.time, "sleep", lambda _: next(script))
    assert call("logs", "out", "0", "--follow") == 0
    text = capsys.readouterr().out
    assert text.splitlines() == [
        f"==> {out} <==", "begin", "more", "", f"==> {err} <==", "oops", ""
    ]  # fmt: skip


TAILS = {
    "short": ("a\nb\n", 5, ["a", "b"]),
    "no newline at the end": ("a\nb", 1, ["b"]),
    "exact": ("a\nb\nc\n", 2, ["b", "c"]),
    "over several blocks": ("x" * 100_000 + "\n" + "y" * 100_000 + "\nz\n", 2,
                            ["y" * 100_000, "z"]),
    "empty": ("", 3, []),
}  # fmt: skip


@pytest.mark.parametrize(("text", "lines", "expected"), TAILS.values(), ids=TAILS.keys())
def test_tail(tmp_path: Path, text: str, lines: int, expected: list[str]) -> None:
    (tmp_path / "log").write_text(text)
    assert tail(tmp_path / "log", lines) == expected


# --- cancel


def cancelled() -> list[str]:
    path = Path("cancelled")
    return path.read_text().splitlines() if path.exists() else []


class Terminal(io.StringIO):
    """Somebody types."""

    def isatty(self) -> bool:
        return True


def test_cancel_asks_somebody(layout: SweepLayout, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("cancel", "out") == 2
    output = capsys.readouterr()
    assert "no terminal to ask on: add --yes" in output.err
    assert "0 running and 4 waiting runs, Slurm 41, post-processing 42" in output.out
    assert not cancelled()


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1), ("", 1)])
def test_cancel_does_what_is_answered(
    layout: SweepLayout, monkeypatch: pytest.MonkeyPatch, typed: str, code: int
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    assert call("cancel", "out") == code
    assert cancelled() == (["41 42"] if code == 0 else [])


def test_cancel_single_runs(layout: SweepLayout) -> None:
    assert call("cancel", "out", "--yes", "--run", "1", "--run", runs(layout)[3].name) == 0
    assert cancelled() == ["41_1 41_3"]


def test_cancel_of_nothing(
    layout: SweepLayout, slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm.take_away("41")
    slurm.take_away("42")
    assert call("cancel", "out", "--yes") == 0
    assert "nothing runs or waits" in capsys.readouterr().out


def test_post_processing_alone_can_be_cancelled(layout: SweepLayout, slurm: FakeSlurm) -> None:
    slurm.take_away("41")
    assert call("cancel", "out", "--yes") == 0
    assert cancelled() == ["42"]


def test_cancel_when_slurm_does_not_answer(
    layout: SweepLayout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLUSTER_DOWN", "yes")
    assert call("cancel", "out", "--yes") == 1
    assert "Try again when it answers" in capsys.readouterr().err
    assert not cancelled()


@pytest.mark.parametrize(("code", "said", "result"), [
    (1, "scancel: error: Access/permission denied on job id 41", 1),
    (1, "scancel: error: Kill job error on job id 41: Invalid job id specified", 0),
    (0, "", 0),
], ids=["denied", "ended meanwhile", "done"])  # fmt: skip
def test_answer_of_scancel(
    layout: SweepLayout, code: int, said: str, result: int, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bin/scancel").write_text(f'#!/bin/sh\necho "{said}" >&2\nexit {code}\n')
    assert call("cancel", "out", "--yes") == result
    if result:
        assert "error: scancel failed: Access/permission denied" in capsys.readouterr().err


TASK = """
import pathlib, signal, sys, time
from inr.storage.attempts import AttemptLog
from inr.storage.lock import RunLock
signal.signal(signal.SIGTERM, signal.default_int_handler)
try:
    lock = pathlib.Path(sys.argv[1])
    with RunLock(lock):
        for job in sys.argv[2:]:
            AttemptLog(lock.with_name("attempts.jsonl"), job, 1, 0).start()
        print("holds", flush=True)
        time.sleep(60)
except KeyboardInterrupt:
    sys.exit(3)
"""


@pytest.mark.parametrize("chosen", [[], ["--run", "0"]], ids=["launcher", "task"])
def test_cancel_of_a_local_launch(layout: SweepLayout, slurm: FakeSlurm, chosen: list[str]) -> None:
    slurm.take_away("41")
    slurm.take_away("42")
    locks = [layout.launch_lock, layout.run(runs(layout)[0].name).lock]
    holders = [
        subprocess.Popen([sys.executable, "-c", TASK, lock], stdout=subprocess.PIPE)
        for lock in locks
    ]
    try:
        for holder in holders:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"holds\n"
        assert call("cancel", "out", "--yes", *chosen) == 0
        meant, other = reversed(holders) if chosen else holders
        assert meant.wait(timeout=10) == 3
        assert other.poll() is None
    finally:
        for holder in holders:
            holder.kill()
            holder.communicate()
    assert not cancelled()


@pytest.mark.parametrize(("job", "stops"), [("900_3", True), ("77", True), ("41_0", False)])
def test_cancel_of_a_launch_inside_an_allocation(
    layout: SweepLayout,
    slurm: FakeSlurm,
    capsys: pytest.CaptureFixture[str],
    job: str,
    stops: bool,
) -> None:
    slurm.take_away("41")
    slurm.take_away("42")
    lock = str(layout.run(runs(layout)[0].name).lock)
    command = [sys.executable, "-c", TASK, lock, job]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"holds\n"
            assert call("cancel", "out", "--yes") == 0
            said = capsys.readouterr().out
            assert ("about to end" in said) is not stops
            if stops:
                assert holder.wait(timeout=10) == 3
            assert (holder.poll() is not None) is stops
        finally:
            holder.kill()
    assert not cancelled()


# --- retry


def submitted(slurm: FakeSlurm) -> list[str]:
    """Scripts after the first two."""
    return slurm.submitted()[2:]


def retry(*words: str) -> int:
    return call("retry", "out", "--no-preflight", "--no-post", *words)


@pytest.fixture
def ended(layout: SweepLayout, slurm: FakeSlurm) -> SweepLayout:
    """One run failed, one out of memory, one done, one lost."""
    slurm.take_away("41")
    slurm.take_away("42")
    failed, hungry, done, _ = runs(layout)
    fail(layout, failed, "failed", "ValueError: no")
    fail(layout, hungry, "out_of_memory", "can't allocate memory")
    finish(layout, done)
    return layout


CHOICES = {
    "everything": ([], {0, 1, 3}),
    "all": (["--all"], {0, 1, 3}),
    "failed": (["--failed"], {0}),
    "failed and lost": (["--failed", "--lost"], {0, 3}),
    "timed out": (["--timed-out"], set()),
}


@pytest.mark.parametrize(("words", "tasks"), CHOICES.values(), ids=CHOICES.keys())
def test_retry_submits_what_is_chosen(
    ended: SweepLayout, words: list[str], tasks: set[int]
) -> None:
    before = read_submissions(ended)
    assert retry(*words) == 0
    names = set()
    for submission in read_submissions(ended)[len(before) :]:
        document = json.loads(ended.submission(submission.token).read_text())
        names |= {run["name"] for run in document["runs"]}
        assert submission.profile == "testbed"
    assert names == {run.name for run in runs(ended) if run.task in tasks}


def test_retry_says_what_it_will_do(
    ended: SweepLayout, slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]
) -> None:
    ended.run(runs(ended)[0].name).checkpoint.touch()
    assert retry("--dry-run") == 0
    assert capsys.readouterr().out.splitlines() == [
        "out: 3 runs to start again (1 failed, 1 out of memory, 1 lost), "
        "1 of them from a checkpoint",
        "  profile testbed, 2GB of memory: 2 runs",
        "  profile testbed, 4GB of memory: 1 run",
    ]
    assert not submitted(slurm)


def test_retry_leaves_alone_what_waits(
    layout: SweepLayout, slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]
) -> None:
    assert retry() == 0
    assert "nothing to start again; 4 runs under way left alone" in capsys.readouterr().out
    assert not submitted(slurm)


def test_memory_is_doubled_each_time(ended: SweepLayout, slurm: FakeSlurm) -> None:
    hungry = runs(ended)[1]
    assert retry("--out-of-memory") == 0
    assert "#SBATCH --mem=4GB" in submitted(slurm)[-1]
    # the script that sbatch was given is kept by submitit under the number of the job
    job = read_submissions(ended)[-1].job_id
    assert "--mem=4GB" in (ended.submitit / f"{job}_submission.sh").read_text()
    slurm.take_away(str(job))
    time.sleep(1.1)  # times are told in seconds
    files = ended.run(hungry.name)
    log = AttemptLog(files.attempts, str(job), 1, 0)
    log.start()
    log.end("out_of_memory", "can't allocate memory", [])
    assert retry("--out-of-memory") == 0
    assert "#SBATCH --mem=8GB" in submitted(slurm)[-1]


def test_memory_can_be_told(ended: SweepLayout, slurm: FakeSlurm) -> None:
    assert retry("--memory", "32GB") == 0
    [script] = submitted(slurm)
    assert "#SBATCH --mem=32GB" in script


def test_memory_of_a_gpu_is_not_doubled(
    ended: SweepLayout, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(ended, runs(ended)[1], "out_of_memory", "OutOfMemoryError: CUDA out of memory")
    assert retry("--dry-run", "--out-of-memory") == 0
    text = capsys.readouterr().out
    assert "2GB of memory: 1 run" in text
    assert "choose larger GPUs" in text


PROFILE = "time: 10\ngpus: 0\ncpus: 1\n"
FAULTS = {
    "no amount": (["--memory", "lots"], "--memory lots: is not allowed: a whole number and KB"),
    "no such profile": (["--profile", "moon"], "no cluster profile 'moon'"),
    "no memory to double": (["--profile", "p.yaml"], "Give --memory, such as"),
}


@pytest.mark.parametrize(("words", "said"), FAULTS.values(), ids=FAULTS.keys())
def test_retry_refuses(
    ended: SweepLayout, words: Sequence[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("p.yaml").write_text(PROFILE)
    assert retry(*words) == 2
    assert said in capsys.readouterr().err


def test_retry_here(ended: SweepLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(
        modes, "train_here", lambda layout, runs, **more: asked.append((runs, Namespace(**more)))
    )
    assert retry("--local", "--workers", "3", "--failed") == 0
    [(chosen, options)] = asked
    assert chosen == [runs(ended)[0]]
    assert (options.workers, options.total, options.post) == (3, 4, False)


@pytest.fixture
def trained_here(monkeypatch: pytest.MonkeyPatch) -> list[IndexEntry]:
    """The runs that were to be trained here."""
    trained: list[IndexEntry] = []

    def train_here(_: SweepLayout, chosen: Sequence[IndexEntry], **__: Any) -> int:
        trained.extend(chosen)
        return 0

    monkeypatch.setattr(modes, "train_here", train_here)
    return trained


def test_retry_when_slurm_is_gone_for_good(
    layout: SweepLayout,
    trained_here: list[IndexEntry],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    failed, done, *waiting = runs(layout)
    fail(layout, failed, "failed", "ValueError: no")
    finish(layout, done)
    assert retry("--local", "--without-slurm") == 2
    assert "Take that back with `manage.py cancel out`, then retry" in capsys.readouterr().err

    monkeypatch.setenv("CLUSTER_DOWN", "yes")
    assert retry("--local") == 0
    text = capsys.readouterr().out
    assert "2 runs under way left alone. Slurm does not answer" in text
    assert "--local --without-slurm" in text
    assert trained_here == [failed]
    assert retry("--local", "--without-slurm") == 0
    assert "left alone" not in capsys.readouterr().out
    assert trained_here == [failed, failed, *waiting]


def test_damaged_results_are_set_aside(
    ended: SweepLayout, slurm: FakeSlurm, trained_here: list[IndexEntry]
) -> None:
    """A task that finds a finished file, damaged where it does not look, would do nothing."""
    done = runs(ended)[2]
    files = ended.run(done.name)
    damaged = files.results.read_bytes()[:-1000]
    files.results.write_bytes(damaged)
    assert retry("--dry-run") == 0
    assert files.results.exists()
    assert retry("--local", "--failed") == 0
    assert done in trained_here
    assert not files.results.exists()
    assert files.damaged.read_bytes() == damaged


def test_retry_acts_on_what_it_sees_under_the_lock(
    ended: SweepLayout,
    slurm: FakeSlurm,
    trained_here: list[IndexEntry],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Another launcher may have trained a run between the look and the lock."""
    files = ended.run(runs(ended)[2].name)
    sound = files.results.read_bytes()
    files.results.write_bytes(sound[:-1000])

    @contextmanager
    def launching(output: Path) -> Iterator[None]:
        with plan.launching(output):
            files.results.write_bytes(sound)
            yield

    monkeypatch.setattr("jobs.managing.retry.launching", launching)
    assert retry("--local", "--failed") == 0
    assert runs(ended)[2] not in trained_here
    assert files.results.read_bytes() == sound
    assert not files.damaged.exists()


def test_damaged_results_of_a_run_that_trains_stay(
    ended: SweepLayout, slurm: FakeSlurm, trained_here: list[IndexEntry]
) -> None:
    files = ended.run(runs(ended)[2].name)
    damaged = files.results.read_bytes()[:-1000]
    files.results.write_bytes(damaged)
    status = read_status(ended)
    chosen = [run for run in status.runs if run.name == runs(ended)[2].name]
    with RunLock(files.lock):
        _set_aside_damaged(status, chosen)
        assert files.results.read_bytes() == damaged
    _set_aside_damaged(status, chosen)
    assert files.damaged.read_bytes() == damaged


def test_cancel_kills_no_later_process_of_the_same_number() -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        owner = OwnerRecord(other.pid, host_name(), "lease", start=1)
        _interrupt(owner)
        assert other.poll() is None
        _interrupt(owner._replace(start=process_start_token(other.pid)))
        assert other.wait(10) == -signal.SIGTERM


# --- on a real cluster


@pytest.mark.slurm
@pytest.mark.skipif("SLURM_CONF" not in os.environ, reason="no cluster")
def test_out_of_memory_is_named_and_mended(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.environ["PATH"].partition(os.pathsep)[2])  # no stand-ins
    from tests.helpers.slurm_sweep import Sweep, wait_for

    sweep = Sweep(tmp_path_factory.mktemp("hungry"), memory="150MB")
    sweep.launch()
    wait_for(lambda: {run["state"] for run in sweep.states().values()} == {"out_of_memory"})
    sweep.manage("retry", "--out-of-memory", "--memory", "1GB", "--no-preflight", "--no-post")
    wait_for(lambda: {run["state"] for run in sweep.states().values()} == {"done"})
    assert "nothing to start again" in sweep.manage("retry")
