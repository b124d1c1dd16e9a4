"""The combinations of a sweep as a table."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from inr.config import format_rate
from inr.storage.sweep_index import IndexEntry
from jobs.sweeps.fields import WEIGHTS, flatten_config
from jobs.sweeps.run_names import varying_fields

_EDGE = 20  # rows shown at each end of a long table
_PLAIN_WIDTH = 160  # columns, where the output is no terminal
_NARROWEST = 20  # columns of a terminal


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


def make_console(*, stderr: bool = False) -> Console:
    """A console that does not squeeze tables into 80 columns when it writes to a file.

    Nor into the few that COLUMNS may say.
    """
    stream = sys.stderr if stderr else sys.stdout
    console = _Console(stderr=stderr, highlight=False)
    if not stream.isatty() or console.width < _NARROWEST:
        console.width = _PLAIN_WIDTH
    return console


def say(text: str) -> None:
    """Print ``text`` as it is, if anybody still reads."""
    make_console().out(text, highlight=False)


def combinations_table(
    runs: Sequence[IndexEntry],
    pending: Sequence[IndexEntry],
    tasks: Mapping[str, int] | None = None,
) -> Table:
    """One row a run, a column for every field that varies; long tables are cut in the middle.

    ``tasks``: where tasks train several runs, the number of each run's task, by run id.
    """
    flat = [dict(flatten_config(run.config)) for run in runs]
    columns = _columns(varying_fields(flat))
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("#", justify="right")
    for column in columns:
        table.add_column(column.partition(".")[2])
    table.add_column("run", overflow="fold")
    table.add_column("task" if tasks else "")
    waiting = {run.run_id for run in pending}
    hidden = range(_EDGE, len(runs) - _EDGE) if len(runs) > 2 * _EDGE + 1 else range(0)
    for number, (run, fields) in enumerate(zip(runs, flat, strict=True)):
        if number in hidden:
            if number == hidden.start:
                table.add_row("…", *["…"] * len(columns), f"… {len(hidden)} more …", "")
            continue
        status = str((tasks or {}).get(run.run_id, "")) if run.run_id in waiting else "complete"
        values = [_cell(column, fields) for column in columns]
        table.add_row(str(number), *values, run.name, status)
    return table


def _columns(paths: list[str]) -> list[str]:
    """The four loss weights share a column."""
    return list(dict.fromkeys(WEIGHTS if path.startswith(WEIGHTS) else path for path in paths))


def _cell(column: str, fields: dict[str, Any]) -> str:
    if column == "training.learning_rate":
        return format_rate(fields[column])
    if column != WEIGHTS:
        return str(fields[column])
    return " ".join(f"{value:g}" for path, value in fields.items() if path.startswith(WEIGHTS))
