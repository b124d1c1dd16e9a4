"""What is checked before anything is queued."""

import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from inr.config import RunConfig
from inr.errors import UserError
from inr.storage.paths import SweepLayout
from inr.storage.provenance import ROOT, take_snapshot
from inr.storage.sweep_index import IndexEntry, index_json, read_submissions
from jobs.launch import main
from jobs.launching import preflight
from jobs.launching.cost_model import Cost, shape_of
from jobs.sweeps.grouping import SINGLE, Packing
from slurm.batch_script import BatchScripts
from slurm.profile import Profile
from slurm.submit import plan_arrays
from tests.helpers.local_launch import TINY, tiny
from tests.helpers.slurm.fake_slurm import FakeSlurm, install

PROFILE = Profile.model_validate({"time": 30, "gpus": 1, "cpus": 1})


def check(
    layout: SweepLayout,
    runs: list[IndexEntry],
    profile: Profile,
    code: Path,
    *,
    post: bool,
    packing: Packing = SINGLE,
) -> list[str]:
    arrays = plan_arrays(BatchScripts(layout, profile, code), runs, packing)
    return preflight.check(arrays, post)


def entries(*configs: RunConfig) -> list[IndexEntry]:
    return [
        IndexEntry(config.run_id, f"run{task}", task, config.model_dump(mode="json"))
        for task, config in enumerate(configs)
    ]


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    return install(tmp_path, monkeypatch)


@pytest.fixture
def layout(tmp_path: Path) -> SweepLayout:
    layout = SweepLayout(tmp_path / "sweep")
    layout.root.mkdir()
    return layout


# --- networks


def test_every_distinct_shape_is_tried_once(layout):
    runs = {
        "a": tiny(),
        "same": tiny(training={"seed": 1, "learning_rate": 1e-3}),
        "activation": tiny(model={"activation": "elu"}),
        "derivatives": tiny(training={"loss_weights": [1, 0, 1, 0]}),
        "frames": tiny(training={"batch": "frame"}),
    }
    costs, untried, _ = preflight.run_smoke_test(runs, take_snapshot(layout), PROFILE)
    assert (len(costs), untried) == (4, 0)
    assert all(cost.start > 0 and cost.fixed + cost.point > 0 for cost in costs.values())


def test_broken_environment_is_refused(layout):
    code = take_snapshot(layout)
    (code / "inr" / "training" / "fit.py").write_text("import no_such_package\n")
    with pytest.raises(UserError, match=r"would fail at once: .*'no_such_package'") as caught:
        preflight.run_smoke_test({"a": tiny()}, code, PROFILE)
    assert "\n" not in str(caught.value)


def with_fields(**fields: object) -> Profile:
    return Profile.model_validate(PROFILE.model_dump() | fields)


def test_smoke_test_has_what_the_setup_and_the_shell_provide(layout, tmp_path, monkeypatch):
    code = take_snapshot(layout)
    (code / "inr" / "training" / "fit.py").write_text("import from_the_shell, from_the_setup\n")
    for name in ("shell", "setup"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"from_the_{name}.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "shell"))
    # noise and questions of the setup are not mistaken for answers
    lines = ["echo '{}'; cat", f"export PYTHONPATH={tmp_path}/setup:$PYTHONPATH"]
    costs, untried, reason = preflight.run_smoke_test({"a": tiny()}, code, with_fields(setup=lines))
    assert (len(costs), untried, reason) == (1, 0, "")
    with pytest.raises(UserError, match="from_the_setup"):
        preflight.run_smoke_test({"a": tiny()}, code, PROFILE)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        pytest.param({"setup": ["nvidia-smi-of-a-node"]}, "setup failed", id="setup"),
        pytest.param({"container": "no-apptainer-here exec x.sif"}, "not found", id="container"),
    ],
)
def test_what_only_a_node_has_is_not_missed_here(layout, slurm, fields, said):
    profile = with_fields(**fields)
    forecast = check(layout, entries(tiny()), profile, take_snapshot(layout), post=False)
    assert forecast[-1].startswith("nothing was tried: ")
    assert said in forecast[-1]


def test_setup_that_hangs_is_ended(layout, tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "SMOKE_TEST_SECONDS", 0.5)
    profile = with_fields(setup=["sleep 987654 & echo $! > pid; wait"])
    monkeypatch.chdir(tmp_path)
    assert preflight.run_smoke_test({"a": tiny()}, take_snapshot(layout), profile) == ({}, 1, "")
    pid = (tmp_path / "pid").read_text().strip()
    status = Path("/proc", pid, "stat")
    assert not status.exists() or status.read_text().rpartition(")")[2].split()[0] in "ZX"


def test_a_false_package_on_the_shells_path_is_not_taken(layout, tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise ImportError('false numpy')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    costs, *_ = preflight.run_smoke_test({"a": tiny()}, take_snapshot(layout), PROFILE)
    assert len(costs) == 1
    done = subprocess.run(
        [sys.executable, str(ROOT / "jobs" / "launch.py"), "--dry-run", "--local"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_network_that_cannot_be_trained_is_named(layout):
    code = take_snapshot(layout)
    with (code / "inr" / "training" / "balancing.py").open("a") as file:
        file.write("\ndef loss_coefficients(*given):\n    raise ArithmeticError('no order')\n")
    with pytest.raises(UserError, match=r"a/b: its network cannot be trained: .*no order"):
        preflight.run_smoke_test({"a/b": tiny()}, code, PROFILE)


def test_effort_is_bounded(layout, monkeypatch, slurm):
    monkeypatch.setattr(preflight, "SMOKE_TEST_PARAMETERS", 200)
    runs = entries(tiny(), tiny(model={"width": 64}))
    forecast = check(layout, runs, PROFILE, take_snapshot(layout), post=False)
    assert forecast[0].startswith(
        "expected: at most "
    )  # the large one is estimated from the small one
    assert forecast[1].startswith("1 of 2 shapes of networks were not tried")
    monkeypatch.setattr(preflight, "SMOKE_TEST_SECONDS", 0.01)
    assert preflight.run_smoke_test({"a": tiny()}, take_snapshot(layout), PROFILE) == ({}, 1, "")


# --- disk and cluster


@pytest.fixture
def without_smoke_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "run_smoke_test", lambda configs, code, profile: ({}, 0, ""))


@pytest.mark.usefixtures("without_smoke_test")
def test_small_disk_is_refused(layout, slurm, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 1_000_000))
    runs = entries(tiny(data={"size": 512}))
    with pytest.raises(UserError, match=r"1 runs need at most 2\d\.\d MB of disk, 1\.0 MB free"):
        check(layout, runs, PROFILE, take_snapshot(layout), post=False)


@pytest.mark.usefixtures("without_smoke_test")
def test_file_system_without_room_for_files_is_refused(layout, slurm, monkeypatch):
    counts = namedtuple("counts", "f_files f_favail f_blocks f_bfree f_bavail f_frsize")
    monkeypatch.setattr(os, "statvfs", lambda path: counts(1_000_000, 9, *[1 << 30] * 4))
    with pytest.raises(UserError, match=r"1 runs write about 10 files and .* room for 9"):
        check(layout, entries(tiny()), PROFILE, take_snapshot(layout), post=False)


@pytest.mark.usefixtures("without_smoke_test")
def test_real_script_is_tested(layout, slurm):
    runs = entries(*(tiny(training={"seed": seed}) for seed in range(7)))
    code = take_snapshot(layout)
    forecast = check(layout, runs, PROFILE, code, post=False)
    assert "--array=0-3%4" in slurm.tested.read_text()
    assert "no estimate of the time" in forecast[0]
    assert slurm.submitted() == []
    check(layout, runs, PROFILE, code, post=True)
    assert "-m jobs.launching.postprocessing" in slurm.tested.read_text()


def test_a_pack_is_said_to_take_the_sum_of_its_runs(layout, slurm, monkeypatch):
    runs = entries(*(tiny(training={"seed": seed}) for seed in range(5)))
    cost = Cost(start=0, fixed=360, point=0, evaluated=0)  # 20 steps: two hours a run
    costs = {shape_of(tiny()): cost}
    monkeypatch.setattr(preflight, "run_smoke_test", lambda configs, code, profile: (costs, 0, ""))
    code = take_snapshot(layout)
    found = check(layout, runs, PROFILE, code, post=False, packing=Packing(2))
    assert "10 task hours, 10 GPU hours, the longest task 4:00:00" in found[0]
    assert "--array=0-2%3" in slurm.tested.read_text()


@pytest.mark.usefixtures("without_smoke_test")
def test_memory_that_a_task_would_exceed(layout, slurm):
    code, runs = take_snapshot(layout), entries(tiny(data={"size": 2048, "frames": 10}))
    with pytest.raises(UserError, match=r"memory: 4GB, but the largest task needs about 5\.\d GB"):
        check(layout, runs, with_fields(memory="4GB", gpus=0), code, post=False)
    noted = check(layout, runs, with_fields(memory="4GB"), code, post=False)
    assert "memory: 4GB, but the largest task needs about" in noted[1]
    forecast = check(layout, runs, with_fields(memory="8000MB", gpus=0), code, post=False)
    assert " GB of memory a task, " in forecast[0]
    many = entries(*(tiny(training={"seed": seed}) for seed in range(8)))
    small = with_fields(memory="2500MB", gpus=0, cpus=8)
    with pytest.raises(UserError, match=r"lower data\.size"):
        check(layout, many, small, code, post=False, packing=Packing(8, "processes"))
    check(layout, many, small, code, post=False, packing=Packing(8))  # trains them as one


@pytest.mark.usefixtures("without_smoke_test")
def test_script_that_slurm_would_refuse(layout, slurm, monkeypatch):
    monkeypatch.setenv("VERDICT", "allocation failure: Invalid account or account/partition")
    with pytest.raises(UserError, match=r"Invalid account .*look at account \(None\)"):
        check(layout, entries(tiny()), PROFILE, take_snapshot(layout), post=False)


@pytest.mark.usefixtures("without_smoke_test")
def test_nodes_that_are_away_keep_nobody_from_submitting(layout, slurm, monkeypatch):
    verdict = "allocation failure: Required node not available (down, drained or reserved)"
    monkeypatch.setenv("VERDICT", verdict)
    forecast = check(layout, entries(tiny()), PROFILE, take_snapshot(layout), post=False)
    assert "the tasks will wait. Slurm refused: " in forecast[1]


@pytest.mark.usefixtures("without_smoke_test")
def test_launch_checks_first_unless_told_not_to(tmp_path, slurm, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("sweep.yaml").write_text(json.dumps({"base": TINY}))
    command = ["--array", "--sweep", "sweep.yaml", "--profile", "testbed", "--output", "out"]
    monkeypatch.setenv("VERDICT", "allocation failure: Invalid qos specification")
    with pytest.raises(UserError, match="Invalid qos"):
        main(command)
    assert not Path("out").exists()
    assert main([*command, "--no-preflight"]) == 0
    assert "expected" not in capsys.readouterr().out
    assert len(read_submissions(SweepLayout(Path("out")))) == 2

    monkeypatch.delenv("VERDICT")
    Path("out", "index.json").write_text(index_json("out", []))
    slurm.queue.write_text("")
    assert main(command) == 0
    assert "expected: no estimate of the time, " in capsys.readouterr().out
