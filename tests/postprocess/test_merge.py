"""The command that merges, and what all commands say of sweeps that they cannot use."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import postprocess
from inr.storage.paths import SweepLayout
from postprocess.dataset.merged_sweep import read_merged
from tests.helpers.synthetic import (
    call,
    first_results,
    grid,
    quickstart,
    truncate,
    write_index,
    write_run,
    write_sweep,
)

SCRIPTS = Path(postprocess.__file__).parent


def run_script(name: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run an entry script in a process of its own, warnings being errors."""
    command = [sys.executable, "-W", "error", str(SCRIPTS / name), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def test_command_merges_the_newest_sweep_and_then_keeps_it(tmp_path, capsys):
    outputs = tmp_path / "outputs"
    old = write_sweep(outputs / "old", quickstart()[:1], shape=(12, 12))
    os.utime(old.index, (1, 1))
    new = write_sweep(outputs / "new", quickstart()[:2], shape=(12, 12))
    truncate(first_results(new))
    first = run_script("merge.py", cwd=tmp_path)
    assert (first.returncode, first.stderr) == (0, "")
    assert "1 of 2 runs merged" in first.stdout
    assert "broken" in first.stdout
    assert "1_0_0_0/sine_uniform_1e-4" in first.stdout
    assert not old.merged.exists()
    assert call("merge", new.root) == 0
    assert "kept 3 up-to-date files" in capsys.readouterr().out
    assert call("merge", new.root, "--force") == 0
    assert "wrote 3 files" in capsys.readouterr().out


def test_settings_follow_what_another_command_has_merged(tmp_path, capsys):
    layout = write_sweep(tmp_path / "sweep", quickstart()[:2], shape=(12, 12))
    truncate(first_results(layout))
    assert call("merge", layout.root) == 0
    before = layout.settings.read_text()
    write_run(first_results(layout), quickstart()[0], shape=(12, 12))
    assert call("report", layout.root) == 0  # merges
    assert layout.settings.read_text() == before
    assert call("merge", layout.root) == 0
    assert len(layout.settings.read_text()) > len(before)


def test_summary_keeps_the_runs_of_each_image_together(tmp_path: Path) -> None:
    configs = grid(training__learning_rate=[1e-4, 1e-3], data__image=["b.png", "a.png"])
    layout = write_sweep(tmp_path / "sweep", configs, shape=(12, 12))
    assert call("merge", layout.root) == 0
    summary = pd.read_csv(layout.summary)
    assert summary.columns[0] == "data.image"
    assert list(summary["data.image"]) == ["b.png", "b.png", "a.png", "a.png"]
    assert list(summary["task"]) == [0, 2, 1, 3]
    runs = read_merged(layout).runs
    assert list(runs["task"]) == [0, 1, 2, 3]
    assert {*runs} == {*summary}


def no_readable_run(root: Path) -> None:
    write_index(SweepLayout(root), quickstart())


def unwritable_output(root: Path) -> None:
    write_sweep(root, quickstart()[:1], shape=(12, 12)).merged.mkdir()


def broken_index(root: Path) -> None:
    root.mkdir()
    (root / "index.json").write_text("{")


def other_index(root: Path) -> None:
    root.mkdir()
    (root / "index.json").write_text('{"schema": "inr-index/9", "runs": []}')


def empty_index(root: Path) -> None:
    write_index(SweepLayout(root), [])


FAULTS = {
    "no-such-directory": (lambda root: None, 2, "does not exist"),
    "no-sweep": (Path.mkdir, 2, "holds no index.json"),
    "broken-index": (broken_index, 1, "index.json: broken"),
    "other-index": (other_index, 1, "inr-index/9"),
    "empty-index": (empty_index, 1, "has no runs"),
    "no-readable-run": (no_readable_run, 1, "none of its 8 runs can be read (8 missing"),
    "unwritable": (unwritable_output, 1, "merged.h5: cannot be written: Is a directory"),
}


@pytest.mark.parametrize(("make", "code", "message"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("script", ["merge", "figures", "videos"])
def test_command_says_in_one_line_what_is_wrong(tmp_path, capsys, script, make, code, message):
    make(tmp_path / "sweep")
    assert call(script, tmp_path / "sweep") == code
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert said.startswith("error: ")


def test_commands_never_import_torch(tmp_path):
    code = (
        "import sys, postprocess.merge, postprocess.figures, postprocess.videos\n"
        "assert 'torch' not in sys.modules and 'submitit' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_no_module_beside_the_scripts_hides_another_one():
    for path in SCRIPTS.glob("*.py"):
        assert path.stem not in sys.stdlib_module_names
