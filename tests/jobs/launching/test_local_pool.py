"""Training on this machine in processes of their own: through submitit, and on what devices."""

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from inr import cpus
from inr.results import outcome
from inr.storage.attempts import read_attempts
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import read_index
from jobs.launching import local_pool
from jobs.launching.terminal import Display
from jobs.worker import devices
from tests.helpers.local_launch import SMALL, launch


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
    monkeypatch.setattr(local_pool.submitit, "LocalExecutor", fake)
    monkeypatch.setattr(local_pool, "cuda_devices", lambda: gpus)
    monkeypatch.setattr(local_pool, "core_count", lambda: 8)
    monkeypatch.setattr(local_pool, "_POLL_SECONDS", 0.001)
    monkeypatch.setenv("OMP_NUM_THREADS", "before")
    layout = SweepLayout(tmp_path)
    runs = write_index(layout, quickstart())
    text = io.StringIO()
    tasks = [[run] for run in runs]
    failures = local_pool.LocalPool(layout, workers, tmp_path).train(
        tasks, Display(Console(file=text))
    )
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
