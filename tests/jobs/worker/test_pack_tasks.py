"""Packs as tasks: how runs are grouped, submitted, shown and cancelled, and started here."""

import json
import signal
from pathlib import Path

import pytest

from inr.config import RunConfig
from inr.errors import UsageError, run_main
from inr.results import outcome
from inr.storage.attempts import read_attempts
from inr.storage.lock import RunLock
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import IndexEntry, read_index, read_submissions
from jobs import launch as launcher
from jobs import manage
from jobs.launching.arguments import parse_options
from jobs.sweeps.grouping import Packing
from slurm.journal import Journal
from tests.helpers.local_launch import launch
from tests.helpers.packs import BASE, tiny
from tests.helpers.slurm.fake_slurm import FakeSlurm, install


def entries(*configs: RunConfig) -> list[IndexEntry]:
    return [
        IndexEntry(config.run_id, f"run{task}", task, config.model_dump(mode="json"))
        for task, config in enumerate(configs)
    ]


# --- grouping


def test_runs_of_one_shape_are_grouped_in_order() -> None:
    small, large = tiny(), tiny(batch=32)
    shapes = [small, large, small, small, large, small]
    runs = entries(*(s.model_copy(update={"training": s.training.model_copy(update={"seed": n})})
                     for n, s in enumerate(shapes)))  # fmt: skip
    found = [[run.task for run in group] for group in Packing(3).groups(runs)]
    assert found == [[0, 2, 3], [1, 4], [5]]
    assert [[run.task for run in group] for group in Packing().groups(runs)] == [
        [n] for n in range(6)
    ]


WRONG = {
    "none": ["--local", "--pack", "0"],
    "debug": ["--debug", "--pack", "2"],
    "mode alone": ["--local", "--pack-mode", "fused"],
    "unknown mode": ["--local", "--pack", "2", "--pack-mode", "both"],
}


@pytest.mark.parametrize("words", WRONG.values(), ids=WRONG.keys())
def test_options_that_make_no_sense(words: list[str]) -> None:
    with pytest.raises(UsageError, match="--pack"):
        parse_options(words)


def test_compile_is_short_for_the_field() -> None:
    assert parse_options(["--local", "--compile", "on"]).overrides == ["training.compile=on"]


# --- a cluster


SWEEP = """
base: {data: {size: 16, frames: 2}, model: {width: 8, depth: 1}, training: {steps: 4}}
seeds: %d
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    monkeypatch.chdir(tmp_path)
    fake = install(tmp_path, monkeypatch)
    scancel = tmp_path / "bin" / "scancel"
    scancel.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/cancelled\n')
    scancel.chmod(0o755)
    return fake


def submit(runs: int, *more: str) -> SweepLayout:
    Path("sweep.yaml").write_text(SWEEP % runs)
    where = ["--array", "--sweep", "sweep.yaml", "--profile", "testbed", "--output", "out"]
    assert launcher.main([*where, "--no-preflight", "--no-post", *more]) == 0
    return SweepLayout(Path("out"))


def test_a_task_trains_a_pack(slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]) -> None:
    layout = submit(5, "--pack", "2", "--pack-mode", "fused")
    said = capsys.readouterr().out
    assert "submitting 5 runs in 3 tasks (packs of at most 2, mode fused) in 1 array" in said
    assert len(slurm.waiting()) == 3
    (submission,) = read_submissions(layout)
    assert submission.tasks == 3
    ids = [run.run_id for run in read_index(layout)]
    assert Journal(layout).tasks(submission) == [ids[:2], ids[2:4], ids[4:]]
    submit(5, "--pack", "2")
    assert "already queued or running: 5 runs" in capsys.readouterr().out
    # a task that has left the queue takes both of its runs along
    lines = slurm.queue.read_text().splitlines(keepends=True)
    slurm.queue.write_text("".join(lines[1:]))
    submit(5, "--pack", "2")
    assert Journal(layout).tasks(read_submissions(layout)[-1]) == [ids[:2]]


def test_a_submission_of_before_there_were_packs_is_read(slurm: FakeSlurm) -> None:
    layout = submit(3)
    (submission,) = read_submissions(layout)
    path = layout.submission(submission.token)
    document = json.loads(path.read_text())
    del document["tasks"], document["pack_mode"]
    path.write_text(json.dumps(document))
    ids = [[run.run_id] for run in read_index(layout)]
    assert Journal(layout).tasks(submission) == ids


def test_dry_run_shows_packs(slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]) -> None:
    submit(3, "--pack", "2", "--dry-run")
    said = capsys.readouterr().out
    assert "# 3 runs in 2 tasks (packs of at most 2, mode auto)\n# tasks: 2, arrays: 1" in said
    rows = [line.split()[-1] for line in said.splitlines() if "sine_uniform" in line]
    assert rows == ["0", "0", "1"]


def test_status_knows_the_task_of_each_run(
    slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]
) -> None:
    submit(4, "--pack", "2")
    capsys.readouterr()
    assert manage.main(["status", "out", "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [run["job"] for run in runs] == ["41_0", "41_0", "41_1", "41_1"]


CANCELS = {
    "one of two": (["0"], None),
    "both": (["0", "1"], "41_0"),
    "the whole task": (["2", "--whole-tasks"], "41_1"),
}


@pytest.mark.parametrize(("chosen", "asked"), CANCELS.values(), ids=CANCELS.keys())
def test_cancel_of_a_run_that_shares_its_task(
    slurm: FakeSlurm, capsys: pytest.CaptureFixture[str], chosen: list[str], asked: str | None
) -> None:
    layout = submit(4, "--pack", "2")
    words = [word for each in chosen for word in (["--run", each] if each.isdigit() else [each])]
    code = run_main(lambda: manage.main(["cancel", "out", "--yes", *words]))
    assert code == (0 if asked else 2)
    if asked:
        assert Path("cancelled").read_text() == f"{asked}\n"
    else:
        other = read_index(layout)[1].name
        assert f"the same task also trains {other}. Choose these" in capsys.readouterr().err
        assert not Path("cancelled").exists()


def test_cancel_of_a_run_whose_process_trains_others(
    slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = submit(2, "--pack", "2")
    slurm.queue.write_text("")
    first, second = (layout.run(run.name) for run in read_index(layout))
    with RunLock(first.lock), RunLock(second.lock):  # of one process
        assert run_main(lambda: manage.main(["cancel", "out", "--yes", "--run", "1"])) == 2
    assert f"also trains {read_index(layout)[0].name}" in capsys.readouterr().err


# --- the command


def test_local_tells_the_end_of_each_run_while_its_task_goes_on(tmp_path: Path) -> None:
    grid = {"training.steps": [20, 200_000]}
    pack_of_two = ("--pack", "2", "--pack-mode", "processes", "--workers", "2")
    with launch(tmp_path, {"base": BASE, "grid": grid}, *pack_of_two) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        first = next(line for line in lines if line.startswith("[1/2]"))
        assert ": complete in " in first
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    short, long = read_index(SweepLayout(tmp_path / "out"))
    assert short.name in first
    assert outcome(SweepLayout(tmp_path / "out").run(long.name).results, long.run_id) is None


def test_local_packs_end_to_end(tmp_path: Path) -> None:
    process = launch(tmp_path, {"base": BASE, "seeds": 2}, "--pack", "2")
    out, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")
    assert "training 2 runs in 1 task (packs of at most 2, mode auto) here, 1 task at a time" in out
    layout = SweepLayout(tmp_path / "out")
    runs = read_index(layout)
    assert [outcome(layout.run(run.name).results, run.run_id) for run in runs] == ["complete"] * 2
    attempts = [read_attempts(layout.run(run.name).attempts)[0] for run in runs]
    assert len({attempt.members for attempt in attempts}) == 1  # all or none side by side
    assert any(f"[2/2] {run.name}: complete" in out for run in runs)
