"""`jobs/manage.py` as people call it, its status and its logs, on stand-ins for Slurm."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from inr.storage.paths import SweepLayout
from inr.storage.provenance import ROOT
from jobs.managing import logs
from jobs.managing.arguments import parse_options
from jobs.managing.logs import tail
from tests.helpers.managing import call, fail, finish, runs
from tests.helpers.slurm.fake_slurm import FakeSlurm

pytestmark = pytest.mark.usefixtures("slurm")


# --- the command line


WRONG = {
    "no command": ([], "COMMAND"),
    "unknown command": (["mend"], "'status', 'logs', 'cancel', 'retry'"),
    "no such sweep": (["status", "nowhere"], "nowhere: not a sweep, it does not exist"),
    "directory after --watch": (["status", "--watch", "out"], "Write OUTPUT_DIR before --watch"),
    "too eager": (["status", "--watch", "0"], "between 0.1 and 86400"),
    "no lines": (["logs", "1", "--lines", "0"], "--lines 0: at least 1 is needed"),
    "three words": (["logs", "a", "b", "c"], "logs a b c: give RUN, and"),
    "no run to drop": (["drop"], "arguments are required: RUN"),
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
        assert (options.output, options.runs) == ("out", ["1"])
    assert parse_options(["logs", "1"]).output is None


def test_a_path_may_begin_at_home(layout: SweepLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(layout.root.resolve().parent))
    assert call("status", "~/out") == 0
    assert call("logs", "0", "~/out") == 1  # there are none yet


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
