"""Packs: runs of one shape that one task trains."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from inr.storage.sweep_index import IndexEntry

# "fused": as one, with a model axis; "processes": in processes of their own, as many at once as
# `jobs.worker.devices` says; "auto": fused on a GPU, in processes on a CPU
PackMode = Literal["auto", "fused", "processes"]
PACK_MODES: tuple[PackMode, ...] = get_args(PackMode)

Group = Sequence[IndexEntry]  # the runs of one task


@dataclass(frozen=True)
class Packing:
    """How runs are put into tasks."""

    size: int = 1  # most runs of a task
    mode: PackMode = "auto"  # how they are trained together

    def groups(self, runs: Sequence[IndexEntry]) -> list[list[IndexEntry]]:
        """Put runs into tasks: those of one `fusing_key`, in order, ``size`` at most."""
        if self.size == 1:
            return [[run] for run in runs]

        from inr.config import RunConfig  # only now: --help needs none of it

        packs: list[list[IndexEntry]] = []
        newest: dict[Hashable, list[IndexEntry]] = {}  # pack of each key
        for run in runs:
            key = RunConfig.model_validate(run.config).fusing_key
            if key not in newest or len(newest[key]) == self.size:
                newest[key] = []
                packs.append(newest[key])
            newest[key].append(run)
        return packs

    def describe(self, runs: int, tasks: int) -> str:
        """As in ``8 runs in 2 tasks (packs of at most 4, mode auto)``, or ``8 tasks``."""
        if self.size == 1:
            return count_of(tasks, "task")
        packs = f"packs of at most {self.size}, mode {self.mode}"
        return f"{count_of(runs, 'run')} in {count_of(tasks, 'task')} ({packs})"


SINGLE = Packing()


def count_of(number: int, what: str) -> str:
    """As in ``1 task`` or ``2 tasks``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def tasks_of(document: dict[str, Any]) -> list[list[str]]:
    """Run ids of each task of a submission file; one written before there were packs has none."""
    if "tasks" in document:
        return [list(task) for task in document["tasks"]]
    return [[run["run_id"]] for run in document["runs"]]
