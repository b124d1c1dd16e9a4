"""The command: when it writes, and what it says of what it cannot use."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.reports import add_videos, report
from tests.helpers.synthetic import (
    call,
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


def test_command_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'matplotlib', 'seaborn', 'tensorboard'}"
    program = f"import sys, postprocess.report; print({heavy} & set(sys.modules))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
