"""What a night on a cluster does to a sweep, one fault at a time, on a real Slurm.

Each ends with every run complete and equal, byte for byte, to an undisturbed one, or listed with
the right reason.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import pytest
from skimage.data import camera

if "SLURM_CONF" in os.environ:
    from tests.helpers.slurm_sweep import (
        ROOT,
        Sweep,
        ask,
        urgent_job,
        wait_for,
        without,
    )

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif("SLURM_CONF" not in os.environ, reason="no cluster: make test-slurm"),
    # daemons that a test brings back are meant to outlive the object that started them
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def _nothing_is_left_in_the_queue() -> Iterator[None]:
    yield
    subprocess.run(["scancel", "--me"], check=True)
    wait_for(lambda: ask("squeue", "-h", "--me") == "")


def end_well(sweep: Sweep) -> None:
    sweep.wait_until_left()
    sweep.assert_as_undisturbed()
    assert "nothing to train" in sweep.launch()


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


LONGER = {"training.steps": 20_000, "record.metrics_every": 10_000}
LONG = {"training.steps": 60_000, "record.metrics_every": 30_000}  # not to be compared


def beside(directory: Path, name: str) -> Path:
    """Where one of several sweeps of a test lies, so that all tests share what is undisturbed."""
    return directory.with_name(f"{directory.name}_{name}")


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


def test_training_process_killed(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    sweep.launch()
    os.kill(sweep.wait_until_training(0), signal.SIGKILL)
    sweep.wait_until_left()
    name = sweep.runs[0].name
    wait_for(lambda: sweep.states()[name]["state"] not in ("running", "waiting"), 60)
    assert sweep.states()[name]["state"] in ("failed", "lost")
    assert "1 to train" in sweep.launch()
    end_well(sweep)
    killed, last = sweep.attempts(0)
    assert killed.status == "killed"
    assert last.first_step > 0


def test_slurmd_killed_and_brought_back(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, nodelist="n1")
    sweep.launch()
    sweep.wait_until_training(0)
    with without("slurmd-n1"):
        time.sleep(3)
    end_well(sweep)


def test_retry_avoids_a_node_that_failed(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, {"seeds": 2, "set": LONGER})
    ask("scontrol", "update", "node=n2", "state=drain", "reason=test")
    try:
        sweep.launch()
        for position in (0, 1):
            sweep.wait_until_training(position)
        ask("scontrol", "update", "node=n1", "state=down", "reason=test")
        requeued = ("squeue", "-h", "-r", "-j", sweep.job_ids[0], "-t", "PENDING", "-o", "%i")
        wait_for(lambda: len(ask(*requeued).splitlines()) == 2)
        ask("scancel", sweep.job_ids[0])
        sweep.wait_until_left()
        wait_for(lambda: {run["state"] for run in sweep.states().values()} == {"cancelled"})
    finally:
        for node in ("n1", "n2"):
            subprocess.run(["scontrol", "update", f"node={node}", "state=resume"], check=False)
    said = sweep.manage("retry", "--no-preflight", "--no-post")
    assert "n1 excluded, where at least 2 runs failed for the node's reasons" in said
    end_well(sweep)
    for position in (0, 1):
        first, *_, last = sweep.attempts(position)
        assert (first.node, last.node, last.status) == ("n1", "n2", "complete")


def test_slurmctld_restarted(tmp_path: Path) -> None:
    # Slurm's commands wait some ten seconds before they give up
    longer = {"training.steps": 40_000, "record.metrics_every": 20_000}
    sweep = Sweep(tmp_path, {"seeds": 2, "set": longer})
    sweep.launch()
    sweep.wait_until_training(0)
    with without("slurmctld", signal.SIGTERM):
        assert "Slurm" in sweep.launch(code=1)
        assert sweep.states()[sweep.runs[0].name]["state"] in ("running", "done")
    end_well(sweep)


def test_accounting_stopped(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    with without("slurmdbd"):
        sweep.launch()
        sweep.wait_until_training(0)
        assert sweep.states()[sweep.runs[0].name]["state"] == "running"
        end_well(sweep)
        assert {run["state"] for run in sweep.states().values()} == {"done"}


@pytest.mark.parametrize("moment", ["before sbatch", "after sbatch"])
def test_launcher_killed(moment: str, tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    fake = tmp_path / "bin" / "sbatch"
    fake.parent.mkdir()
    real = shutil.which("sbatch") if moment == "after sbatch" else "true"
    fake.write_text(f'#!/bin/sh\n{real} "$@"\nkill -9 $PPID\nsleep 1\n')
    fake.chmod(0o755)
    killed = subprocess.run(
        sweep.command("--no-preflight", "--no-post"),
        env=os.environ | {"PATH": f"{fake.parent}:{os.environ['PATH']}"},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    submitted = 2 if moment == "after sbatch" else 0
    assert len(ask("squeue", "-h", "--me", "-r", "-o", "%i").splitlines()) == submitted
    sweep.launch()
    assert len(ask("squeue", "-h", "--me", "-r", "-o", "%i").splitlines()) == 2
    end_well(sweep)
    assert all(len(sweep.attempts(position)) == 1 for position in (0, 1))


def test_working_tree_edited_while_tasks_wait(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for package in ("inr", "jobs", "postprocess", "slurm"):
        shutil.copytree(
            ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    sweep = Sweep(tmp_path, extra={"begin": "now+6"})
    subprocess.run(
        sweep.command("--no-preflight", "--no-post", root=tree),
        env=os.environ | {"PYTHONPATH": str(tree)},
        check=True,
        capture_output=True,
    )
    (tree / "inr" / "training" / "fit.py").write_text("raise SystemExit('edited')\n")
    end_well(sweep)


def test_array_larger_than_allowed(tmp_path: Path) -> None:
    short = {"training.steps": 200, "record.metrics_every": 100}
    sweep = Sweep(tmp_path, {"seeds": 5, "set": short}, max_array_size=2)
    sweep.launch()
    assert len(sweep.job_ids) == 3
    end_well(sweep)


def test_two_thousand_tasks_are_split_at_the_limit_of_the_cluster(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, {"seeds": 2000}, extra={"hold": True})
    begin = time.monotonic()
    sweep.launch()
    assert time.monotonic() - begin < 30
    assert len(sweep.job_ids) == 4
    waiting = ask("squeue", "-h", "--me", "-r", "-o", "%i").splitlines()
    assert len(waiting) == 2000
    sweep.launch()
    assert len(sweep.job_ids) == 4
    sweep.manage("cancel", "--yes")
    wait_for(lambda: ask("squeue", "-h", "--me") == "")


def test_crash_and_lack_of_memory_stay_with_their_run(tmp_path: Path) -> None:
    image = tmp_path / "photo.png"
    iio.imwrite(image, camera()[::16, ::16])
    several = [
        {"training.seed": 0},
        {"data.image": str(image)},
        {"model.width": 9000, "model.depth": 2, "training.steps": 2},
    ]
    sweep = Sweep(tmp_path, {"list": several}, memory="700MB", extra={"begin": "now+4"})
    sweep.launch()
    image.unlink()
    sweep.wait_until_left()
    good, crashed, large = (run.name for run in sweep.runs)
    states = sweep.states()
    assert states[good]["state"] == "done"
    assert states[crashed]["state"] == "failed"
    assert "photo.png: does not exist" in states[crashed]["reason"]
    assert states[large]["state"] == "out_of_memory"


def test_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    ask("mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(disk))
    try:
        sweep = Sweep(tmp_path)
        sweep.output.symlink_to(disk)
        sweep.launch()
        sweep.wait_until_training(0)
        (disk / "filler").write_bytes(b"\0" * (os.statvfs(disk).f_bavail * 4096 - 8_000))
        sweep.wait_until_left()
        states = {run["state"] for run in sweep.states().values()}
        assert states <= {"disk_full", "failed", "done"}
        assert states != {"done"}
        (disk / "filler").unlink()
        sweep.launch()
        end_well(sweep)
    finally:
        ask("umount", "--lazy", str(disk))


def test_cancel_and_launch_again(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    sweep.launch()
    sweep.wait_until_training(0)
    sweep.manage("cancel", "--yes")
    sweep.wait_until_left()
    assert sweep.states()[sweep.runs[0].name]["state"] == "cancelled"
    assert "2 to train" in sweep.launch()
    end_well(sweep)
    assert sweep.attempts(0)[-1].first_step > 0


def test_post_processing_follows_a_sweep_with_failures(tmp_path: Path) -> None:
    image = tmp_path / "photo.png"
    iio.imwrite(image, camera()[::16, ::16])
    short = {"training.steps": 200, "record.metrics_every": 50}
    several = [{"training.seed": 0}, {"training.seed": 1}, {"data.image": str(image)}]
    sweep = Sweep(tmp_path, {"list": several, "set": short}, extra={"begin": "now+4"})
    done = subprocess.run(
        sweep.command("--no-preflight"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    image.unlink()
    wait_for(lambda: ask("squeue", "-h", "--me") == "")
    assert sweep.layout.summary.is_file()
    table = sweep.layout.summary.read_text()
    assert table.count("complete") == 2
    assert len(list(sweep.layout.figures.glob("*.png"))) >= 10
    made = [path.relative_to(sweep.layout.videos) for path in sweep.layout.videos.rglob("*.mp4")]
    assert sum(path.parts[0] == "compare" for path in made) == 1
    assert sum(path.parts[0] == "zoom" for path in made) == 1
    assert sum(path.parts[0] not in ("compare", "zoom") for path in made) == 2  # a run each
