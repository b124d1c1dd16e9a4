"""Progress of runs on this machine: as a file, in a terminal and in plain output."""

import io
import re
from collections.abc import Iterable, Sequence

import pytest
from rich.console import Console

from inr.config import RunConfig
from inr.progress import Progress, read_progress, write_progress
from inr.storage.sweep_index import IndexEntry
from jobs.launching.run_labels import shorten
from jobs.launching.terminal import Display, print_combinations
from tests.helpers.synthetic import grid


def test_progress_is_read_back_and_rubbish_is_no_progress(tmp_path):
    path = tmp_path / "progress.json"
    assert read_progress(path) is None
    progress = Progress(3, 10, 1.5, {"psnr_value": 21.0})
    write_progress(path, progress)
    assert read_progress(path) == progress
    assert [file.name for file in tmp_path.iterdir()] == ["progress.json"]
    path.write_text('{"step": 3')
    assert read_progress(path) is None


def shown(display: Display, width: int = 150) -> list[str]:
    """What the terminal shows, line by line, without the bars."""
    console = Console(file=io.StringIO(), width=width)
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


REST = "/sine_multi_step_1e-4_time_scale0.2_optimizermuon_derivativesexact_value_pointsall_"
ALIKE = {
    "end": {f"1_1_1_1{REST}seed{n}": f"1_1_1_1/…seed{n}" for n in (0, 1)},
    "beginning": {f"{n}_0_0_1{REST}seed0": f"{n}_0_0_1/…seed0" for n in (0, 1)},
}


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize("names", ALIKE.values(), ids=ALIKE)
def test_what_differs_in_long_names_stays_visible(names, width):
    display = Display(Console(file=io.StringIO(), force_terminal=True, width=width))
    errors = {"psnr_value": 21.5, "nmse_value": 0.01, "nmse_gradient": 0.02, "nmse_laplacian": 0.1}
    reports = dict.fromkeys(names, Progress(250, 1000, 2.0, errors))
    display.show(reports, Progress(500, 2000, 4.0), "0 of 2 runs")
    lines = shown(display, width)
    for line, short in zip(lines, names.values(), strict=False):
        assert line.startswith(f"{short} 250/1000 125/s 0:06 2")
    assert len(lines) == 3

    first, second = names.values()
    table = printed(names, grid(training__seed=[0, 1]), width)
    assert table == ["# seed run", f"0 0 {first} complete", f"1 1 {second} complete"]


def printed(names: Iterable[str], configs: Sequence[RunConfig], width: int) -> list[str]:
    """The table of these runs in a dry run, line by line."""
    runs = [
        IndexEntry(config.run_id, name, number, config.model_dump(mode="json"))
        for number, (name, config) in enumerate(zip(names, configs, strict=True))
    ]
    console = Console(file=io.StringIO(), width=width)
    print_combinations(console, runs, {})
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def test_a_table_that_is_too_wide_has_names_alone():
    configs = grid(model__activation=["sine", "elu"], training__learning_rate=[1e-4, 1e-3])
    names = [config.name for config in configs]
    for width, header in ((70, "# activation learning_rate run"), (50, "# run")):
        lines = printed(names, configs, width)
        assert lines[0] == header
        assert lines[-1].endswith(f"{names[-1]} complete")


def test_names_are_shortened_by_what_all_have_in_one_place():
    assert shorten(
        ["1/elu_multi_step_1e-4_time_scale0.2_z", "1/elu_cosine_1e-4_time_scale1_z"]
    ) == {
        "1/elu_multi_step_1e-4_time_scale0.2_z": "1/…multi_step_…time_scale0.2_z",
        "1/elu_cosine_1e-4_time_scale1_z": "1/…cosine_…time_scale1_z",
    }
    same_if_shortened = ["1/a_x_b", "1/a_x_x_b"]
    assert list(shorten(same_if_shortened).values()) == same_if_shortened
