"""How a launch looks: the table of its runs; progress as bars on a terminal, as lines elsewhere."""

import errno
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Column, Table

from inr.config import format_rate
from inr.progress import Progress, describe_errors, describe_rate, describe_seconds
from inr.storage.sweep_index import IndexEntry, flatten_config
from jobs.launching.run_labels import run_labels
from jobs.sweeps.fields import WEIGHTS
from jobs.sweeps.run_names import varying_fields

_PLAIN_SECONDS = 30.0  # between lines, where there is no terminal
_EDGE = 20  # rows shown at each end of a long table
_PLAIN_WIDTH = 160  # columns, where the output is no terminal
_NARROWEST = 20  # columns of a terminal
_ANY_WIDTH = 10_000  # columns: wider than any table


class _Console(Console):
    def _write_buffer(self) -> None:
        """Be quiet and go on if nobody reads on (``| head``, a terminal that was closed)."""
        try:
            super()._write_buffer()
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            self.quiet = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


def make_console() -> Console:
    """A console that squeezes tables neither into the 80 columns of a file, nor into fewer."""
    console = _Console(highlight=False)
    if not sys.stdout.isatty() or console.width < _NARROWEST:
        console.width = _PLAIN_WIDTH
    return console


def say(text: str) -> None:
    """Print ``text`` as it is, if anybody still reads."""
    make_console().out(text, highlight=False)


def print_combinations(
    console: Console, runs: Sequence[IndexEntry], pending: Mapping[str, str]
) -> None:
    """One row a run, a column for every field that varies; long tables are cut in the middle.

    ``pending``: of each run that is not complete, by its id, the task that will train it, or "".
    """
    table = _combinations(runs, pending)
    anywhere = console.options.update(width=_ANY_WIDTH)
    if console.measure(table, options=anywhere).minimum > console.width:
        table = _combinations(runs, pending, values=False)  # the names tell them too
    console.print(table)


def _combinations(
    runs: Sequence[IndexEntry], pending: Mapping[str, str], values: bool = True
) -> Table:
    flat = [dict(flatten_config(run.config)) for run in runs]
    varying = varying_fields(flat)  # of which the four loss weights share a column
    columns = list(dict.fromkeys(WEIGHTS if p.startswith(WEIGHTS) else p for p in varying))
    columns = columns if values else []
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("#", justify="right")
    for column in columns:
        table.add_column(column.partition(".")[2], no_wrap=True)
    table.add_column("run")
    table.add_column("task" if any(pending.values()) else "")
    hidden = range(_EDGE, len(runs) - _EDGE) if len(runs) > 2 * _EDGE + 1 else range(0)
    labels = run_labels([run.name for number, run in enumerate(runs) if number not in hidden])
    for number, (run, fields) in enumerate(zip(runs, flat, strict=True)):
        if number in hidden:
            if number == hidden.start:
                table.add_row("…", *["…"] * len(columns), f"… {len(hidden)} more …", "")
            continue
        status = pending.get(run.run_id, "dropped" if run.dropped else "complete")
        cells = [_cell(column, fields) for column in columns]
        table.add_row(str(number), *cells, labels[run.name], status)
    return table


def _cell(column: str, fields: dict[str, Any]) -> str:
    if column == "training.learning_rate":
        return format_rate(fields[column])
    if column != WEIGHTS:
        return str(fields[column])
    return " ".join(f"{value:g}" for path, value in fields.items() if path.startswith(WEIGHTS))


class Display:
    """Shows running tasks and a total. Use it as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, transient=True, refresh_per_second=10)
        self._plain_at = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(text, markup=False, soft_wrap=True)

    def show(
        self,
        running: Mapping[str, Progress | None],
        total: Progress | None = None,
        finished: str = "",
    ) -> None:
        """Show the running tasks by name (None: not started yet), then the steps of all runs."""
        left = f"{finished}, {describe_seconds(total.remaining_seconds)} left" if total else ""
        if self._console.is_terminal:
            labels = run_labels(list(running), most=2 * self._console.width // 5)
            lines = [*zip(labels.values(), running.values(), strict=True)]
            self._live.update(_table([*lines, *([(left, total)] if total else [])]))
        elif time.monotonic() - self._plain_at >= _PLAIN_SECONDS:
            self._plain_at = time.monotonic()
            for name, report in running.items():
                self.say(f"  {name}: {describe_report(report)}")
            if total:
                self.say(left)


def _table(lines: Sequence[tuple[RenderableType, Progress | None]]) -> Table:
    """A line a task: name, bar, steps, rate, time left and, as far as there is room, errors."""
    table = Table.grid("name", Column("bar", no_wrap=True), padding=(0, 1), expand=True)
    for _ in ("steps", "rate", "left"):
        table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="ellipsis", no_wrap=True, ratio=1)
    for name, report in lines:
        total, done = (report.steps, report.step) if report else (None, 0)
        table.add_row(name, ProgressBar(total, done, width=12), *_progress_columns(report))
    return table


def _progress_columns(report: Progress | None) -> tuple[str, ...]:
    """Steps, rate, time left and errors."""
    if report is None:
        return ("starting",)
    steps, left = f"{report.step}/{report.steps}", describe_seconds(report.remaining_seconds)
    return steps, describe_rate(report.rate), left, describe_errors(report.errors)


def describe_report(report: Progress | None) -> str:
    """A task's progress on one line."""
    if report is None:
        return "starting"
    steps, rate, left, errors = _progress_columns(report)
    left = f"{left} left" if report.step else ""
    return ", ".join(filter(None, (f"step {steps}", rate, left, errors)))
