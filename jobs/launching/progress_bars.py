"""How local training looks: a line a task and a total on a terminal, occasional lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Column

from inr.progress import Progress, describe_errors, describe_rate, describe_seconds

_PLAIN_SECONDS = 30.0  # between lines, where there is no terminal
_TOTAL = ""  # key of the total line; no run has this name


class Display:
    """Shows running tasks and a total. Use it as a context manager.

    Args:
        console: where to write.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines: dict[str, TaskID] = {}
        self._plain_at = time.monotonic()
        self._progress = Bars(
            TextColumn("{task.description}", table_column=Column(overflow="ellipsis", ratio=3)),
            BarColumn(bar_width=12),
            TextColumn("{task.fields[steps]}", justify="right"),
            TextColumn("{task.fields[rate]}", justify="right"),
            TextColumn("{task.fields[left]}", justify="right"),
            TextColumn(
                "{task.fields[errors]}", table_column=Column(overflow="ellipsis", no_wrap=True)
            ),
            console=console,
            transient=True,
            expand=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._progress.console.print(text, markup=False, soft_wrap=True)

    def show(
        self,
        running: Mapping[str, Progress | None],
        total: Progress | None = None,
        finished: str = "",
    ) -> None:
        """Show the running tasks by name (None: not started yet).

        And ``total``, the steps of all runs since the launch, with how many are ``finished``.
        """
        left = f"{finished}, {describe_seconds(total.remaining_seconds)} left" if total else ""
        if not self._console.is_terminal:
            self._show_plainly(running, left)
            return
        for name in self._lines.keys() - running.keys() - {_TOTAL}:
            self._progress.remove_task(self._lines.pop(name))
        if running.keys() - self._lines.keys() and _TOTAL in self._lines:
            self._progress.remove_task(self._lines.pop(_TOTAL))  # comes back as the last line
        for name, report in running.items():
            self._update(name, name, report)
        if total is not None:
            self._update(_TOTAL, left, total)

    def _update(self, key: str, description: str, report: Progress | None) -> None:
        if key not in self._lines:
            self._lines[key] = self._progress.add_task(description, **_fields(None))
        self._progress.update(
            self._lines[key],
            description=description,
            total=report.steps if report else None,
            completed=report.step if report else 0,
            **_fields(report),
        )

    def _show_plainly(self, running: Mapping[str, Progress | None], total: str) -> None:
        if time.monotonic() - self._plain_at < _PLAIN_SECONDS:
            return
        self._plain_at = time.monotonic()
        for name, report in running.items():
            self.say(f"  {name}: {describe_report(report)}")
        if total:
            self.say(total)


def describe_report(report: Progress | None) -> str:
    """A task's standing on one line: steps, rate, time left and errors."""
    if report is None:
        return "starting"
    fields = _fields(report)
    parts = [f"step {fields['steps']}", fields["rate"], fields["errors"]]
    if report.remaining_seconds is not None:
        parts.insert(2, f"{fields['left']} left")
    return ", ".join(part for part in parts if part)


def _fields(report: Progress | None) -> dict[str, Any]:
    if report is None:
        return {"steps": "starting", "rate": "", "left": "", "errors": ""}
    return {
        "steps": f"{report.step}/{report.steps}",
        "rate": describe_rate(report.rate),
        "left": describe_seconds(report.remaining_seconds),
        "errors": describe_errors(report.errors),
    }
