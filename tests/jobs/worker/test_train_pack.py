"""Packs as tasks: how runs are grouped, submitted, trained together and stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

import inr.training.fit
from inr.config import RunConfig
from inr.errors import UsageError, run_main
from inr.quantities import METRICS
from inr.results import open_run, outcome, read_series
from inr.signals import StopRequest
from inr.storage.attempts import read_attempts
from inr.storage.lock import RunLock, is_alive, read_owner
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import IndexEntry, read_index, read_submissions
from jobs import launch as launcher
from jobs import manage
from jobs.launching.arguments import parse_options
from jobs.sweeps.grouping import Packing
from jobs.worker import array_task as worker
from jobs.worker.train_pack import choose_mode, claim, run_pack
from slurm.journal import Journal
from tests.helpers.fake_slurm import FakeSlurm, install
from tests.jobs.launching.test_local_pool import launch, wait_until

BASE: dict[str, Any] = {
    "data": {"size": 12, "frames": 2},
    "model": {"width": 4, "depth": 1},
    "training": {"steps": 20, "batch": 16},
    "record": {"metrics_every": 10, "tensorboard": False},
}


def tiny(**training: Any) -> RunConfig:
    return RunConfig.model_validate(BASE | {"training": BASE["training"] | training})


def entries(*configs: RunConfig) -> list[IndexEntry]:
    return [
        IndexEntry(config.run_id, f"run{task}", task, config.model_dump(mode="json"))
        for task, config in enumerate(configs)
    ]


def pack(root: Path, configs: list[RunConfig], mode: str, **options: Any) -> list[str]:
    work = [(f"run{i}", config.canonical_json()) for i, config in enumerate(configs)]
    return run_pack(str(root), work, mode, **options)  # type: ignore[arg-type]


def series(root: Path, name: str) -> dict[str, np.ndarray]:
    with open_run(SweepLayout(root).run(name).results) as file:
        found = read_series(file)
    return {key: found[key] for key in ("step", "loss", *METRICS)}


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


# --- a task


def test_a_pack_that_waits_holds_nothing(tmp_path: Path) -> None:
    """Two packs that share runs would wait for each other."""
    paths = [tmp_path / name for name in ("a", "b")]
    taken: list[dict[str, RunLock]] = []

    def take(names: Sequence[Path]) -> None:
        taken.append(claim({path.name: RunLock(path) for path in names}, wait=60.0))

    with RunLock(paths[1]):
        one = Thread(target=take, args=(paths,))
        one.start()
        time.sleep(1.0)
        with RunLock(paths[0], wait=5.0):  # free nearly all the time
            pass
        assert one.is_alive()
    one.join()
    assert set(taken[0]) == {"a", "b"}
    other = Thread(target=take, args=(paths[::-1],))
    other.start()
    assert other.is_alive()
    for lock in taken[0].values():
        lock.release()
    other.join()
    assert set(taken[1]) == {"a", "b"}
    for lock in taken[1].values():
        lock.release()
    (tmp_path / "file").touch()
    locks = {"a": RunLock(paths[0]), "bad": RunLock(tmp_path / "file" / "lock")}
    assert set(claim(locks, wait=60.0)) == {"a"}  # not waited for: it says itself what is wrong
    with RunLock(paths[1]):
        assert set(claim({path.name: RunLock(path) for path in paths[1:]}, wait=0.0)) == set()
    locks["a"].release()


def test_each_member_comes_to_its_own_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One was finished before, one cannot write, one diverges, one is somebody else's."""
    configs = [tiny(), tiny(seed=1), tiny(learning_rate=1e30, steps=60), tiny(seed=4)]
    layout = SweepLayout(tmp_path)
    files = [layout.run(f"run{number}") for number in range(4)]
    assert pack(tmp_path, configs[:1], "fused") == ["complete"]
    before = files[0].results.stat().st_mtime_ns
    files[1].results.mkdir(parents=True)
    with RunLock(files[3].lock):
        ends = pack(tmp_path, configs, "fused")
    assert ends == ["complete", "failed", "diverged", "failed"]
    assert files[0].results.stat().st_mtime_ns == before
    said = capsys.readouterr().err
    assert "run1: UserError" in said
    assert "run3: LockHeldError" in said
    assert "Traceback" in files[1].error.read_text()
    (failed,) = read_attempts(files[1].attempts)
    assert (failed.status, failed.members) == ("failed", 3)
    assert "cannot be written" in failed.reason
    (diverged,) = read_attempts(files[2].attempts)
    assert (diverged.status, diverged.members) == ("diverged", 3)
    assert outcome(files[2].results, configs[2].run_id) == "diverged"
    assert not read_attempts(files[3].attempts)
    assert not files[3].error.exists()
    assert not any(each.lock.exists() for each in files)


def send_when(condition: Callable[[], bool], number: signal.Signals) -> threading.Thread:
    """Send this process a signal once something is so."""

    def send() -> None:
        if wait_until(condition):
            os.kill(os.getpid(), number)

    sender = threading.Thread(target=send)
    sender.start()
    return sender


def test_one_that_failed_is_free_while_the_others_train(tmp_path: Path) -> None:
    configs = [tiny(seed=1, steps=10_000_000), tiny(seed=2)]
    layout = SweepLayout(tmp_path)
    going, failing = layout.run("run0"), layout.run("run1")
    failing.results.mkdir(parents=True)
    free: list[bool] = []

    def has_failed() -> bool:
        if going.progress.exists() and failing.error.exists():
            free.append(wait_until(lambda: not failing.lock.exists(), 5) and going.lock.exists())
        return bool(free)

    sender = send_when(has_failed, signal.SIGTERM)
    assert pack(tmp_path, configs, "fused") == ["stopped", "failed"]
    sender.join()
    assert free == [True]


def test_a_signal_saves_all_and_they_go_on_to_the_same_bytes(tmp_path: Path) -> None:
    configs = [tiny(seed=seed, steps=600) for seed in (1, 2)]
    layout = SweepLayout(tmp_path / "cut")
    files = [layout.run(f"run{number}") for number in (0, 1)]
    sender = send_when(lambda: all(each.progress.exists() for each in files), signal.SIGUSR2)
    assert pack(layout.root, configs, "fused") == ["stopped", "stopped"]
    sender.join()
    for each in files:
        (attempt,) = read_attempts(each.attempts)
        assert (attempt.status, attempt.reason) == ("stopped", "asked to by SIGUSR2")
        assert each.checkpoint.exists()
    assert pack(layout.root, configs, "fused") == ["complete", "complete"]
    assert pack(tmp_path / "whole", configs, "fused") == ["complete", "complete"]
    for name in ("run0", "run1"):
        cut, whole = series(layout.root, name), series(tmp_path / "whole", name)
        for key, column in whole.items():
            assert cut[key].tobytes() == column.tobytes(), key


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a task with two cores is told."""
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "2")


@pytest.mark.usefixtures("two_cores")
def test_each_process_comes_to_its_own_end(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One cannot write; a signal to the task goes on to the other, which is saved."""
    configs = [tiny(seed=1, steps=10_000_000), tiny(seed=2)]
    layout = SweepLayout(tmp_path)
    stopped, failed = layout.run("run0"), layout.run("run1")
    failed.results.mkdir(parents=True)
    sender = send_when(lambda: stopped.progress.exists() and failed.error.exists(), signal.SIGUSR2)
    assert pack(tmp_path, configs, "processes") == ["stopped", "failed"]
    sender.join()
    (attempt,) = read_attempts(stopped.attempts)
    assert (attempt.status, attempt.reason) == ("stopped", "asked to by SIGUSR2")
    assert attempt.members == 2
    assert stopped.checkpoint.exists()
    assert read_attempts(failed.attempts)[0].status == "failed"
    assert "run1: UserError" in capfd.readouterr().err


@pytest.mark.usefixtures("two_cores")
def test_signals_that_keep_coming_kill_no_process_that_has_stopped(tmp_path: Path) -> None:
    """As Slurm's own signal and the task's do, one of them late."""
    configs = [tiny(seed=seed, steps=10_000_000) for seed in (1, 2)]
    runs = [SweepLayout(tmp_path).run(f"run{number}") for number in (0, 1)]

    def keep_telling() -> None:
        assert wait_until(lambda: all(run.progress.exists() for run in runs))
        children = [owner.pid for run in runs if (owner := read_owner(run.lock))]
        os.kill(os.getpid(), signal.SIGUSR2)
        while children:
            for child in [*children]:
                # gone, or waited for: then the number may not be used again
                stat = Path(f"/proc/{child}/stat")
                if not stat.exists() or ") Z " in stat.read_text():
                    children.remove(child)
                else:
                    with suppress(ProcessLookupError):
                        os.kill(child, signal.SIGUSR2)
            time.sleep(0.001)

    with ThreadPoolExecutor() as pool:
        telling = pool.submit(keep_telling)
        assert pack(tmp_path, configs, "processes") == ["stopped", "stopped"]
        telling.result()


def test_on_one_core_runs_take_turns(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In one process, and after a failure in a new one; each is charged what it used itself."""
    configs = [tiny(seed=seed, steps=200) for seed in range(4)]
    layout = SweepLayout(tmp_path)
    layout.run("run2").results.mkdir(parents=True)
    assert pack(tmp_path, configs, "processes") == ["complete", "complete", "failed", "complete"]
    attempts = [read_attempts(layout.run(f"run{n}").attempts)[0] for n in range(4)]
    assert attempts[0].pid == attempts[1].pid == attempts[2].pid != attempts[3].pid
    assert [attempt.members for attempt in attempts] == [1] * 4
    assert attempts[1].cpu_seconds < attempts[0].cpu_seconds  # which had to load everything
    assert pack(tmp_path / "alone", configs[1:2], "auto") == ["complete"]
    in_turn = series(tmp_path, "run1")
    for key, column in series(tmp_path / "alone", "run0").items():
        assert in_turn[key].tobytes() == column.tobytes(), key
    assert "run2: UserError" in capfd.readouterr().err


def test_a_run_that_is_killed_in_its_turn(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    configs = [tiny(seed=1, steps=10_000_000), tiny(seed=2)]
    first = SweepLayout(tmp_path).run("run0")

    def kill() -> None:
        assert wait_until(first.progress.exists)
        owner = read_owner(first.lock)
        assert owner is not None
        os.kill(owner.pid, signal.SIGKILL)

    with ThreadPoolExecutor() as pool:
        killing = pool.submit(kill)
        assert pack(tmp_path, configs, "processes") == ["failed", "complete"]
        killing.result()
    assert "run0: killed by SIGKILL" in capfd.readouterr().err


def test_a_signal_leaves_those_that_wait_untouched(tmp_path: Path) -> None:
    configs = [tiny(seed=1, steps=10_000_000), tiny(seed=2)]
    layout = SweepLayout(tmp_path)
    sender = send_when(layout.run("run0").progress.exists, signal.SIGUSR2)
    assert pack(tmp_path, configs, "processes") == ["stopped", "stopped"]
    sender.join()
    assert layout.run("run0").checkpoint.exists()
    assert not layout.run("run1").root.exists()


def test_a_signal_before_the_first_step(tmp_path: Path) -> None:
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGUSR2)
        assert pack(tmp_path, [tiny(), tiny(seed=1)], "auto", stop=stop) == ["stopped"] * 2


def test_every_story_is_told_when_the_task_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(*args: object, **options: object) -> None:
        raise SystemExit(3)

    monkeypatch.setattr(inr.training.fit, "fit_together", leave)
    with pytest.raises(SystemExit):
        pack(tmp_path, [tiny(), tiny(seed=1)], "fused")
    for name in ("run0", "run1"):
        (attempt,) = read_attempts(SweepLayout(tmp_path).run(name).attempts)
        assert (attempt.status, attempt.reason) == ("failed", "SystemExit: 3")
        assert not SweepLayout(tmp_path).run(name).lock.exists()


TASK = """
import sys
from jobs.worker.train_pack import claim, run_pack
root, *configs = sys.argv[1:]
print(run_pack(root, [(f"run{i}", c) for i, c in enumerate(configs)], "processes"))
"""


@pytest.mark.usefixtures("two_cores")
def test_killed_processes(tmp_path: Path) -> None:
    """One that is killed takes nobody along; none outlives a task that is killed."""
    configs = [tiny(seed=seed, steps=10_000_000) for seed in (1, 2)]
    layout = SweepLayout(tmp_path)
    first, second = (layout.run(f"run{number}") for number in (0, 1))
    command = [sys.executable, "-c", TASK, str(tmp_path), *(c.canonical_json() for c in configs)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as task:
        assert wait_until(lambda: first.progress.exists() and second.progress.exists())
        victim, survivor = read_owner(first.lock), read_owner(second.lock)
        assert victim is not None
        assert survivor is not None
        assert len({task.pid, victim.pid, survivor.pid}) == 3
        os.kill(victim.pid, signal.SIGKILL)
        written = second.progress.stat().st_mtime_ns
        assert wait_until(lambda: second.progress.stat().st_mtime_ns > written)
        task.kill()
    assert wait_until(lambda: not is_alive(survivor, 0.0))
    assert read_attempts(second.attempts)[0].status == "stopped"  # and it was saved


def test_worker_trains_the_pack_of_its_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a stand-in for scontrol. One cannot write; the other is saved, the task requeued."""
    configs = [tiny(), tiny(seed=1, steps=10_000_000), tiny(seed=2)]
    layout = SweepLayout(tmp_path / "sweep")
    runs = [
        {"run_id": config.run_id, "name": f"run{number}", "config": config.model_dump(mode="json")}
        for number, config in enumerate(configs)
    ]
    ids = [str(run["run_id"]) for run in runs]
    document = {"runs": runs, "tasks": [ids[:1], ids[1:]], "pack_mode": "fused"}
    layout.submission("t0").parent.mkdir(parents=True)
    layout.submission("t0").write_text(json.dumps(document))
    layout.run("run2").results.mkdir(parents=True)
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text('#!/bin/sh\necho "$@" > "$0.asked"\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{scontrol.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "77")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    monkeypatch.setattr(sys, "argv", ["worker", str(layout.root), "t0"])
    sender = send_when(layout.run("run1").progress.exists, signal.SIGUSR2)
    assert worker.main() == 1
    sender.join()
    said = capsys.readouterr()
    assert "run1: stopped\nrun2: failed\nrequeued job 77_1" in said.out
    assert "run2: UserError" in said.err
    assert Path(f"{scontrol}.asked").read_text() == "requeue 77_1\n"
    assert not layout.run("run0").root.exists()


# --- the choice


@pytest.mark.parametrize(
    ("runs", "gpus", "memory", "mode"),
    [
        (4, "", "", "processes"),
        (4, "0", "", "fused"),
        (4, "", "100", "fused"),
        (4, "", "1000000", "processes"),
        (4, "", "0", "processes"),
        (1, "", "", "fused"),
    ],
    ids=["cpu", "gpu", "little memory", "much memory", "no limit", "one run"],
)
def test_auto_fuses_on_a_gpu_and_where_processes_lack_memory(
    runs: int, gpus: str, memory: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    monkeypatch.setenv("SLURM_MEM_PER_NODE", memory)
    assert choose_mode(runs, "auto") == mode
    if runs > 1:
        assert choose_mode(runs, "fused") == "fused"
        assert choose_mode(runs, "processes") == "processes"


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
