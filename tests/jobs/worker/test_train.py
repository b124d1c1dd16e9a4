"""A task: its attempts, its signals, its reasons for failing."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

import inr.training.fit
from inr.config import RunConfig
from inr.errors import UserError
from inr.metrics import METRICS
from inr.progress import Progress
from inr.results import open_run, read_attributes, read_series
from inr.signals import StopRequest
from inr.storage.attempts import read_attempts
from inr.storage.lock import RunLock
from inr.storage.paths import RunLayout, SweepLayout
from jobs.worker.train import train_runs
from tests.helpers.synthetic import write_run


def tiny(steps: int = 20) -> RunConfig:
    return RunConfig.model_validate(
        {
            "data": {"size": 12, "frames": 2},
            "model": {"width": 4, "depth": 1},
            "training": {"steps": steps},
            "record": {"metrics_every": max(5, steps // 20), "tensorboard": False},
        }
    )


def run_here(root: Path, config: RunConfig, **options: object) -> str:
    (end,) = train_runs(str(root), [("run", config.canonical_json())], **options)
    return end


@pytest.fixture
def run(tmp_path: Path) -> RunLayout:
    return SweepLayout(tmp_path).run("run")


def test_finished_run_is_left_alone(run: RunLayout, tmp_path: Path) -> None:
    assert run_here(tmp_path, tiny()) == "complete"
    before = run.results.stat().st_mtime_ns
    assert run_here(tmp_path, tiny()) == "complete"
    assert run.results.stat().st_mtime_ns == before
    (attempt,) = read_attempts(run.attempts)
    assert (attempt.status, attempt.last_step) == ("complete", 20)
    left = {path.name for path in run.root.iterdir()}
    assert left == {"run.h5", "model.pt", "attempts.jsonl", "progress.json"}


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM, signal.SIGINT])
def test_signals_save_the_run_and_it_goes_on_to_the_same_bytes(
    number: signal.Signals, run: RunLayout, tmp_path: Path
) -> None:
    """Two in a row: the second must not disturb what the first began."""
    config = tiny(steps=600)

    def send() -> None:
        while not run.progress.exists():
            time.sleep(0.01)
        for _ in range(2):
            os.kill(os.getpid(), number)
            time.sleep(0.005)

    sender = threading.Thread(target=send)
    sender.start()
    assert run_here(tmp_path, config) == "stopped"
    sender.join()
    assert run.checkpoint.exists()
    (attempt,) = read_attempts(run.attempts)
    assert (attempt.status, attempt.reason) == ("stopped", f"asked to by {number.name}")
    assert run_here(tmp_path, config) == "complete"
    assert run_here(tmp_path / "whole", config) == "complete"
    series = []
    for root in (tmp_path, tmp_path / "whole"):
        with open_run(SweepLayout(root).run("run").results) as file:
            series.append(read_series(file))
            attempts = read_attributes(file)["attempts"]
    for name in ("step", "loss", *METRICS):
        assert series[0][name].tobytes() == series[1][name].tobytes(), name
    assert attempts == 1
    assert [each.status for each in read_attempts(run.attempts)] == ["stopped", "complete"]


def test_signal_before_the_first_step(run: RunLayout, tmp_path: Path) -> None:
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGUSR2)
        assert run_here(tmp_path, tiny(), stop=stop) == "stopped"
        assert stop.received == signal.SIGUSR2
    assert run_here(tmp_path, tiny()) == "complete"


@pytest.mark.parametrize(
    "given", [{"GPUS_ON_NODE": "1"}, {"GPUS_PER_NODE": "a100:2"}], ids=["number", "type"]
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_slurm_gave_and_torch_does_not_find_ends_the_run(
    given: dict[str, str], run: RunLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    with pytest.raises(UserError, match=r"no GPU: Slurm gave this task [12] on"):
        run_here(tmp_path, tiny())
    names = [f"run{number}" for number in (1, 2)]
    pack = [(name, tiny().canonical_json()) for name in names]
    with pytest.raises(UserError, match="no GPU"):
        train_runs(str(tmp_path), pack, "fused")
    for name in ("run", *names):
        (attempt,) = read_attempts(SweepLayout(tmp_path).run(name).attempts)
        assert (attempt.status, attempt.last_step) == ("failed", 0)
        assert "no GPU: Slurm gave this task" in attempt.reason
        assert not SweepLayout(tmp_path).run(name).progress.exists()


FAILURES = [
    (OSError(errno.ENOSPC, "No space left on device"), "disk_full", "No space left"),
    (RuntimeError("CUDA out of memory. Tried to allocate"), "out_of_memory", "CUDA out of"),
    (MemoryError(), "out_of_memory", "MemoryError"),
    (RuntimeError("out of luck"), "failed", "RuntimeError: out of luck"),
]


@pytest.mark.parametrize(("error", "status", "reason"), FAILURES, ids=[f[1] for f in FAILURES])
def test_failures_are_told_by_kind_and_reason(
    error: Exception,
    status: str,
    reason: str,
    run: RunLayout,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: object, **options: object) -> None:
        try:
            raise error
        except OSError as cause:
            raise UserError("run.h5: cannot be written") from cause

    monkeypatch.setattr(inr.training.fit, "Trainer", fail)
    assert run_here(tmp_path, tiny()) == "failed"
    (attempt,) = read_attempts(run.attempts)
    assert attempt.status == status
    assert reason in attempt.reason or "cannot be written" in attempt.reason
    assert "Traceback" in run.error.read_text()
    assert not run.lock.exists()


@pytest.mark.parametrize("status", ["complete", "diverged"])
def test_finished_run_needs_no_training(
    status: str, run: RunLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(run.results, RunConfig(), name="run", status=status)
    monkeypatch.setattr(inr.training.fit, "fit_together", None)
    assert run_here(tmp_path, RunConfig()) == status


def test_failing_task_keeps_its_traceback_and_forgets_the_last(
    run: RunLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(run: inr.training.fit.Run, device: object) -> None:
        run.on_progress(Progress(1, 2, 0.5, {"psnr_value": 20.0}))
        raise RuntimeError("out of luck")

    with monkeypatch.context() as patched:
        patched.setattr(inr.training.fit, "Trainer", fail)
        assert run_here(tmp_path, tiny()) == "failed"
    assert run.error.read_text().splitlines()[-1] == "RuntimeError: out of luck"
    assert json.loads(run.progress.read_text())["step"] == 1

    def end(runs: Sequence[inr.training.fit.Run], **options: object) -> None:
        for each in runs:
            each.on_end("complete")

    monkeypatch.setattr(inr.training.fit, "fit_together", end)
    assert run_here(tmp_path, tiny()) == "complete"
    assert not run.error.exists()
    assert not run.progress.exists()


def test_run_that_another_process_writes_is_refused(
    run: RunLayout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with RunLock(run.lock):
        assert run_here(tmp_path, tiny()) == "failed"
    assert "run: LockHeldError: " in capsys.readouterr().err
    assert not run.attempts.exists()


@pytest.mark.parametrize("moment", ["at once", "while it trains"])
def test_worker_stops_on_usr2_and_requeues_itself(moment: str, tmp_path: Path) -> None:
    """With a stand-in for scontrol, which writes down what it was asked."""
    config = tiny(steps=2_000_000)
    layout = SweepLayout(tmp_path / "sweep")
    runs = [{"run_id": "other", "name": "other", "config": {}}]
    runs.append({"run_id": config.run_id, "name": "run", "config": config.model_dump()})
    layout.submission("t0").parent.mkdir(parents=True)
    layout.submission("t0").write_text(json.dumps({"runs": runs}, default=list))
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text('#!/bin/sh\necho "$@" > "$0.asked"\n')
    scontrol.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{scontrol.parent}:{os.environ['PATH']}",
        "SLURM_ARRAY_JOB_ID": "77",
        "SLURM_ARRAY_TASK_ID": "1",
    }
    # as the batch script starts it: ignored until Python listens
    command = ["bash", "-c", 'trap "" USR2 TERM; exec "$@"', "worker", sys.executable, "-P"]
    with subprocess.Popen(
        [*command, "-m", "jobs.worker.array_task", str(layout.root), "t0"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline().startswith(f"run ({config.run_id}), Slurm job 77_1")
        while moment == "while it trains" and not layout.run("run").progress.exists():
            time.sleep(0.02)
        process.send_signal(signal.SIGUSR2)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "run: stopped" in said
    assert Path(f"{scontrol}.asked").read_text() == "requeue 77_1\n"
    (attempt,) = read_attempts(layout.run("run").attempts)
    assert attempt.reason == "asked to by SIGUSR2"
