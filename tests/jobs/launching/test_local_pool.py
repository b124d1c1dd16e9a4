"""Training on this machine in processes of their own: through submitit, and how it ends."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from inr import cpus
from inr.progress import Progress, read_progress, write_progress
from inr.results import outcome
from inr.storage.attempts import read_attempts
from inr.storage.paths import SweepLayout
from inr.storage.provenance import ROOT
from inr.storage.sweep_index import read_index
from jobs.launching import local_pool as local
from jobs.launching.progress_bars import Display
from jobs.worker import devices

SMALL = {
    "data": {"size": 16, "frames": 3},
    "model": {"width": 8, "depth": 1},
    "record": {"tensorboard": False},
}


def in_foreground() -> None:
    """A shell starts background jobs with Ctrl-C switched off, and these tests may be one."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def in_background() -> None:
    """As a script does with ``nohup ... &``."""
    for each in (signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)


def launch(
    tmp_path: Path, specification: dict, *arguments: str, prepare=in_foreground
) -> subprocess.Popen[str]:
    """Start the launcher as a terminal would: in a process group of its own."""
    sweep = tmp_path / "tiny.yaml"
    sweep.write_text(json.dumps(specification))  # JSON is YAML
    return subprocess.Popen(
        [
            sys.executable,
            str(ROOT / "jobs" / "launch.py"),
            "--local",
            "--no-post",
            *("--sweep", str(sweep), "--output", str(tmp_path / "out")),
            *arguments,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=prepare,
        cwd=tmp_path,
    )


def processes_of(path: Path) -> list[int]:
    """Processes whose command line names ``path``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(path).encode() in command:
                found.append(int(entry.name))
    return found


def wait_until(condition, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_one_run_fails_alone(tmp_path):
    # the second run needs a directory where a file is: a fault of this run alone
    specification = {
        "base": {**SMALL, "training": {"steps": 20}},
        "grid": {"model.activation": ["sine", "elu"]},
    }
    blocked = tmp_path / "out" / "runs" / "1_0_0_0" / "elu_uniform_1e-4" / "run.h5"
    blocked.mkdir(parents=True)
    (tmp_path / "out" / "index.json").write_text(
        '{"schema": "inr-index/1", "sweep": "out", "runs": []}'
    )
    process = launch(tmp_path, specification, "--workers", "2")
    out, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert error == ""
    layout = SweepLayout(tmp_path / "out")
    good, bad = read_index(layout)
    assert outcome(layout.run(good.name).results, good.run_id) == "complete"
    assert f"{good.name}: complete in 0:" in out
    assert f"{bad.name}: FAILED: {blocked}: cannot be written" in out
    assert "failed runs:" in out
    assert "Traceback" not in out
    assert "Traceback" in layout.run(bad.name).error.read_text()


@pytest.mark.parametrize("how", ["launcher", "terminal", "killed"])
def test_nothing_lives_on_after_an_interruption(tmp_path, how):
    specification = {"base": {**SMALL, "training": {"steps": 10_000_000}}, "seeds": 2}
    process = launch(tmp_path, specification, "--workers", "1")
    if how == "terminal":  # while the task is still loading
        assert wait_until(lambda: len(processes_of(tmp_path)) == 3)
        os.killpg(process.pid, signal.SIGINT)  # Ctrl-C reaches the whole process group
    else:  # while it trains
        assert wait_until(lambda: any((tmp_path / "out" / "runs").rglob("progress.json")))
        # the launcher, one controller, its task
        assert len(processes_of(tmp_path)) == 3
        process.send_signal(signal.SIGINT if how == "launcher" else signal.SIGKILL)
    process.wait(timeout=30)
    assert wait_until(lambda: not processes_of(tmp_path))
    error = process.communicate()[1]
    assert process.returncode == (-signal.SIGKILL if how == "killed" else 130)
    said = "interrupted: what was trained is saved, the same command goes on"
    # a busy machine may say before that it waits
    assert error.splitlines()[-1:] == ([] if how == "killed" else [said])


ENDLESS = {
    "base": {
        **SMALL,
        "training": {"steps": 10_000_000},
        "record": {"tensorboard": False, "metrics_every": 1, "checkpoint_seconds": 3600},
    }
}


def pause_task(tmp_path: Path) -> int:
    """Stop the task where it is, as a step that takes long would. Returns its process id."""
    (attempts,) = (tmp_path / "out" / "runs").rglob("attempts.jsonl")
    pid = read_attempts(attempts)[-1].pid
    os.kill(pid, signal.SIGSTOP)
    return pid


@pytest.mark.parametrize(
    "how", ["terminal", signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2]
)
def test_an_interrupted_task_is_given_the_time_to_save(tmp_path, how):
    process = launch(tmp_path, ENDLESS)
    assert wait_until(lambda: any((tmp_path / "out" / "runs").rglob("progress.json")))
    pid = pause_task(tmp_path)
    if how == "terminal":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(how)
    time.sleep(2.5)  # submitit would have killed it after one
    os.kill(pid, signal.SIGCONT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted: what was trained is saved, the same command goes on" in error
    (attempts,) = (tmp_path / "out" / "runs").rglob("attempts.jsonl")
    assert [attempt.status for attempt in read_attempts(attempts)] == ["stopped"]
    assert any((tmp_path / "out" / "runs").rglob("checkpoint.pt"))


def test_nothing_is_called_saved_that_is_not(tmp_path):
    process = launch(tmp_path, ENDLESS)
    assert wait_until(lambda: any((tmp_path / "out" / "runs").rglob("progress.json")))
    pid = pause_task(tmp_path)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert process.stderr.readline() == "waiting for 1 task to save\n"
    process.send_signal(signal.SIGINT)  # waits no longer
    process.wait(timeout=60)
    os.kill(pid, signal.SIGCONT)
    _, error = process.communicate(timeout=60)
    (run,) = read_index(SweepLayout(tmp_path / "out"))
    assert process.returncode == 130
    assert f"interrupted: {run.name} did not save in time" in error
    assert "is saved" not in error
    assert wait_until(lambda: not processes_of(tmp_path))


def test_an_allocation_around_the_launcher_is_not_the_task_s(tmp_path, monkeypatch):
    given = {"CPUS_PER_TASK": "64", "JOB_ID": "7", "ARRAY_JOB_ID": "7", "ARRAY_TASK_ID": "3"}
    for name, value in (given | {"GPUS_ON_NODE": "8", "CPUS_ON_NODE": "64"}).items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    specification = {"base": {**SMALL, "training": {"steps": 5}}, "seeds": 2}
    process = launch(tmp_path, specification, "--workers", "2")
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, out + error
    for attempts in (tmp_path / "out" / "runs").rglob("attempts.jsonl"):
        (attempt,) = read_attempts(attempts)
        assert attempt.cpus == max(1, cpus.core_count() // 2)
        assert (attempt.gpus, attempt.job) == (0, "")


def test_signals_of_the_terminal_do_not_reach_the_background(tmp_path):
    specification = {"base": {**SMALL, "training": {"steps": 3000}}, "seeds": 2}
    process = launch(tmp_path, specification, "--workers", "2", prepare=in_background)
    assert wait_until(lambda: any((tmp_path / "out" / "runs").rglob("progress.json")))
    for each in (signal.SIGINT, signal.SIGHUP):
        os.killpg(process.pid, each)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, out + error
    assert out.count(": complete in ") == 2


def test_what_a_killed_launcher_in_the_background_trained_is_saved(tmp_path):
    specification = {"base": {**SMALL, "training": {"steps": 10_000_000}}}
    process = launch(tmp_path, specification, prepare=in_background)
    assert wait_until(lambda: any((tmp_path / "out" / "runs").rglob("progress.json")))
    process.kill()
    process.communicate()
    assert wait_until(lambda: not processes_of(tmp_path))
    (attempts,) = (tmp_path / "out" / "runs").rglob("attempts.jsonl")
    assert [attempt.status for attempt in read_attempts(attempts)] == ["stopped"]


class FakeJob:
    """A job that ends after being asked some times."""

    def __init__(self, pool, looks: int) -> None:
        self.pool, self.looks = pool, looks
        pool.alive += 1
        pool.most = max(pool.most, pool.alive)

    def done(self) -> bool:
        self.looks -= 1
        if self.looks == 0:
            self.pool.alive -= 1
        return self.looks <= 0

    @property
    def paths(self):
        return type("Paths", (), {"stderr": Path("/nowhere/log")})


class FakeExecutor:
    """Records what is submitted, and how many jobs were alive at once."""

    def __init__(self) -> None:
        self.alive = self.most = 0
        self.options: list[dict] = []
        self.threads: list[str] = []
        self.paths: list[str] = []

    def __call__(self, folder, **_):
        Path(folder).mkdir(parents=True)
        return self

    def update_parameters(self, timeout_min: int) -> None:
        assert timeout_min > 60 * 24 * 365

    def submit(self, function, root, name, config, **options):
        self.options.append(options)
        self.threads.append(os.environ["OMP_NUM_THREADS"])
        self.paths.append(os.environ["PYTHONPATH"].partition(os.pathsep)[0])
        return FakeJob(self, looks=2 + len(self.options) % 2)


@pytest.mark.parametrize(
    ("workers", "gpus", "slots"),
    [
        pytest.param(2, [], {None}, id="no-gpu"),
        pytest.param(2, ["3", "GPU-b"], {"3", "GPU-b"}, id="one-each"),
        pytest.param(3, ["0"], {"0"}, id="shared"),
    ],
)
def test_pool_is_throttled_and_shares_out_devices(tmp_path, monkeypatch, workers, gpus, slots):
    from tests.helpers.synthetic import quickstart, write_index

    fake = FakeExecutor()
    monkeypatch.setattr(local.submitit, "LocalExecutor", fake)
    monkeypatch.setattr(local, "cuda_devices", lambda: gpus)
    monkeypatch.setattr(local, "core_count", lambda: 8)
    monkeypatch.setattr(local, "_LOOK_SECONDS", 0.001)
    monkeypatch.setenv("OMP_NUM_THREADS", "before")
    layout = SweepLayout(tmp_path)
    runs = write_index(layout, quickstart())
    text = io.StringIO()
    tasks = [[run] for run in runs]
    failures = local.LocalPool(layout, workers, tmp_path).train(tasks, Display(Console(file=text)))
    assert fake.most == workers
    assert {options["cuda_device"] for options in fake.options} == slots
    assert set(fake.threads) == {str(8 // workers)}
    assert set(fake.paths) == {str(tmp_path)}  # the code that was launched
    assert os.environ["OMP_NUM_THREADS"] == "before"
    # no process wrote a result: every run is reported, by name
    assert {run.name for run, _ in failures} == {run.name for run in runs}
    assert "killed" in failures[0][1]
    assert text.getvalue().count("FAILED") == len(runs)


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        pytest.param("", [], id="none"),
        pytest.param("-1", [], id="minus-one"),
        pytest.param("2, 0", ["2", "0"], id="indices"),
        pytest.param("MIG-a,GPU-b", ["MIG-a", "GPU-b"], id="uuid"),
        pytest.param("MIG-GPU-a1/0/1", ["MIG-GPU-a1/0/1"], id="old-mig"),
        pytest.param("NoDevFiles", [], id="slurm-without-a-gpu"),
        pytest.param("none", [], id="word"),
        pytest.param("0,-1,1", ["0"], id="up-to-the-first-that-is-none"),
        pytest.param("1,,2", ["1"], id="gap"),
        pytest.param("0,1,0", [], id="twice"),
    ],
)
def test_visible_devices(monkeypatch, visible, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices.cuda_devices() == expected


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("quotas", "expected"),
    [
        pytest.param({"a/b": 250_000}, 2, id="own"),
        pytest.param({"a": 350_000}, 3, id="above"),
        pytest.param({"a": 350_000, "a/b": 150_000}, 1, id="smallest"),
        pytest.param({"a/b": 30_000}, 1, id="less-than-one"),
        pytest.param({"": 200_000}, 2, id="container-with-the-path-of-its-host"),
        pytest.param({"a/b": None}, 64, id="no-limit"),
        pytest.param({}, 64, id="no-groups"),
    ],
)
def test_quotas_of_control_groups_count_as_cores(tmp_path, monkeypatch, version, quotas, expected):
    membership = tmp_path / "cgroup"
    membership.write_text("4:memory:/c\n1:cpu,cpuacct:/a/b\n" if version == 1 else "0::/a/b\n")
    monkeypatch.setattr(cpus, "_MEMBERSHIP", membership)
    monkeypatch.setattr(cpus, "_CGROUPS", tmp_path / "fs")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(64), raising=False)
    for path, quota in quotas.items():
        group = tmp_path / "fs" / ("cpu" if version == 1 else "") / path
        group.mkdir(parents=True, exist_ok=True)
        if version == 1:
            (group / "cpu.cfs_quota_us").write_text(f"{quota or -1}\n")
            (group / "cpu.cfs_period_us").write_text("100000\n")
        else:
            (group / "cpu.max").write_text(f"{quota or 'max'} 100000\n")
    assert cpus.core_count() == expected


@pytest.mark.parametrize(
    ("visible", "pack", "expected"), [("", 1, 64), ("0", 1, 4), ("0,1", 1, 8), ("0", 32, 2)]
)
def test_default_workers_are_few_a_device(monkeypatch, visible, pack, expected):
    monkeypatch.setattr(devices, "core_count", lambda: 64)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices.default_workers(pack) == expected


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param("echo 'GPU 0: A (UUID: x)'; echo 'GPU 1: B'; echo '  MIG 1g'", ["0", "1"]),
        pytest.param("echo failed; exit 9", []),
    ],
    ids=["two", "broken-driver"],
)
def test_devices_are_listed_by_nvidia_smi(tmp_path, monkeypatch, script, expected):
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices.cuda_devices() == expected


def test_progress_is_read_back_and_rubbish_is_no_progress(tmp_path):
    path = tmp_path / "progress.json"
    assert read_progress(path) is None
    standing = Progress(3, 10, 1.5, {"psnr_value": 21.0})
    write_progress(path, standing)
    assert read_progress(path) == standing
    assert [file.name for file in tmp_path.iterdir()] == ["progress.json"]
    path.write_text('{"step": 3')
    assert read_progress(path) is None


def test_terminal_shows_a_line_a_task_and_the_total_last():
    console = Console(file=io.StringIO(), force_terminal=True, width=150)
    with Display(console) as display:
        total = Progress(25, 200, 2.0), "0 of 2 runs"
        display.show({"a/first": Progress(25, 100, 2.0, {"psnr_value": 21.5})}, *total)
        display.show({"a/first": Progress(50, 100, 4.0), "a/second": None}, *total)
        lines = [task.description for task in display._progress.tasks]
        assert lines == ["a/first", "a/second", "0 of 2 runs, 0:14 left"]
        display.show({"a/second": Progress(75, 100, 3661.0 * 3)}, *total)
        first = display._progress.tasks[0]
        assert (first.completed, first.total, first.fields["left"]) == (75, 100, "1:01:01")
    assert "21.5 dB" in console.file.getvalue()


def test_plain_output_is_occasional(monkeypatch):
    console = Console(file=io.StringIO(), width=150)
    display = Display(console)
    report = Progress(25, 100, 2.5, {"nmse_value": 0.01})
    display.show({"a": report}, report, "0 of 1 runs")
    assert console.file.getvalue() == ""
    monkeypatch.setattr("jobs.launching.progress_bars._PLAIN_SECONDS", 0)
    display.show({"a": report, "b": None}, report, "0 of 2 runs")
    assert console.file.getvalue().splitlines() == [
        "  a: step 25/100, 10/s, 0:08 left, value 1.0e-02",
        "  b: starting",
        "0 of 2 runs, 0:08 left",
    ]
