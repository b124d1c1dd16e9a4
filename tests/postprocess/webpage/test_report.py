"""The command: when it writes, and what it says of what it cannot use."""

import re
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from inr.results import HELDOUT
from tests.helpers.reports import add_videos, draw, report
from tests.helpers.synthetic import (
    call,
    first_results,
    grid,
    make_config,
    write_sweep,
)


def test_report_is_written_only_when_due(
    tmp_path: Path, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = report(write_sweep(tmp_path, [make_config()], shape=(12, 12)))
    assert "wrote 1 file" in capsys.readouterr().out
    report(layout)
    assert "kept 1 up-to-date file" in capsys.readouterr().out
    add_videos(layout, video)
    report(layout)
    assert "wrote 1 file" in capsys.readouterr().out
    report(layout, "--embed")
    assert "wrote 1 file" in capsys.readouterr().out
    report(layout, "--embed", "--force")
    assert "wrote 1 file" in capsys.readouterr().out


def test_bad_input_gets_one_clear_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("report", tmp_path) == 2
    assert "not a sweep" in capsys.readouterr().err
    layout = write_sweep(tmp_path, [make_config()], shape=(12, 12))
    layout.figures.mkdir()
    (layout.figures / "overview.png").write_bytes(b"no picture")
    assert call("report", layout.root) == 1
    assert "overview.png" in capsys.readouterr().err
    (layout.figures / "overview.png").unlink()
    layout.report.mkdir()
    assert call("report", layout.root) == 1
    assert "report.html: cannot be written" in capsys.readouterr().err


def test_runs_of_which_nothing_was_held_out_have_no_such_columns(tmp_path: Path) -> None:
    layout = report(write_sweep(tmp_path, [make_config()], shape=None))
    assert "Laplacian, held out" in layout.report.read_text()
    with h5py.File(first_results(layout), "r+") as file:
        for points in HELDOUT:
            del file[points]
    page = report(layout, "--force").report.read_text()
    assert "held out" not in page.lower()
    assert 'id="points"' not in page


def test_figures_say_where_errors_are_measured_and_the_residual_is_the_last_metric(
    tmp_path: Path,
) -> None:
    axes = {"model__activation": ["sine", "elu"], "data__size": [12], "data__frames": [2]}
    layout = write_sweep(tmp_path, grid(**axes), shape=(12, 12))
    draw(layout, "overview", "curve_", "final_")
    page = report(layout).report.read_text()
    captions = re.findall(r"<figcaption><b>(.*?)\.</b> (.*?)</figcaption>", page)
    titles = [title for title, _ in captions]
    assert titles[:2] == ["All four errors on the training grid", "All four errors held out"]
    metrics = ["Value MSE / variance", "Gradient MSE / variance", "Laplacian MSE / variance"]
    curves, finals = titles[2:14], titles[14:]
    assert curves[:3] == finals[:3] == metrics
    residual = "Heat-equation residual / variance"
    assert curves[-3:] == [residual, "Training loss", "Learning rate"]
    assert finals[-1] == residual
    for title, caption in captions[2:]:
        assert ("On the training grid" in caption) == (title not in curves[-2:])


def test_command_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'matplotlib', 'seaborn', 'tensorboard'}"
    program = f"import sys, postprocess.report; print({heavy} & set(sys.modules))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_question_is_on_top_and_the_best_setting_is_told_at_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configs = grid(model__activation=["sine", "elu"])
    layout = write_sweep(tmp_path / "sweep", configs, shape=(12, 12))
    layout.specification.write_text("name: a\ndescription: is 1 < 2 for <b>sine</b>?\n")
    assert call("report", layout.root) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("best over all on the training grid: activation sine: 0.0")
    page = layout.report.read_text()
    question = page.index("Is 1 &lt; 2 for &lt;b&gt;sine&lt;/b&gt;?")
    assert page.index("<h1>") < question < page.index("The sweep varied")
    layout.specification.write_text("name: [a\n")  # broken: no question
    assert call("report", layout.root, "--force") == 0
    assert 'class="question"' not in layout.report.read_text()
