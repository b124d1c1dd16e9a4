"""What a launch is about to do: the runs of a sweep, where they go, which are left to train."""

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from inr.config import DataConfig, RunConfig
from inr.errors import UsageError
from inr.files import exists, remove_leftovers, retried, write_text
from inr.storage.lock import RunLock
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import IndexEntry, index_json, read_index
from jobs.sweeps.grouping import count_of
from jobs.sweeps.run_names import name_runs
from jobs.sweeps.sweep_file import Sweep
from slurm.journal import list_submissions


@dataclass(frozen=True)
class Plan:
    """The runs of one launch."""

    layout: SweepLayout
    sweep: Sweep
    runs: list[IndexEntry]  # of this launch, in the order of the sweep file
    listed: list[IndexEntry]  # that the sweep's index already holds

    @cached_property
    def pending(self) -> list[IndexEntry]:
        """The runs that are not finished yet, without those that were dropped."""
        return [run for run in self.runs if not run.dropped and not self._is_finished(run)]

    def _is_finished(self, run: IndexEntry) -> bool:
        results = self.layout.run(run.name).results
        if not retried(results.is_file):
            return False
        from inr.results import outcome  # only now: it loads h5py

        return outcome(results, run.run_id) is not None

    def describe(self) -> str:
        """How many runs, how many of them are left to train, and where they go."""
        dropped = sum(bool(run.dropped) for run in self.runs)
        total, pending = len(self.runs) - dropped, len(self.pending)
        done = (
            f"{total - pending} of {total} complete" if pending < total else count_of(total, "run")
        )
        if dropped:
            done += f", {dropped} dropped (`manage.py restore` takes them back)"
        todo = f"{pending} to train" if pending else "nothing to train"
        saved = (self.layout.run(run.name).checkpoint for run in self.pending)
        if resumed := sum(retried(path.is_file) for path in saved):
            todo += f", {resumed} of them from a checkpoint"
        note = ""
        if duplicates := self.sweep.combinations - len(self.sweep.configs):
            note = f" ({duplicates} combinations are the same as another one and run once)"
        if others := {run.run_id for run in self.listed} - {run.run_id for run in self.runs}:
            note += (
                f"\nnote: {count_of(len(others), 'run')} of other settings stay in that directory "
                "and in its figures; --output keeps them apart"
            )
        return f"{done}: {todo}, in {self.layout.root}{note}"

    def write(self) -> None:
        """Write ``sweep.yaml`` and ``index.json``, each atomically, the index last.

        A sweep file that was launched before, and reads otherwise, is kept beside it.
        """
        retried(lambda: self.layout.root.mkdir(parents=True, exist_ok=True))
        self._keep_specification()
        entries = {entry.run_id: entry for entry in [*self.listed, *self.runs]}
        in_order = sorted(entries.values(), key=lambda entry: entry.task)
        submissions = list_submissions(self.layout)
        for path in (self.layout.specification, self.layout.index):
            remove_leftovers(path)
        write_text(self.layout.specification, self.sweep.text)
        write_text(self.layout.index, index_json(self.layout.name, in_order, submissions))

    def _keep_specification(self) -> None:
        if not exists(self.layout.specification):
            return
        earlier = self.layout.earlier_specifications()
        old, *others = (
            retried(partial(path.read_text, encoding="utf-8", errors="replace"))
            for path in (self.layout.specification, *earlier)
        )
        if old not in (self.sweep.text, *others):
            numbers = itertools.count(1 + len(earlier))
            free = (self.layout.earlier_specification(number) for number in numbers)
            write_text(next(path for path in free if not exists(path)), old)


@contextmanager
def launching(output: Path, dry_run: bool = False) -> Iterator[None]:
    """Hold the exclusive right to launch into a sweep's directory, on all machines that see it.

    A directory that is made for it and stays empty is removed. ``dry_run``: only look whether it
    may be launched into. Raises `UsageError` if ``output`` is something other than a sweep,
    `UserError` if another process launches into it, or it cannot be written.
    """
    layout = SweepLayout(output)
    _check_output(layout)
    if dry_run:
        yield
        return
    new = [folder for folder in (layout.root, *layout.root.parents) if not exists(folder)]
    try:
        with RunLock(layout.launch_lock):
            yield
    finally:
        with suppress(OSError):  # no longer empty
            for folder in new:
                folder.rmdir()


def make_plan(sweep: Sweep, output: Path, only: str | None = None) -> Plan:
    """Name the runs of a sweep. Writes nothing. For the block of `launching`.

    ``only``: the one run to plan, by its name or its position in the sweep from 0. Raises
    `UsageError` if there is none, `UserError` if an image or the sweep's index cannot be used.
    """
    layout = SweepLayout(output)
    _check_images(sweep.configs)
    listed = read_index(layout) if exists(layout.index) else []
    runs = name_runs(sweep.configs, listed)
    if only is not None:
        wanted = [run for n, run in enumerate(runs) if only in (run.name, str(n))]
        if not wanted:
            raise UsageError(
                f"--run {only}: no such run. Give a number from 0 to {len(runs) - 1} or a "
                f"name such as {runs[0].name} (--dry-run lists them)"
            )
        runs = wanted
    return Plan(layout, sweep, runs, listed)


def _check_output(layout: SweepLayout) -> None:
    root = layout.root
    is_folder = retried(root.is_dir)
    if exists(root) and not is_folder:
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
    if exists(layout.index) or exists(layout.specification) or not is_folder:
        return
    # a launcher that was killed early leaves its lock, and temporaries
    names = {path.name for path in retried(lambda: list(root.iterdir()))}
    if any(not name.startswith(".") for name in names - {layout.launch_lock.name}):
        raise UsageError(
            f"--output {root}: not empty, and no sweep (no index.json, no sweep.yaml). "
            "Give a new directory, or one of a sweep"
        )


def _check_images(configs: Sequence[RunConfig]) -> None:
    """Refuse an image that cannot be used, or of which no blur leaves anything, before a start."""
    usual = DataConfig()
    for data, protocol in dict.fromkeys((c.data, c.training.protocol) for c in configs):
        given = (data.image, data.sigma_start, data.sigma_end)
        if given != (usual.image, usual.sigma_start, usual.sigma_end):
            from inr.targets.sequences import SEQUENCES  # only now: it loads scikit-image

            SEQUENCES[protocol].from_config(data)
