"""What a launch is about to do: the runs of a sweep, where they go, which are left to train."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from inr.config import DataConfig, RunConfig
from inr.errors import UsageError
from inr.files import exists, remove_leftovers, retried, write_text
from inr.storage.lock import RunLock
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import IndexEntry, index_json, read_index
from jobs.sweeps.grouping import count_of
from jobs.sweeps.run_names import name_runs
from jobs.sweeps.sweep_file import BUILT_IN_IMAGE, Sweep
from slurm.journal import known_submissions


@dataclass(frozen=True)
class Plan:
    """The runs of one launch.

    Attributes:
        layout: where the sweep lies.
        sweep: the sweep file.
        runs: the runs of this launch, in the order of the sweep file.
        listed: runs that the sweep's index already holds.
        duplicates: combinations that were the same as another one.
    """

    layout: SweepLayout
    sweep: Sweep
    runs: list[IndexEntry]
    listed: list[IndexEntry]
    duplicates: int

    def pending(self) -> list[IndexEntry]:
        """The runs that are not finished yet."""
        return [run for run in self.runs if not self._is_finished(run)]

    def _is_finished(self, run: IndexEntry) -> bool:
        results = self.layout.run(run.name).results
        if not retried(results.is_file):
            return False
        from inr.results import outcome  # only now: it loads h5py

        return outcome(results, run.run_id) is not None

    def only(self, chosen: str) -> Plan:
        """The plan for a single run, given by its name or its position in the sweep from 0.

        Raises `UsageError` if there is none such.
        """
        by_key = {run.name: run for run in self.runs}
        by_key |= {str(position): run for position, run in enumerate(self.runs)}
        if chosen not in by_key:
            raise UsageError(
                f"--run {chosen}: no such run. Give a number from 0 to {len(self.runs) - 1} or a "
                f"name such as {self.runs[0].name} (--dry-run lists them)"
            )
        return replace(self, runs=[by_key[chosen]])

    def write(self) -> None:
        """Write ``sweep.yaml`` and ``index.json``, each atomically, the index last."""
        self.layout.root.mkdir(parents=True, exist_ok=True)
        entries = {entry.run_id: entry for entry in [*self.listed, *self.runs]}
        in_order = sorted(entries.values(), key=lambda entry: entry.task)
        submissions = known_submissions(self.layout)
        for path in (self.layout.specification, self.layout.index):
            remove_leftovers(path)
        write_text(self.layout.specification, self.sweep.text())
        write_text(self.layout.index, index_json(self.layout.name, in_order, submissions))


@contextmanager
def launching(output: Path) -> Iterator[None]:
    """Hold the exclusive right to launch into a sweep's directory, on all machines that see it.

    A directory that is made for it and stays empty is removed.

    Raises:
        UsageError: ``output`` is something other than a sweep.
        UserError: another process launches into it, or it cannot be written.
    """
    layout = SweepLayout(output)
    _check_output(layout)
    new = [folder for folder in (layout.root, *layout.root.parents) if not exists(folder)]
    try:
        with RunLock(layout.launch_lock):
            yield
    finally:
        with suppress(OSError):  # no longer empty
            for folder in new:
                folder.rmdir()


def make_plan(sweep: Sweep, output: Path) -> Plan:
    """Expand a sweep and name its runs. Writes nothing.

    Raises:
        UsageError: a combination is not allowed, or ``output`` is something other than a sweep.
        UserError: an image cannot be used, or the index of the sweep is broken.
    """
    layout = SweepLayout(output)
    _check_output(layout)
    configs, combinations = sweep.expand()
    _check_images(configs)
    listed = read_index(layout) if exists(layout.index) else []
    runs = name_runs(configs, listed)
    return Plan(layout, sweep, runs, listed, duplicates=combinations - len(configs))


def _check_output(layout: SweepLayout) -> None:
    root = layout.root
    if exists(root) and not root.is_dir():
        raise UsageError(f"--output {root}: is a file. Give a new directory, or one of a sweep")
    path = str(root.resolve())
    for sign, reason in (
        (os.pathsep, "separates the entries of PYTHONPATH, by which tasks find their code"),
        ("%", "has a meaning of its own in the names of tasks' log files"),
        # no name holds a NUL
        (next((c for c in path if "\udc80" <= c <= "\udcff"), "\0"), "is a byte that is no UTF-8"),
    ):
        if sign in path:
            raise UsageError(f"--output {root}: {sign!r} {reason}. Choose a directory without it")
    # the index may have been deleted because it was broken
    if exists(layout.index) or exists(layout.specification) or not root.is_dir():
        return
    # a launcher that was killed early leaves its lock, and temporaries
    lock = layout.launch_lock
    if any(path != lock and not path.name.startswith(".") for path in root.iterdir()):
        raise UsageError(
            f"--output {root}: not empty, and no sweep (no index.json, no sweep.yaml). "
            "Give a new directory, or one of a sweep"
        )


def _check_images(configs: Sequence[RunConfig]) -> None:
    """Refuse an image that cannot be used, or of which no blur leaves anything, before a start."""
    usual = DataConfig()
    wanted = {}
    for config in configs:
        data = config.data
        if (data.image, data.sigma_start, data.sigma_end) != (
            BUILT_IN_IMAGE,
            usual.sigma_start,
            usual.sigma_end,
        ):
            wanted[data, config.training.protocol] = config
    for config in wanted.values():
        from inr.targets.sequences import SEQUENCES  # only now: it loads scikit-image

        SEQUENCES[config.training.protocol].from_config(config.data)


def describe(plan: Plan, pending: int) -> str:
    """How many runs, how many of them are left to train, and where they go."""
    total = len(plan.runs)
    done = f"{total - pending} of {total} complete" if pending < total else count_of(total, "run")
    todo = f"{pending} to train" if pending else "nothing to train"
    note = ""
    if plan.duplicates:
        note = f" ({plan.duplicates} combinations are the same as another one and run once)"
    others = len({run.run_id for run in plan.listed} - {run.run_id for run in plan.runs})
    if others:
        note += (
            f"\nnote: {count_of(others, 'run')} of other settings stay in that directory and in "
            "its figures; --output keeps them apart"
        )
    return f"{done}: {todo}, in {plan.layout.root}{note}"
