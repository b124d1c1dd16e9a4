"""How the state of a sweep looks on a terminal."""

import json
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from inr.progress import describe_errors, describe_rate, describe_seconds
from inr.storage.paths import SweepLayout
from jobs.launching.run_labels import RunLabel, run_labels
from jobs.launching.terminal import make_console
from jobs.managing.results_cache import ResultsCache
from jobs.managing.run_state import ACTIVE, FINISHED, UNFINISHED, State
from jobs.managing.sweep_status import RunStatus, SweepStatus, read_status, status_document

_MOST_ROWS = 20  # of each table, unless all are asked for

_table = partial(Table, box=None, header_style="bold", pad_edge=False)
_word = partial(Column, no_wrap=True)
_number = partial(Column, no_wrap=True, justify="right")
_folded = partial(Column, overflow="fold")

_WRONG = (State.HUNG, State.FAILED, State.OUT_OF_MEMORY, State.TIMED_OUT, State.LOST)
_STYLES = {State.DONE: "green", State.DIVERGED: "yellow", State.RUNNING: "cyan"}
_STYLES |= dict.fromkeys(_WRONG, "red")
_WHAT_TO_DO = {
    State.DIVERGED: "finished; the loss became NaN or infinite",
    State.HUNG: "look with logs RUN; then cancel --run RUN, and retry",
    State.REQUEUED: "nothing: goes on by itself from its checkpoint",
    State.PREEMPTED: "retry: goes on from its checkpoint, if it has one",
    State.FAILED: "look with logs RUN; then retry --failed",
    State.OUT_OF_MEMORY: "retry --out-of-memory: asks for more",
    State.TIMED_OUT: "retry --timed-out: goes on from its checkpoint, if it has one",
    State.CANCELLED: "retry: goes on from its checkpoint, if it has one",
    State.LOST: "retry --lost: goes on from its checkpoint, if it has one",
    State.NOT_SUBMITTED: "retry, or launch the sweep again",
    State.DROPPED: "restore RUN takes it back",
}


def show_status(layout: SweepLayout, options: Namespace) -> int:
    """Print the state of a sweep, again and again with ``--watch``, until nothing is under way."""
    results = ResultsCache(layout, frames=options.verify)
    console = make_console()
    is_live = options.watch is not None and not options.json and console.is_terminal
    screen = Live(console=console, auto_refresh=False, vertical_overflow="crop")
    with screen if is_live else nullcontext():
        while True:
            status = read_status(layout, results)
            if options.json:
                print(json.dumps(status_document(status), allow_nan=False), flush=True)
            elif is_live:
                screen.update(render(status, options.all), refresh=True)
            else:
                console.print(render(status, options.all))
            if options.watch is None or not status.in_states(ACTIVE):
                return 0
            time.sleep(options.watch)


def render(status: SweepStatus, all_runs: bool = False) -> RenderableType:
    """Counts, then what runs, then what went wrong; or every run."""
    notes = [f"[yellow]note:[/] {escape(note)}" for note in status.job_map.notes]
    parts: list[RenderableType] = [_headline(status), *notes, _counts_table(status)]
    if all_runs:
        return Group(*parts, "", _all_table(status.runs))
    running = status.in_states((State.RUNNING, State.HUNG))
    wrong = [run for run in status.in_states((*UNFINISHED, State.HUNG)) if run.reason]
    for runs, table in ((running, _running_table), (wrong, _trouble_table)):
        if runs:
            parts += ["", table(runs[:_MOST_ROWS])]
        if len(runs) > _MOST_ROWS:
            parts.append(f"… and {len(runs) - _MOST_ROWS:,} more (--all lists every run)")
    return Group(*parts)


def _headline(status: SweepStatus) -> str:
    dropped = len(status.in_states([State.DROPPED]))
    total, done = len(status.runs) - dropped, len(status.in_states(FINISHED))
    percent = f" ({100 * done // total} %)" if total else ""
    text = f"[bold]{escape(status.layout.name)}[/]: {done:,} of {total:,} runs finished{percent}"
    left = status.remaining_seconds()
    return text if left is None else f"{text}, about {describe_seconds(left)} left"


def _counts_table(status: SweepStatus) -> Table:
    table = _table(_word("state"), _number("runs"), Column(overflow="fold"))
    for state, count in status.counts().items():
        if count or state is State.DONE:
            table.add_row(_styled(state), f"{count:,}", escape(_remark(state, status)))
    return table


def _remark(state: State, status: SweepStatus) -> str:
    """What to know of the runs in a state, or to do about them."""
    if state is State.RUNNING:
        rate = status.steps_per_second()
        return f"{rate:,.4g} steps/s in all" if rate else "starting"
    if state is State.WAITING:
        reasons = dict.fromkeys(run.reason for run in status.in_states([state]) if run.reason)
        return ", ".join(list(reasons)[:3])
    return _WHAT_TO_DO.get(state, "")


def _running_table(runs: Sequence[RunStatus]) -> Table:
    host = Column("host", overflow="fold", max_width=12)
    columns = [_number("#"), _folded("running"), *map(_number, ("step", "rate", "left")), host]
    table = _table(*columns, _number("attempt"))
    labels = run_labels([run.name for run in runs])
    for run in runs:
        table.add_row(
            str(run.task),
            _with_second_line(labels[run.name], describe_errors(run.errors)),
            f"{run.step}/{run.steps}",
            describe_rate(run.steps_per_second),
            describe_seconds(run.remaining_seconds),
            escape(run.host.partition(".")[0]),
            str(run.attempts),
        )
    return table


def _trouble_table(runs: Sequence[RunStatus]) -> Table:
    table = _table(_number("#"), _word("state"), _folded("run, reason"))
    labels = run_labels([run.name for run in runs])
    for run in runs:
        name = _with_second_line(labels[run.name], run.reason)
        table.add_row(str(run.task), _styled(run.state), name)
    return table


def _all_table(runs: Sequence[RunStatus]) -> Table:
    columns = [_number("#"), _word("state"), _folded("run, reason")]
    table = _table(*columns, _number("step"), _number("attempts"))
    labels = run_labels([run.name for run in runs])
    for run in runs:
        name, step = _with_second_line(labels[run.name], run.reason), f"{run.step}/{run.steps}"
        table.add_row(str(run.task), _styled(run.state), name, step, str(run.attempts))
    return table


def _with_second_line(name: RunLabel, second: str) -> Group:
    return Group(name, *([Text(second, "dim", overflow="fold")] if second else []))


def _styled(state: State) -> str:
    style = _STYLES.get(state)
    return f"[{style}]{state.words}[/]" if style else state.words
