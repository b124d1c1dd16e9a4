"""How the state of a sweep looks on terminals of several widths."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from inr.progress import Progress, write_progress
from inr.storage.attempts import AttemptLog
from inr.storage.lock import RunLock
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import index_json
from jobs.managing.status_table import render
from jobs.managing.sweep_status import read_status
from tests.helpers.synthetic import grid, write_index


@pytest.fixture
def layout(tmp_path: Path) -> SweepLayout:
    return SweepLayout(tmp_path / "night")


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize("all_runs", [False, True], ids=["short", "all"])
def test_tables_cut_nothing_off(layout: SweepLayout, width: int, all_runs: bool) -> None:
    entries = write_index(layout, grid(training__seed=range(30)))
    for entry in entries[:25]:
        run = layout.run(entry.name)
        run.root.mkdir(parents=True)
        log = AttemptLog(run.attempts, "", 1, 0)
        log.start()
        log.end("failed", f"ValueError: [red] {'why ' * 20}end", [])
    run = layout.run(entries[-1].name)
    with RunLock(run.lock):
        errors = {"psnr_value": 27.1, "nmse_value": 1e-3, "nmse_time_derivative": 2e-2}
        write_progress(run.progress, Progress(123456, 200000, 1000.0, errors))
        console = Console(width=width, record=True, file=io.StringIO())
        console.print(render(read_status(layout), all_runs))
    text = console.export_text()
    assert "…" not in text or "… and 5 more" in text
    flat = "".join(text.split())
    shown = entries if all_runs else [*entries[:20], entries[-1]]
    assert all(entry.name in flat for entry in shown)
    for words in ("failed25", "running1", "notsubmitted4", "123456/", "[red]", "whyend"):
        assert words in flat
    assert all_runs or all(words in flat for words in ("123/s", "27.1dB", "dt2.0e-02"))


@pytest.mark.parametrize("width", [60, 80])
def test_long_names_show_what_differs(layout: SweepLayout, width: int) -> None:
    name = "1_1_1_1/sine_cosine_3e-4_time_scale0.2_optimizermuon_derivativesexact_seed{}"
    entries = [
        replace(entry, name=name.format(entry.task))
        for entry in write_index(layout, grid(training__seed=range(3)))
    ]
    layout.index.write_text(index_json(layout.name, entries), encoding="utf-8")
    first, second, third = map(layout.run, (entry.name for entry in entries))
    third.root.mkdir(parents=True)
    log = AttemptLog(third.attempts, "", 1, 0)
    log.start()
    log.end("failed", "ValueError: why", [])
    with RunLock(first.lock), RunLock(second.lock):
        for run in (first, second):
            write_progress(run.progress, Progress(50, 200, 1.0))
        console = Console(width=width, file=io.StringIO())
        console.print(render(read_status(layout)))
        console.print(render(read_status(layout), all_runs=True))
    lines = [" ".join(line.split()) for line in console.file.getvalue().splitlines()]
    short = [f"1_1_1_1/…seed{number}" for number in range(3)]
    for number in range(2):
        start = f"{number} {short[number]} 50/200 50/s 0:03 "
        assert any(line.startswith(start) for line in lines)
        assert f"{number} running {short[number]} 50/200 0" in lines
    assert f"2 failed {short[2]}" in lines
    assert f"2 failed {short[2]} 0/200 1" in lines
