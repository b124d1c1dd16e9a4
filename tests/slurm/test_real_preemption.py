"""Tasks that Slurm ends before their work is done: preemption, time limits, requeueing.

Each ends with every run complete and equal, byte for byte, to an undisturbed one, or listed with
the right reason.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.slurm.commands import ask, wait_for

if "SLURM_CONF" in os.environ:
    from tests.helpers.slurm.sweep import (
        LONG,
        LONGER,
        Sweep,
        beside,
        end_well,
        urgent_job,
    )

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif("SLURM_CONF" not in os.environ, reason="no cluster: make test-slurm"),
    pytest.mark.usefixtures("queue_left_empty"),
]


def test_preemption_signal(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    sweep.launch()
    sweep.wait_until_training(0)
    ask("scancel", "--signal=USR2", f"{sweep.job_ids[0]}_0")
    end_well(sweep)
    first, last = sweep.attempts(0)
    assert (first.status, first.reason) == ("stopped", "asked to by SIGUSR2")
    assert (last.status, last.first_step) == ("complete", first.last_step)
    assert first.last_step > 0


def test_preemption_signal_to_a_pack_whose_runs_take_turns(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, memory="1500MB")
    sweep.launch("--pack", "2", "--pack-mode", "processes")
    sweep.wait_until_training(0)
    waiting = next(run for run in sweep.states().values() if run["state"] != "running")
    assert (waiting["state"], waiting["reason"]) == ("waiting", "its task trains other runs first")
    ask("scancel", "--signal=USR2", sweep.job_ids[0])
    sweep.wait_until_left()
    assert {run["state"] for run in sweep.states().values()} == {"done"}
    assert [attempt.status for attempt in sweep.attempts(0)] == ["stopped", "complete"]
    (only,) = sweep.attempts(1)
    assert (only.status, only.first_step) == ("complete", 0)


def test_two_signals_in_a_row(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    sweep.launch()
    sweep.wait_until_training(0)
    for _ in range(2):
        ask("scancel", "--signal=USR2", f"{sweep.job_ids[0]}_0")
    end_well(sweep)
    # Slurm may be slow to deliver the second one, which then meets the next attempt
    *stopped, last = [each.status for each in sweep.attempts(0)]
    assert set(stopped) == {"stopped"}
    assert last == "complete"


def test_signal_before_the_first_step(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    sweep.launch()
    job = f"{sweep.job_ids[0]}_0"
    wait_for(lambda: ask("squeue", "-h", "-j", job, "-o", "%T") == "RUNNING")
    ask("scancel", "--signal=USR2", job)
    end_well(sweep)


@contextmanager
def grace(partition: str, seconds: int) -> Iterator[None]:
    """Preempted jobs of a partition have that much time."""
    shown = ask("scontrol", "show", "partition", partition)
    before = re.search(r"GraceTime=(\d+)", shown)
    assert before
    ask("scontrol", "update", f"partition={partition}", f"GraceTime={seconds}")
    try:
        yield
    finally:
        ask("scontrol", "update", f"partition={partition}", f"GraceTime={before[1]}")


@contextmanager
def signal_of_the_job() -> Iterator[None]:
    """Preempted jobs get the signal that they asked for."""
    conf = Path(os.environ["SLURM_CONF"])
    before = conf.read_text()
    conf.write_text(f"{before}\nSlurmctldParameters=preempt_send_user_signal\n")
    ask("scontrol", "reconfigure")
    try:
        yield
    finally:
        conf.write_text(before)
        ask("scontrol", "reconfigure")


@pytest.mark.parametrize("received", ["SIGTERM", "SIGUSR2"])
def test_preemption_by_a_job_of_higher_priority(tmp_path: Path, received: str) -> None:
    """In partitions that requeue and that cancel: arrays, plain jobs, packs of both kinds."""
    one, two = ({"seeds": count, "set": LONGER} for count in (1, 2))
    pack: dict[str, Any] = {"seeds": 2, "set": LONG}
    room: dict[str, Any] = {"memory": "1500MB"}
    sweeps = [  # the slowest to start first
        (
            Sweep(beside(tmp_path, "processes"), pack, partition="scavenge", cpus=2, **room),
            "processes",
        ),
        (Sweep(beside(tmp_path, "fused"), pack, partition="spot", **room), "fused"),
        (Sweep(beside(tmp_path, "array"), two, partition="scavenge"), ""),
        (Sweep(beside(tmp_path, "plain"), one, partition="spot"), ""),
    ]
    with signal_of_the_job() if received == "SIGUSR2" else nullcontext():
        for sweep, mode in sweeps:
            sweep.launch(*(("--pack", "2", "--pack-mode", mode) if mode else ()))
            if mode:
                sweep.wait_until_training(0)
        for sweep, _ in sweeps:
            sweep.wait_until_training(0)
        urgent_job()
        for sweep, mode in sweeps:
            if not mode:
                end_well(sweep)
            sweep.wait_until_left()
            assert {run["state"] for run in sweep.states().values()} == {"done"}
    asked = f"asked to by {received}"
    for sweep, mode in sweeps:
        first, *_, last = sweep.attempts(0)
        assert first.status == "stopped"
        assert first.reason == (asked if received == "SIGUSR2" else f"preempted, {asked}")
        assert (last.status, last.first_step) == ("complete", first.last_step)
        assert (last.job, last.members) == (first.job, 2 if mode else 1)
        assert first.last_step > 0


def test_preemption_that_is_not_answered_in_time(tmp_path: Path) -> None:
    """While `setup` runs the signal reaches nobody; while torch is loaded; without scontrol.

    Where tasks cannot ask, they wait for Slurm to requeue them, or to end them for good.
    """
    one: dict[str, Any] = {"seeds": 1, "set": LONGER}
    broken = tmp_path / "bin" / "scontrol"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho no such thing here >&2\nexit 1\n")
    broken.chmod(0o755)
    deaf = [f"export PATH={broken.parent}:$PATH"]
    long: dict[str, Any] = {"seeds": 1, "set": LONG}
    requeued = Sweep(beside(tmp_path, "requeued"), long, partition="scavenge", setup=deaf)
    ended = Sweep(beside(tmp_path, "ended"), long, partition="spot", setup=deaf)
    early = Sweep(beside(tmp_path, "early"), one, partition="spot", setup=["sleep 5"])
    loading = Sweep(beside(tmp_path, "loading"), one, partition="spot")
    with grace("scavenge", 8), grace("spot", 8):
        for sweep in (requeued, ended):
            sweep.launch()
            sweep.wait_until_training(0)
        for sweep in (early, loading):
            sweep.launch()
        wait_for(loading.files(0).attempts.exists)
        urgent_job()
        ended.wait_until_left()
        ((_, run),) = ended.states().items()
        assert run["state"] == "preempted", run
        for sweep in (early, loading):
            end_well(sweep)
        requeued.wait_until_left()
    first, last = requeued.attempts(0)
    assert first.reason.startswith("perhaps preempted, asked to by SIGTERM, but not requeued: ")
    assert (last.status, last.first_step) == ("complete", first.last_step)


def test_what_is_cancelled_in_its_grace_stays_so(tmp_path: Path) -> None:
    asked, slow = tmp_path / "asked", tmp_path / "bin" / "scontrol"
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\ntouch {asked}\nsleep 4\nexec {shutil.which("scontrol")} "$@"\n')
    slow.chmod(0o755)
    path = f"export PATH={slow.parent}:$PATH"
    endless = {"seeds": 1, "set": {"training.steps": 500_000, "record.metrics_every": 250_000}}
    cancelled = Sweep(beside(tmp_path, "grace"), endless, partition="spot", setup=[path])
    stopped = Sweep(beside(tmp_path, "stopped"), endless)  # by its user, with the signal of a grace
    for sweep in (cancelled, stopped):
        sweep.launch()
        sweep.wait_until_training(0)
    ask("scancel", "--signal=TERM", stopped.job_ids[0])
    urgent_job()
    wait_for(asked.exists)
    ask("scancel", *cancelled.job_ids)
    for sweep in (cancelled, stopped):
        sweep.wait_until_left()
        ((name, run),) = sweep.states().items()
        assert run["state"] == "cancelled", (name, run)
        assert [each.status for each in sweep.attempts(0)] == ["stopped"]


def test_preempted_post_processing_goes_on(tmp_path: Path) -> None:
    short = {"training.steps": 200, "record.metrics_every": 50}
    sweep = Sweep(tmp_path, {"seeds": 1, "set": short}, post_partition="spot", post_memory="1500MB")
    subprocess.run(sweep.command("--no-preflight"), check=True, capture_output=True)
    running = ("squeue", "-h", "-p", "spot", "-t", "RUNNING", "-o", "%i")
    wait_for(lambda: ask(*running) != "")
    log = sweep.layout.submitit / f"{ask(*running)}_0_log.out"
    wait_for(lambda: log.exists() and "merging" in log.read_text())
    urgent_job()
    wait_for(lambda: "requeued job" in log.read_text())
    sweep.layout.summary.unlink(missing_ok=True)
    wait_for(sweep.layout.summary.is_file)


def test_requeues_without_progress_come_to_an_end(tmp_path: Path) -> None:
    """A limit so near that Slurm's warning comes before the first step, every time."""
    started = (
        f"grep -qs '\"number\": '$((${{SLURM_RESTART_COUNT:-0}} + 1)) {tmp_path}/out/runs/*/*/a*"
    )
    warn = f"(until {started}; do sleep 0.1; done; scancel --signal=USR2 $SLURM_JOB_ID) &"
    sweep = Sweep(tmp_path, {"seeds": 1}, setup=[warn])
    sweep.launch()
    sweep.wait_until_left()
    ((_, run),) = sweep.states().items()
    assert run["state"] == "failed"
    assert "3 attempts in a row ended without a new step" in run["reason"]
    assert len(sweep.attempts(0)) == 3


def test_time_limit(tmp_path: Path) -> None:
    """One minute for a run that takes longer: a profile cannot ask for as little."""
    long = {"training.steps": 100_000, "record.metrics_every": 50_000}
    sweep = Sweep(tmp_path, {"seeds": 1, "set": long}, time=5)
    sweep.launch()
    ask("scontrol", "update", f"JobId={sweep.job_ids[0]}", "TimeLimit=1")
    sweep.wait_until_left(seconds=600)  # on a busy machine it takes several minutes of limit
    attempts = sweep.attempts(0)
    assert len(attempts) > 1
    assert {each.status for each in attempts[:-1]} <= {"stopped", "killed"}
    assert attempts[-1].status == "complete"
    sweep.assert_as_undisturbed()


def test_requeue_by_hand(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    sweep.launch()
    sweep.wait_until_training(1)
    ask("scontrol", "requeue", f"{sweep.job_ids[0]}_1")
    end_well(sweep)
    assert len(sweep.attempts(1)) == 2
