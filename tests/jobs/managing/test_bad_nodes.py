"""What is started again avoids nodes that fail their runs. On stand-ins for Slurm's commands."""

from pathlib import Path

import pytest

from inr.errors import run_main
from inr.storage.attempts import AttemptLog
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import read_index
from jobs import launch, manage
from tests.helpers.slurm.fake_slurm import FakeSlurm, install

SWEEP = """
base: {data: {size: 16, frames: 2}, model: {width: 8, depth: 1}, training: {steps: 4}}
seeds: 4
"""
PROFILE = "time: 10\ngpus: 0\ncpus: 1\npartition: main\nexclude: n9\n"
NO_GPU = "RuntimeError: CUDA error: no CUDA-capable device is detected"


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    monkeypatch.chdir(tmp_path)
    fake = install(tmp_path, monkeypatch)
    for program, script in {
        "sinfo": "echo maintenance on Monday; printf '%s main\\n' n1 n2 n3 n9",
        "scontrol": 'case "$1 $2" in "show hostnames") echo "$3";; *) echo MaxArraySize=5;; esac',
    }.items():
        (tmp_path / "bin" / program).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / program).chmod(0o755)
    return fake


def ended(
    slurm: FakeSlurm,
    monkeypatch: pytest.MonkeyPatch,
    *ends: tuple[str, str],
    profile: str = "",
    steps: tuple[int, int] = (0, 0),
) -> str:
    """A sweep whose runs failed so (node, reason), started again; the script of that."""
    Path("sweep.yaml").write_text(SWEEP)
    Path("profile.yaml").write_text(f"{PROFILE}{profile}\n")
    options = ["--sweep", "sweep.yaml", "--profile", "profile.yaml", "--output", "out"]
    assert launch.main(["--array", *options, "--no-preflight", "--no-post"]) == 0
    slurm.take_away("41")
    layout = SweepLayout(Path("out"))
    for run, (node, reason) in zip(read_index(layout), ends, strict=False):
        monkeypatch.setenv("SLURMD_NODENAME", node)
        files = layout.run(run.name)
        files.root.mkdir(parents=True, exist_ok=True)
        log = AttemptLog(files.attempts, f"41_{run.task}", 1, 0)
        log.start()
        log.end("failed", reason, steps)
    return again(slurm)


def again(slurm: FakeSlurm, *words: str) -> str:
    command = ("retry", "out", "--no-preflight", "--no-post", *words)
    assert run_main(lambda: manage.main(command)) == 0
    return next(line for line in slurm.submitted()[-1].splitlines() if "--exclude" in line)


@pytest.mark.parametrize(
    "reason",
    [
        NO_GPU,
        "AcceleratorError: CUDA error: uncorrectable ECC error encountered",
        "RuntimeError: Found no NVIDIA driver on your system",
        "UserError: no GPU: Slurm gave this task 1, and torch 2 (built for CUDA 13) finds none",
    ],
)
def test_node_where_two_runs_found_no_gpu(slurm, monkeypatch, capsys, reason) -> None:
    script = ended(slurm, monkeypatch, ("n1", reason), ("n1", reason), ("n2", reason))
    assert script == "#SBATCH --exclude=n9,n1"
    (note,) = (line for line in capsys.readouterr().out.splitlines() if "excluded" in line)
    assert note.startswith("note: n1 excluded, where at least 2 runs failed")


@pytest.mark.parametrize(
    ("reason", "steps"),
    [
        ("ValueError: no", (0, 0)),
        ("OutOfMemoryError: CUDA out of memory", (0, 0)),
        ("RuntimeError: CUDA error: device-side assert triggered", (0, 0)),
        ("UserError: no GPU: ... torch 2 (built without CUDA) finds none", (0, 0)),
        (NO_GPU, (0, 7)),  # it worked for a while
    ],
)
def test_failures_that_are_not_the_nodes(slurm, monkeypatch, reason, steps) -> None:
    script = ended(slurm, monkeypatch, *[("n1", reason)] * 2, steps=steps)
    assert script == "#SBATCH --exclude=n9"


def test_all_nodes_can_be_asked_for(slurm, monkeypatch) -> None:
    ended(slurm, monkeypatch, *[("n1", NO_GPU)] * 2)
    slurm.take_away("42")
    assert again(slurm, "--all-nodes") == "#SBATCH --exclude=n9"


def test_nodes_that_the_profile_insists_on_are_kept(slurm, monkeypatch, capsys) -> None:
    script = ended(slurm, monkeypatch, *[("n1", NO_GPU)] * 2, profile="nodelist: n1")
    assert script == "#SBATCH --exclude=n9"
    assert "but the profile allows no other node" in capsys.readouterr().out


def test_last_node_is_kept(slurm, monkeypatch, tmp_path, capsys) -> None:
    (tmp_path / "bin" / "sinfo").write_text("#!/bin/sh\nprintf 'n1 main\\nn9 main\\n'\n")
    assert ended(slurm, monkeypatch, *[("n1", NO_GPU)] * 2) == "#SBATCH --exclude=n9"
    assert "runs failed on n1, but the profile allows no other" in capsys.readouterr().out


def test_tasks_that_slurm_lost_with_their_node(slurm, monkeypatch, tmp_path) -> None:
    """Also those that it requeued; a node of another partition does not matter."""
    lost = "NODE_FAIL|n2\\nNODE_FAIL|n2\\nNODE_FAIL|n8\\nNODE_FAIL|n8\\nNODE_FAIL|n1\\nFAILED|n1\\n"
    script = f'#!/bin/sh\ncase "$*" in *--duplicates*) printf "{lost}";; esac\n'
    (tmp_path / "bin" / "sacct").write_text(script)
    assert ended(slurm, monkeypatch) == "#SBATCH --exclude=n9,n2"
