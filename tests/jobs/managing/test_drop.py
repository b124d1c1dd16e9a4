"""`manage.py drop` and `restore`: status, launch, merge, figures, videos and report agree."""

import sys
from pathlib import Path

import pandas as pd
import pytest

import inr
from inr.errors import run_main
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import read_index
from jobs import launch
from jobs.managing.run_state import State
from jobs.managing.sweep_status import read_status
from tests.helpers import synthetic
from tests.helpers.managing import call
from tests.helpers.slurm.fake_slurm import FakeSlurm
from tests.jobs.managing.test_cancel import Terminal

TINY = """
description: {0}
base:
  data: {{size: 16, frames: 2}}
  model: {{width: 8, depth: 1}}
  training: {{steps: 4, batch: 32}}
  record: {{tensorboard: false}}
grid: {{model.activation: {1}}}
"""


def train(description: str, activations: str, *options: str) -> int:
    Path("tiny.yaml").write_text(TINY.format(description, activations))
    words = ["--local", "--sweep", "tiny.yaml", "--output", "out", *options]
    return run_main(lambda: launch.main(words))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, trained, drawn and filmed."""
    root = tmp_path_factory.mktemp("drop")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert train("which is it", "[sine, elu]") == 0
    return root


@pytest.fixture
def sweep(trained: Path, monkeypatch: pytest.MonkeyPatch) -> SweepLayout:
    monkeypatch.chdir(trained)
    return SweepLayout(Path("out"))


def rows(layout: SweepLayout) -> pd.DataFrame:
    return pd.read_csv(layout.summary).set_index("name")


def test_what_is_dropped_is_nowhere_but_in_the_cost(
    sweep: SweepLayout, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in sweep.runs.rglob("*") if path.is_file()}
    elu, cost = read_index(sweep)[1].name, rows(sweep)["cpu_hours"]
    video = sweep.videos / f"{elu}.mp4"
    assert video.is_file()

    assert call("drop", "out", "elu", "--yes") == 0
    assert "1 run dropped; results stay" in capsys.readouterr().out
    assert read_status(sweep).counts()[State.DROPPED] == 1
    assert call("status", "out") == 0
    assert "1 of 1 runs finished (100 %)" in capsys.readouterr().out
    assert train("which is it", "[sine, elu]", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "1 of 1 complete, 1 dropped (`manage.py restore` takes them back)" in said
    assert [line.split()[-1] for line in said.splitlines() if "elu_" in line] == ["dropped"]
    assert call("retry", "out", "--dry-run") == 0
    assert "nothing to start again" in capsys.readouterr().out

    after = rows(sweep)
    assert after.loc[elu, "status"] == "dropped"
    assert after.loc[[elu], "nmse_value"].isna().all()
    pd.testing.assert_series_equal(after["cpu_hours"], cost)
    assert (pd.read_csv(sweep.settings)["n"] == 1).all()
    assert not video.exists()
    page = sweep.report.read_text()
    assert "The one run is complete. 1 more was dropped." in page
    assert page.count(f">{elu}<") == 1  # among the dropped ones
    assert [run.name for run in inr.open_sweep("out").runs] == [read_index(sweep)[0].name]

    assert call("restore", "out", "0") == 2
    assert "was not dropped" in capsys.readouterr().err
    assert call("restore", "out") == 0
    assert call("restore", "out") == 0
    assert "no run was dropped" in capsys.readouterr().out
    assert video.is_file()
    assert list(rows(sweep)["status"]) == ["complete"] * 2
    assert {path: path.read_bytes() for path in sweep.runs.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_drop_asks(
    sweep: SweepLayout, monkeypatch: pytest.MonkeyPatch, typed: str, code: int
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    assert call("drop", "out", "0", "--no-post") == code
    assert bool(read_index(sweep)[0].dropped) == (code == 0)
    assert call("restore", "out", "--no-post") == 0


def test_drop_needs_runs_that_stand_still_and_leaves_some(
    layout: SweepLayout, slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("drop", "out", "1", "--yes") == 2
    assert "is waiting. Stop it with `manage.py cancel out --run" in capsys.readouterr().err
    slurm.take_away("41")
    assert call("drop", "out", "0", "1", "2", "3", "--yes") == 2
    assert "no run would be left" in capsys.readouterr().err
    assert call("drop", "out", "1", "--yes") == 0
    assert call("drop", "out", "1", "--yes") == 2
    assert "was dropped before" in capsys.readouterr().err
    assert call("logs", "out", "1") == 1  # but its logs can be read: there are none


def test_every_sweep_file_that_was_launched_is_kept_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    layout = SweepLayout(Path("out"))
    for question in ("first & only", "second", "second", "third", "first & only"):
        assert train(question, "[sine]", "--no-post") == 0
    questions = ("first & only", "third", "second", "first & only")
    launched = [layout.specification, *layout.earlier_specifications()]
    for path, question in zip(launched, questions, strict=True):
        assert question in path.read_text()
    assert synthetic.call("report", layout.root) == 0
    page = layout.report.read_text()
    assert "First &amp; only" in page  # the question
    assert page.count("first &amp; only") == 2  # launched last, and first
    assert "Launched before: sweep_2.yaml" in page
    assert "description: third" in page
