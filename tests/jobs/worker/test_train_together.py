"""Training of the pack of a task: its locks, how its runs end and are stopped, and its mode."""

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Thread

import pytest

import inr.training.fit
from inr.results import outcome
from inr.signals import StopRequest
from inr.storage.attempts import read_attempts
from inr.storage.lock import RunLock
from inr.storage.paths import SweepLayout
from jobs.worker import array_task
from jobs.worker.train import choose_mode, claim
from tests.helpers.local_launch import wait_until
from tests.helpers.packs import pack, send_when, series, tiny


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
    assert array_task.main() == 1
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
    configs = [tiny(seed=seed) for seed in range(runs)]
    assert choose_mode(configs, "auto") == mode
    if runs > 1:
        assert choose_mode(configs, "fused") == "fused"
        assert choose_mode(configs, "processes") == "processes"
