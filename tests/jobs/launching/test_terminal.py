"""Progress of runs on this machine: as a file, in a terminal and in plain output."""

import io
import re

from rich.console import Console

from inr.progress import Progress, read_progress, write_progress
from jobs.launching.terminal import Display


def test_progress_is_read_back_and_rubbish_is_no_progress(tmp_path):
    path = tmp_path / "progress.json"
    assert read_progress(path) is None
    progress = Progress(3, 10, 1.5, {"psnr_value": 21.0})
    write_progress(path, progress)
    assert read_progress(path) == progress
    assert [file.name for file in tmp_path.iterdir()] == ["progress.json"]
    path.write_text('{"step": 3')
    assert read_progress(path) is None


def shown(display: Display) -> list[str]:
    """What the terminal shows, line by line, without the bars."""
    console = Console(file=io.StringIO(), width=150)
    console.print(display._live.get_renderable())
    lines = re.sub("[━╸╺]", "", console.file.getvalue()).splitlines()
    return [" ".join(line.split()) for line in lines]


def test_terminal_shows_a_line_a_task_and_the_total_last():
    console = Console(file=io.StringIO(), force_terminal=True, width=150)
    with Display(console) as display:
        total = Progress(25, 200, 2.0), "0 of 2 runs"
        display.show({"a/first": Progress(25, 100, 2.0, {"psnr_value": 21.5})}, *total)
        display._live.refresh()
        display.show({"a/first": Progress(50, 100, 4.0), "a/second": None}, *total)
        assert shown(display) == [
            "a/first 50/100 12/s 0:04",
            "a/second starting",
            "0 of 2 runs, 0:14 left 25/200 12/s 0:14",
        ]
        display.show({"a/second": Progress(75, 100, 3661.0 * 3)}, *total)
        assert shown(display)[0] == "a/second 75/100 0.0068/s 1:01:01"
    assert "21.5 dB" in console.file.getvalue()


def test_plain_output_is_occasional(monkeypatch):
    console = Console(file=io.StringIO(), width=150)
    display = Display(console)
    report = Progress(25, 100, 2.5, {"nmse_value": 0.01})
    display.show({"a": report}, report, "0 of 1 runs")
    assert console.file.getvalue() == ""
    monkeypatch.setattr("jobs.launching.terminal._PLAIN_SECONDS", 0)
    display.show({"a": report, "b": None}, report, "0 of 2 runs")
    assert console.file.getvalue().splitlines() == [
        "  a: step 25/100, 10/s, 0:08 left, value 1.0e-02",
        "  b: starting",
        "0 of 2 runs, 0:08 left",
    ]
