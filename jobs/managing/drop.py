"""Take runs out of a sweep, and back. Their directories stay as they are."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from inr.errors import UsageError
from inr.files import write_text
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import index_json, read_index
from jobs.launching.plan import launching
from jobs.launching.postprocessing import run_postprocessing
from jobs.managing.arguments import confirmed, find_run
from jobs.managing.run_state import ACTIVE
from jobs.managing.sweep_status import read_status
from jobs.sweeps.grouping import count_of
from slurm.journal import list_submissions


def drop(layout: SweepLayout, options: Namespace) -> int:
    """Leave runs out of launches, tables, figures, videos and the report, but not out of the cost.

    Asks first, unless ``yes``. Returns the exit code. Raises `UsageError` if there is no such run,
    one runs or waits, or nobody is there to be asked.
    """
    names = _find_still(layout, options.runs)
    print(f"to drop in {layout.root}: {', '.join(names)}")
    if not options.yes and not confirmed("drop"):
        print("nothing was dropped")
        return 1
    with launching(layout.root):
        names = _find_still(layout, names)  # anew: now nobody else can start them
        _mark(layout, names, datetime.now(UTC).isoformat(timespec="seconds"))
    print(f"{count_of(len(names), 'run')} dropped; results stay, and restore takes them back")
    return _update(layout, options)


def restore(layout: SweepLayout, options: Namespace) -> int:
    """Take dropped runs back, or all of them. Returns the exit code.

    Raises `UsageError` if there is no such run, or it was not dropped.
    """
    with launching(layout.root):
        runs = read_index(layout)
        chosen = [find_run(runs, each) for each in options.runs]
        for run in chosen:
            if not run.dropped:
                raise UsageError(f"{run.name}: was not dropped")
        names = [run.name for run in chosen or runs if run.dropped]
        _mark(layout, names, "")
    if not names:
        print(f"{layout.root}: no run was dropped")
        return 0
    print(f"{count_of(len(names), 'run')} restored: {', '.join(names)}")
    return _update(layout, options)


def _find_still(layout: SweepLayout, wanted: Sequence[str]) -> list[str]:
    """The names of runs that stand still and were not dropped yet."""
    status = read_status(layout)
    runs = list(status.entries.values())
    chosen = [find_run(runs, each) for each in wanted]
    for run in chosen:
        if run.dropped:
            raise UsageError(f"{run.name}: was dropped before")
    names = list(dict.fromkeys(run.name for run in chosen))
    if len(names) == sum(not run.dropped for run in runs):
        raise UsageError(f"{layout.root}: no run would be left. Remove the directory instead")
    for active in status.in_states(ACTIVE):
        if active.name in names:
            raise UsageError(
                f"{active.name}: is {active.state.words}. Stop it with "
                f"`manage.py cancel {layout.root} --run {active.name}`, then drop it"
            )
    return names


def _mark(layout: SweepLayout, names: Sequence[str], dropped: str) -> None:
    runs = [replace(e, dropped=dropped) if e.name in names else e for e in read_index(layout)]
    write_text(layout.index, index_json(layout.name, runs, list_submissions(layout)))


def _update(layout: SweepLayout, options: Namespace) -> int:
    """Merge and draw anew what was merged before."""
    return run_postprocessing(layout) if options.post and layout.merged.is_file() else 0
